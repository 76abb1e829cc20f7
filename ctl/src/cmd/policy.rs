//! `ctl policy`: what shall hold for which database.

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;

use crate::{
    client::Doing as _,
    complete,
    exit::Exit,
    failure::Failure,
    series::Subject,
    session::Session,
    suggest::{Typed, with_suggestion},
};

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// List policies with what they do and how many databases each covers.
    List,
    /// Show which policy covers a database or a volume, why, and what runs next; of a host what is drilled of it as a whole.
    Show {
        /// HOST/INSTANCE/DATABASE, HOST/VOLUME or HOST.
        #[arg(value_name = "SUBJECT", add = ArgValueCompleter::new(complete::subjects))]
        subject: Subject,
    },
}

impl Policy {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        match self {
            Self::List => {
                let policies = client.policies().await;
                session.show(&policies.doing(|| "list the policies".to_owned())?)?;
            }
            Self::Show {
                subject: Subject::Host(host),
            } => {
                let plan = client.host_plan(&host).await;
                match plan.doing(|| format!("show what is drilled of {host}")) {
                    Ok(plan) => session.show(&plan)?,
                    Err(failure) => {
                        let typed = [Typed::Host(host)];
                        return Err(with_suggestion(&mut client, failure, &typed).await);
                    }
                }
            }
            Self::Show {
                subject: Subject::Series(database),
            } => {
                let coverage = client.coverage(&database).await;
                match coverage.doing(|| format!("show what covers {database}")) {
                    Ok(coverage) => session.show(&coverage)?,
                    Err(failure) => {
                        let typed = [match database.volume() {
                            Some(volume) => Typed::Volume {
                                host: volume.host,
                                name: volume.volume,
                            },
                            None => Typed::Database(database),
                        }];
                        return Err(with_suggestion(&mut client, failure, &typed).await);
                    }
                }
            }
        }
        Ok(Exit::Ok)
    }
}
