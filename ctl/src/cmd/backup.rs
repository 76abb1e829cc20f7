//! `ctl backup`: made, seen, compared, pinned, deleted.

use std::str::FromStr;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::{DatabaseName, HostName, InstanceName, NameError};

use crate::{
    client::Doing as _,
    complete,
    confirm::{Given, confirm},
    exit::Exit,
    failure::Failure,
    session::Session,
    view::backup::{BackupChanged, BackupList},
};

mod create;
mod deploy;

#[derive(Debug, Subcommand)]
pub enum Backup {
    /// Back databases up and wait until the backups are stored.
    Create(Box<create::Create>),
    /// Back up everything of a compose project before it is deployed; with --after, compare what is there then.
    BeforeDeploy(deploy::BeforeDeploy),
    /// List the backups, newest first.
    List {
        /// HOST, HOST/INSTANCE or HOST/INSTANCE/DATABASE; all when not given.
        #[arg(add = ArgValueCompleter::new(complete::databases))]
        of: Option<Scope>,
        /// Those that were removed, too.
        #[arg(long)]
        removed: bool,
    },
    /// Show a backup: its tables, user counts, proof, and what retention wants of it.
    Show(Named),
    /// Show which tables came, went and grew between two backups of a database.
    Diff {
        #[command(flatten)]
        newer: Named,
        /// The other one [default: the one before it].
        with: Option<String>,
    },
    /// Never remove a backup.
    Pin(Named),
    /// Let retention decide again.
    Unpin(Named),
    /// Mark a backup for removal, a day from now at the earliest.
    Delete(Delete),
}

/// As an operator names a backup; the controller reads it.
#[derive(Debug, Args)]
pub struct Named {
    /// Number of the backup, or DATABASE with @latest, @latest-proven or @before:TIME.
    #[arg(add = ArgValueCompleter::new(complete::databases))]
    backup: String,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// Number of the backup.
    backup: u64,
    /// Also the newest good or the newest proven one of its database, whose name is to be typed.
    #[arg(long)]
    force: bool,
    /// Do not ask; with a value, only when it is the full name of its database. With --force the name is needed.
    #[arg(short, long, value_name = "NAME", num_args = 0..=1, require_equals = true)]
    yes: Option<Option<String>>,
}

/// What a list is narrowed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Host(HostName),
    Instance(InstanceName),
    Database(DatabaseName),
}

impl FromStr for Scope {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.matches('/').count() {
            0 => text.parse().map(Self::Host),
            1 => text.parse().map(Self::Instance),
            _ => text.parse().map(Self::Database),
        }
    }
}

impl Scope {
    fn parts(self) -> (String, String, String) {
        match self {
            Self::Host(host) => (host.into(), String::new(), String::new()),
            Self::Instance(name) => (name.host.into(), name.instance, String::new()),
            Self::Database(name) => (name.host.into(), name.instance, name.database),
        }
    }
}

impl Backup {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Create(create) => return create.run(session).await,
            Self::BeforeDeploy(deploy) => return deploy.run(session).await,
            Self::Delete(delete) => delete.run(session).await?,
            Self::List { of, removed } => {
                let (host, instance, database) = of.map(Scope::parts).unwrap_or_default();
                let mut client = session.connect().await?;
                let backups = client.backups(host, instance, database, removed).await;
                let backups = backups.doing(|| "list the backups".to_owned())?;
                session.show(&BackupList { backups })?;
            }
            Self::Show(Named { backup }) => {
                let shown = session.connect().await?.backup(backup.clone()).await;
                session.show(&shown.doing(|| format!("show backup {backup}"))?)?;
            }
            Self::Diff { newer, with } => {
                let mut client = session.connect().await?;
                let with = with.unwrap_or_default();
                let diff = client.compare_backups(newer.backup.clone(), with).await;
                session.show(&diff.doing(|| format!("compare backup {}", newer.backup))?)?;
            }
            Self::Pin(named) => pin(session, named, true).await?,
            Self::Unpin(named) => pin(session, named, false).await?,
        }
        Ok(Exit::Ok)
    }
}

async fn pin(session: &Session, named: Named, pinned: bool) -> Result<(), Failure> {
    let Named { backup } = named;
    let doing = || format!("{} backup {backup}", if pinned { "pin" } else { "unpin" });
    let mut client = session.connect().await?;
    let changed = client.pin_backup(backup.clone(), pinned).await;
    session.show(&BackupChanged {
        backup: changed.doing(doing)?,
    })
}

impl Delete {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self { backup, force, yes } = self;
        let mut client = session.connect().await?;
        let detail = client.backup(backup.to_string()).await;
        let detail = detail.doing(|| format!("delete backup {backup}"))?;
        let database = &detail.backup.database;
        let given = given(yes.into(), force, database)?;
        let taken = detail.backup.taken_at.map(crate::view::job::moment);
        confirm(
            &session.console,
            &format!("deleting backup {backup}"),
            &format!(
                "backup {backup} of {database} ({}) is marked for removal, a day from now at the earliest; \
                 `ctl backup pin {backup}` takes the mark back.",
                taken.unwrap_or_default()
            ),
            database,
            given,
        )?;
        let deleted = client.delete_backup(backup, force, database.clone()).await;
        session.show(&BackupChanged {
            backup: deleted.doing(|| format!("delete backup {backup}"))?,
        })
    }
}

/// The name was typed, or will be: with force, `--yes` alone is not enough.
fn given(given: Given, force: bool, database: &str) -> Result<Given, Failure> {
    match given {
        Given::Yes if force => Err(Failure::Usage {
            what: "--force takes the last safe backup away, and --yes names nothing".to_owned(),
            advice: format!("give --yes={database}, or leave --yes out and type it"),
        }),
        given => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{args::Cli, cmd::Command};

    fn parsed(words: &str) -> Result<Backup, String> {
        let line = format!("ctl backup {words}");
        let cli = Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        match cli.command {
            Command::Backup(backup) => Ok(backup),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_list_is_narrowed_by_host_instance_or_database() {
        let parts = |text: &str| text.parse::<Scope>().expect("a scope").parts();
        let texts = |parts: [&str; 3]| {
            let [a, b, c] = parts.map(str::to_owned);
            (a, b, c)
        };
        assert_eq!(parts("web-1"), texts(["web-1", "", ""]));
        assert_eq!(parts("web-1/shop-db"), texts(["web-1", "shop-db", ""]));
        assert_eq!(
            parts("web-1/shop-db/a/b"),
            texts(["web-1", "shop-db", "a/b"])
        );
        assert!("Web".parse::<Scope>().is_err());
    }

    #[test]
    fn force_wants_the_name() {
        assert!(given(Given::Yes, true, "web-1/a/b").is_err());
        assert!(given(Given::Yes, false, "web-1/a/b").is_ok());
        assert!(given(Given::Nothing, true, "web-1/a/b").is_ok());
        let named = Given::Name("web-1/a/b".to_owned());
        assert_eq!(given(named.clone(), true, "web-1/a/b").unwrap(), named);
    }

    #[test]
    fn a_deletion_takes_a_number_only() {
        assert!(parsed("delete 17").is_ok());
        assert!(parsed("delete web-1/shop-db/shop@latest").is_err());
        assert!(parsed("show web-1/shop-db/shop@latest").is_ok());
    }
}
