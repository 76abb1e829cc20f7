//! `ctl drill`: backups restored into throwaway servers, what was found there, and the report of it.

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::{
    drill::DrillKind,
    names::{HostName, NameError},
};

use crate::{
    client::{Doing as _, DrillOf as Which, ListedDrills, WantedDrill},
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
    ///
    /// With --kind rebuild everything of a host is restored, with --kind offsite every byte of its repository is read.
    Run(Run),
    /// List the drills, newest first.
    List {
        /// HOST/INSTANCE/DATABASE or HOST/VOLUME with what looked at its whole host, or HOST for all of it; all when not given.
        #[arg(add = ArgValueCompleter::new(complete::series))]
        of: Option<String>,
        /// Of this kind only.
        #[arg(long, value_enum)]
        kind: Option<What>,
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
    /// @before:TIME. With --kind rebuild or offsite: HOST.
    #[arg(value_name = "BACKUP|HOST", add = ArgValueCompleter::new(complete::series))]
    of: String,
    /// What is drilled: one backup, everything of a host, or every byte of a host's repository.
    #[arg(long, value_enum, default_value_t = What::Backup)]
    kind: What,
    /// Where it is restored [default: as the policies say, else on its own host].
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
pub enum What {
    Backup,
    Rebuild,
    Offsite,
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
            Self::List { of, kind } => {
                let listed = listed(of.as_deref(), kind)?;
                let mut client = session.connect().await?;
                let drills = client.drills(listed).await;
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
        let (of, detach) = (self.of.clone(), self.detach);
        let wanted = self.wanted()?;
        let mut client = session.connect().await?;
        let submitted = client.run_drill(wanted).await;
        let drilling = submitted.doing(|| format!("drill {of}"))?;
        let id = drilling.job;
        session.console.say(&format!("job {id}: {drilling}"));
        if detach {
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

impl Run {
    fn wanted(self) -> Result<WantedDrill, Failure> {
        let Self {
            of,
            kind,
            on,
            image,
            ..
        } = self;
        let without = |option: &str, given: bool| {
            if given {
                return Err(Failure::Usage {
                    what: format!("{option} means nothing with --kind {}", kind.known()),
                    advice: "leave it away".to_owned(),
                });
            }
            Ok(())
        };
        match kind {
            What::Backup => Ok(WantedDrill::Backup {
                backup: of,
                on,
                image,
            }),
            What::Rebuild => {
                without("--image", image.is_some())?;
                let host = host(&of)?;
                Ok(WantedDrill::Rebuild { host, on })
            }
            What::Offsite => {
                without("--image", image.is_some())?;
                without("--on", on.is_some())?;
                let host = host(&of)?;
                Ok(WantedDrill::Offsite { host })
            }
        }
    }
}

impl What {
    fn known(self) -> DrillKind {
        match self {
            Self::Backup => DrillKind::Backup,
            Self::Rebuild => DrillKind::Rebuild,
            Self::Offsite => DrillKind::Offsite,
        }
    }
}

fn listed(of: Option<&str>, kind: Option<What>) -> Result<ListedDrills, Failure> {
    let mut listed = ListedDrills {
        kind: kind.map(What::known),
        ..ListedDrills::default()
    };
    match of {
        Some(name) if name.contains('/') => {
            let Series(series) = name.parse().map_err(|error: NameError| Failure::Usage {
                what: error.to_string(),
                advice: "a database is HOST/INSTANCE/DATABASE (ctl database list), a volume HOST/VOLUME (ctl volume \
                         list)"
                    .to_owned(),
            })?;
            listed.database = Some(series);
        }
        Some(name) => listed.host = Some(host(name)?),
        None => {}
    }
    Ok(listed)
}

fn host(name: &str) -> Result<HostName, Failure> {
    name.parse().map_err(|error: NameError| Failure::Usage {
        what: error.to_string(),
        advice: "name a host: ctl host list".to_owned(),
    })
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
