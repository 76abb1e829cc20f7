//! `ctl drill`: backups restored into throwaway servers, what was found there, and the report of it.

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::HostName;

use crate::{
    client::{Doing as _, DrillOf as Which},
    complete,
    exit::Exit,
    failure::Failure,
    follow::{Followed, Preflight, follow},
    series::Series,
    session::Session,
    view::{
        drill::{DrillDetail, DrillList, Format, Report},
        job::JobTaken,
    },
};

#[derive(Debug, Subcommand)]
pub enum Drill {
    /// Restore a backup into a throwaway server (or volume), look at it in depth, and remove that.
    Run(Run),
    /// List the drills, newest first.
    List {
        /// HOST/INSTANCE/DATABASE or HOST/VOLUME; all when not given.
        #[arg(add = ArgValueCompleter::new(complete::series))]
        database: Option<Series>,
    },
    /// Show what a drill found, rung by rung.
    Show {
        /// Number of the drill.
        drill: u64,
    },
    /// Print the signed report of a drill.
    Report {
        /// Number of the drill.
        drill: u64,
        /// For people, for browsers, or the signed text with its signature.
        #[arg(long, value_enum, default_value_t = Kind::Md)]
        format: Kind,
    },
}

#[derive(Debug, Args)]
pub struct Run {
    /// Number of a backup, or HOST/INSTANCE/DATABASE or HOST/VOLUME [its latest], also with @latest-proven or
    /// @before:TIME.
    #[arg(add = ArgValueCompleter::new(complete::series))]
    backup: String,
    /// Where it is restored [default: as the policy says, else on its own host].
    #[arg(long, value_name = "HOST", add = ArgValueCompleter::new(complete::hosts))]
    on: Option<HostName>,
    /// Made from this image [default: the very one that the backup's server ran in].
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Submit and do not wait.
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Md,
    Html,
    Json,
}

impl Drill {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Run(run) => return run.run(session).await,
            Self::List { database } => {
                let mut client = session.connect().await?;
                let drills = client.drills(database.map(|series| series.0)).await;
                let drills = drills.doing(|| "list the drills".to_owned())?;
                session.show(&DrillList { drills })?;
            }
            Self::Show { drill } => {
                let detail = detail(session, Which::Drill(drill)).await?;
                session.show(&detail)?;
            }
            Self::Report { drill, format } => {
                let mut client = session.connect().await?;
                let found = client.drill(Which::Drill(drill)).await;
                let (line, signed) = found.doing(|| format!("report drill {drill}"))?;
                let Some(signed) = signed else {
                    return Err(Failure::Usage {
                        what: format!("drill {drill} still runs: it has no report yet"),
                        advice: format!("next: ctl job watch {}", line.job),
                    });
                };
                let format = match format {
                    Kind::Md => Format::Markdown,
                    Kind::Html => Format::Html,
                    Kind::Json => Format::Json,
                };
                session.show(&Report { signed, format })?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl Run {
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        let on = self.on.map(String::from).unwrap_or_default();
        let image = self.image.unwrap_or_default();
        let submitted = client.run_drill(self.backup.clone(), on, image).await;
        let drilling = submitted.doing(|| format!("drill backup {}", self.backup))?;
        let id = drilling.job;
        session.console.say(&format!(
            "job {id}: drill of backup {} of {}, taken {} UTC, on {}",
            drilling.backup,
            drilling.source,
            drilling.taken_at.format("%F %H:%M:%S"),
            drilling.host
        ));
        if self.detach {
            let detail = client.job(id).await.doing(|| format!("show job {id}"))?;
            session.show(&JobTaken { job: detail.job })?;
            session.console.hint(&format!("next: ctl job watch {id}"));
            return Ok(Exit::Ok);
        }
        let ended = match follow(session, &mut client, id, Preflight::Tell).await? {
            Followed::Detached => return Ok(Exit::Interrupted),
            Followed::Ended(detail) => detail.exit(),
        };
        let detail = detail(session, Which::Job(id)).await?;
        let exit = detail.exit(ended);
        session.show(&detail)?;
        Ok(exit)
    }
}

async fn detail(session: &Session, which: Which) -> Result<DrillDetail, Failure> {
    let mut client = session.connect().await?;
    let found = client.drill(which).await;
    let (drill, signed) = found.doing(|| "show the drill".to_owned())?;
    Ok(DrillDetail {
        drill,
        report: signed.map(|signed| signed.report),
    })
}
