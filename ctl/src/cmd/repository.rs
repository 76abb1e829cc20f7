//! `ctl repository`: where backups are kept, whether they are sound, what leaves them, and the key to all of them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::HostName;
use serde_json::json;

use crate::{
    client::{Client, Doing as _, RecoveryKey},
    complete,
    exit::Exit,
    failure::Failure,
    follow::{Followed, Preflight, follow},
    output::units,
    session::Session,
    view::{
        prune::RepositoryPruned,
        repository::{ExportedKey, RepositoryList},
    },
};

/// Reading every byte of a large repository over a slow line.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Subcommand)]
pub enum Repository {
    /// List the repositories: one a host, made at its first backup.
    List,
    /// Check a repository; exits with 8 when it is damaged.
    Check {
        /// Host that it belongs to.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        host: HostName,
        /// Read so much of the data too, drawn at random; 100% reads every byte.
        #[arg(long = "read-data", value_name = "PERCENT", value_parser = units::parse_percent)]
        read_data: Option<f64>,
    },
    /// Show how much a repository holds: stored, logical, and the ratio for each series.
    Stats {
        /// Host that it belongs to.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        host: HostName,
    },
    /// Remove backups that have been marked for a day, and free the space of what went before; done daily by itself.
    Prune(Prune),
    /// The key that opens every repository when all else is lost.
    #[command(subcommand)]
    Key(Key),
}

#[derive(Debug, Args)]
pub struct Prune {
    /// Host that it belongs to.
    #[arg(add = ArgValueCompleter::new(complete::hosts))]
    host: HostName,
    /// Only show which backups would go, and why.
    #[arg(long, conflicts_with = "detach")]
    dry_run: bool,
    /// Submit and do not wait.
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Write the key and where the repositories are to a new file that only you can read.
    Export {
        /// New file. Keep it where the controller is not.
        #[arg(default_value = "holdfast-recovery.json")]
        file: PathBuf,
    },
}

impl Repository {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        match self {
            Self::List => {
                let repositories = client.repositories().await;
                let repositories = repositories.doing(|| "list the repositories".to_owned())?;
                session.show(&RepositoryList { repositories })?;
            }
            Self::Check { host, read_data } => {
                let percent = read_data.unwrap_or(0.0);
                let mut patient = client.patient(PATIENCE);
                let checked = patient.check_repository(&host, percent).await;
                let checked = checked.doing(|| format!("check the repository of {host}"))?;
                session.show(&checked)?;
                return Ok(checked.exit());
            }
            Self::Stats { host } => {
                let stats = client.patient(PATIENCE).repository_stats(&host).await;
                let stats = stats.doing(|| format!("measure the repository of {host}"))?;
                session.show(&stats)?;
            }
            Self::Prune(prune) => return prune.run(session, &mut client).await,
            Self::Key(Key::Export { file }) => {
                let doing = || "export the key of the repositories".to_owned();
                let key = client.export_repository_key().await.doing(doing)?;
                write(&file, &key)?;
                session.show(&ExportedKey {
                    file: file.display().to_string(),
                    repositories: key.repositories,
                })?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl Prune {
    async fn run(self, session: &Session, client: &mut Client) -> Result<Exit, Failure> {
        let Self {
            host,
            dry_run,
            detach,
        } = self;
        let doing = || format!("prune the repository of {host}");
        let asked = client.prune_repository(&host, dry_run).await;
        let (job, due) = asked.doing(doing)?;
        let host = host.to_string();
        let pruned = match job {
            None => RepositoryPruned::dry(host, due),
            Some(job) if detach => {
                let job = client.job(job).await.doing(|| format!("show job {job}"))?;
                RepositoryPruned::left(host, due, job.job)
            }
            Some(job) => {
                let console = &session.console;
                console.say(&format!("job {job}: prune the repository of {host}"));
                match follow(session, client, job, Preflight::Tell).await? {
                    Followed::Detached => return Ok(Exit::Interrupted),
                    Followed::Ended(detail) => RepositoryPruned::ended(host, due, *detail),
                }
            }
        };
        session.show(&pruned)?;
        Ok(pruned.exit)
    }
}

/// A file that is there is not written over: it may be the only key to something.
fn write(file: &Path, key: &RecoveryKey) -> Result<(), Failure> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let content = json!({
        "what": "opens every Holdfast repository with restic: put recovery_password into RESTIC_PASSWORD",
        "recovery_password": key.password,
        "repositories": key.repositories,
    });
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut to| {
            to.write_all(format!("{content:#}\n").as_bytes())?;
            to.sync_all()
        });
    written.map_err(|source| Failure::KeyFile {
        file: file.to_owned(),
        source,
    })
}
