//! `ctl backup create`: a job for each database and volume, watched one after the other.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::{
    names::{DatabaseName, HostName, VolumeName},
    task::Selection,
};

use crate::{
    client::{BackupSpec, CallError, Client, Doing as _, Started},
    complete,
    exit::Exit,
    failure::Failure,
    follow::{Followed, Preflight, follow},
    output::units,
    session::Session,
    suggest::{Typed, with_suggestion},
    view::backup::{Backup, BackupMade, BackupsMade},
};

#[derive(Debug, Args)]
pub struct Create {
    /// HOST/INSTANCE/DATABASE, as many as wanted.
    #[arg(add = ArgValueCompleter::new(complete::databases), required_unless_present_any = ["all", "volumes"])]
    databases: Vec<DatabaseName>,
    /// Every database that is known.
    #[arg(long, conflicts_with = "databases")]
    all: bool,
    /// With --all: only of this host.
    #[arg(long, requires = "all", conflicts_with = "databases", add = ArgValueCompleter::new(complete::hosts))]
    host: Option<HostName>,
    /// HOST/VOLUME with everything in it, while nobody writes to it; may be repeated.
    #[arg(long = "volume", value_name = "VOLUME")]
    volumes: Vec<VolumeName>,
    /// Stop the containers that run with the volumes, and start them again when they have been read.
    #[arg(long, requires = "volumes")]
    stop: bool,
    /// Definitions only, no rows.
    #[arg(long)]
    schema_only: bool,
    /// Only these tables: `schema.table` or `table`, `*` matches any characters; may be repeated.
    #[arg(long = "table", value_name = "PATTERN")]
    tables: Vec<String>,
    /// Connections that read at the same time [default: by processors].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: Option<u32>,
    /// Most bytes a second, such as 50MB or 8MiB.
    #[arg(long, value_name = "BYTES", value_parser = units::parse_bandwidth)]
    bandwidth: Option<u64>,
    /// Submit and do not wait.
    #[arg(long)]
    detach: bool,
}

impl Create {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        let (detach, typed) = (self.detach, self.typed());
        let started = client.create_backups(self.into_spec()).await;
        let started = match started.doing(|| "make backups".to_owned()) {
            Ok(started) => started,
            Err(failure) => return Err(with_suggestion(&mut client, failure, &typed).await),
        };
        if detach {
            let backups = left(&mut client, started).await;
            let made = BackupsMade {
                backups: backups.doing(|| "show the jobs".to_owned())?,
            };
            session.show(&made)?;
            return Ok(made.exit());
        }
        let Some(backups) = wait(session, &mut client, started).await? else {
            return Ok(Exit::Interrupted);
        };
        let made = BackupsMade { backups };
        session.show(&made)?;
        Ok(made.exit())
    }

    fn typed(&self) -> Vec<Typed> {
        let databases = self.databases.iter().cloned();
        databases.map(Typed::Database).collect()
    }

    fn into_spec(self) -> BackupSpec {
        BackupSpec {
            databases: self.databases,
            all: self.all,
            host: self.host.map(String::from).unwrap_or_default(),
            project: String::new(),
            selection: Selection {
                schema_only: self.schema_only,
                tables: self.tables,
                ..Selection::default()
            },
            jobs: self.jobs.unwrap_or(0),
            bandwidth: self.bandwidth.unwrap_or(0),
            volumes: self.volumes,
            stop: self.stop,
        }
    }
}

/// They run all at once, as many as the controller lets; they are told one after the other. None: Ctrl-C.
pub(super) async fn wait(
    session: &Session,
    client: &mut Client,
    started: Vec<Started>,
) -> Result<Option<Vec<BackupMade>>, Failure> {
    let mut made = Vec::new();
    for Started { database, job } in started {
        let id = match job {
            Ok(id) => id,
            Err(refused) => {
                made.push(BackupMade::refused(database, refused));
                continue;
            }
        };
        session
            .console
            .say(&format!("job {id}: back up {database}"));
        match follow(session, client, id, Preflight::Tell).await? {
            Followed::Detached => return Ok(None),
            Followed::Ended(detail) => {
                let backup = of_job(client, &database, id).await;
                let backup = backup.doing(|| format!("list the backups of {database}"))?;
                made.push(BackupMade::ended(database, *detail, backup));
            }
        }
    }
    Ok(Some(made))
}

async fn left(client: &mut Client, started: Vec<Started>) -> Result<Vec<BackupMade>, CallError> {
    let mut left = Vec::new();
    for Started { database, job } in started {
        left.push(match job {
            Ok(id) => BackupMade::left(database, client.job(id).await?.job),
            Err(refused) => BackupMade::refused(database, refused),
        });
    }
    Ok(left)
}

/// What counts is the row, not the job.
async fn of_job(
    client: &mut Client,
    database: &str,
    job: u64,
) -> Result<Option<Backup>, CallError> {
    let volume = database.parse::<VolumeName>().map(DatabaseName::from);
    let Ok(name) = volume.or_else(|_| database.parse::<DatabaseName>()) else {
        return Ok(None);
    };
    let (host, instance) = (name.host.to_string(), name.instance);
    let backups = client.backups(host, instance, name.database, false).await?;
    Ok(backups.into_iter().find(|backup| backup.job == Some(job)))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Backup as Commands;
    use crate::{args::Cli, client::BackupSpec, cmd::Command};

    fn spec(words: &str) -> Result<BackupSpec, String> {
        let line = format!("ctl backup create {words}");
        let cli = Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        match cli.command {
            Command::Backup(Commands::Create(create)) => Ok(create.into_spec()),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn every_option_arrives() {
        let spec = spec(
            "web-1/a/b web-1/a/c --schema-only --table x --table s.y* --jobs 4 --bandwidth 50MB",
        );
        let spec = spec.expect("parses");
        assert_eq!(spec.databases.len(), 2);
        assert!(spec.selection.schema_only && !spec.all);
        assert_eq!(spec.selection.tables, ["x", "s.y*"]);
        assert_eq!((spec.jobs, spec.bandwidth), (4, 50_000_000));
    }

    #[test]
    fn volumes_go_alone_or_with_databases_and_nothing_is_stopped_unasked() {
        let alone = spec("--volume web-1/uploads --volume web-1/mail").expect("parses");
        assert_eq!((alone.volumes.len(), alone.stop), (2, false));
        assert!(
            spec("web-1/a/b --volume web-1/uploads --stop")
                .expect("parses")
                .stop
        );
        assert!(spec("web-1/a/b --stop").is_err());
        assert!(spec("--volume web-1/a/b").is_err());
    }

    #[test]
    fn all_is_asked_for_and_never_meant_by_silence() {
        assert!(spec("--all --host web-1").expect("parses").all);
        assert!(spec("--schema-only").is_err());
        assert!(spec("web-1/a/b --all").is_err());
        assert!(spec("web-1/a/b --host web-1").is_err());
    }
}
