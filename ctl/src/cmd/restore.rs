//! `ctl restore`: a backup comes back, proven, and what it replaces stays beside it for a while.

use std::{fmt, str::FromStr, time::Duration};

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::{DatabaseName, NameError, VolumeName};

use crate::{
    client::{Doing as _, RestoreSpec},
    complete,
    confirm::{Given, confirm},
    exit::Exit,
    failure::Failure,
    follow::{Followed, Preflight, follow},
    output::units,
    session::Session,
    suggest::{Typed, with_suggestion},
    view::{job::JobTaken, restore::RestoreResult},
};

mod merge;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Restore {
    #[command(subcommand)]
    action: Option<Action>,
    /// Its number, or HOST/INSTANCE/DATABASE or HOST/VOLUME with @latest, @latest-proven or @before:TIME.
    #[arg(required = true, add = ArgValueCompleter::new(complete::databases))]
    backup: Option<String>,
    /// HOST/INSTANCE/DATABASE to make [default: the one that was backed up], or of a volume's backup HOST/VOLUME
    /// [default: the one that was backed up; while that is there, VOLUME__restored_BACKUP beside it].
    #[arg(long, value_name = "TARGET", add = ArgValueCompleter::new(complete::targets))]
    to: Option<Target>,
    /// Only the rows of these tables, in a database beside the live one [default name: DATABASE__tables_BACKUP]:
    /// `schema.table` or `table`, `*` matches any characters; may be repeated.
    #[arg(long = "table", value_name = "PATTERN", conflicts_with = "replace")]
    tables: Vec<String>,
    /// Take the place of what stands there; the former one is kept beside it.
    #[arg(long)]
    replace: bool,
    /// Of a database that is replaced: do not back it up first. It is kept beside all the same.
    #[arg(long, requires = "replace")]
    no_safety_backup: bool,
    /// Of a database that is replaced: do not stop the containers that its policy names (`hooks`).
    #[arg(long, requires = "replace")]
    no_hooks: bool,
    /// Of a volume that is replaced: stop the containers that run with it, and start them again.
    #[arg(long, requires = "replace")]
    stop: bool,
    /// How long the former one is kept [default: as the controller is set, `jobs.keep_replaced`].
    #[arg(long, value_name = "TIME", value_parser = units::parse_span)]
    keep: Option<Duration>,
    /// Answer every preflight question and stop there.
    #[arg(long)]
    dry_run: bool,
    /// Connections that write at the same time [default: by processors].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: Option<u32>,
    /// Submit and do not wait.
    #[arg(long)]
    detach: bool,
    /// Do not ask before something is replaced.
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Bring rows that only the replaced database has into the restored one.
    Merge(merge::Merge),
}

/// What is made, or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Database(DatabaseName),
    Volume(VolumeName),
}

impl FromStr for Target {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.matches('/').count() {
            1 => text.parse().map(Self::Volume),
            _ => text.parse().map(Self::Database),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(name) => name.fmt(f),
            Self::Volume(name) => name.fmt(f),
        }
    }
}

impl Restore {
    pub(super) async fn run(mut self, session: &Session) -> Result<Exit, Failure> {
        if let Some(Action::Merge(merge)) = self.action.take() {
            return merge.run(session).await;
        }
        let replaced = self.replaced()?;
        let mut client = session.connect().await?;
        if let Some(replaced) = &replaced {
            self.confirm(session, replaced)?;
        }
        let (backup, dry_run, detach) = (self.backup().to_owned(), self.dry_run, self.detach);
        let typed = self.typed();
        let submitted = client.restore_database(self.into_spec()).await;
        let restoring = match submitted.doing(|| format!("restore backup {backup}")) {
            Ok(restoring) => restoring,
            Err(failure) => return Err(with_suggestion(&mut client, failure, &typed).await),
        };
        let id = restoring.job;
        session.console.say(&format!(
            "job {id}: restore backup {} of {}, taken {} UTC, to {}",
            restoring.backup,
            restoring.source,
            restoring.taken_at.format("%F %H:%M:%S"),
            restoring.target
        ));
        if detach {
            let detail = client.job(id).await.doing(|| format!("show job {id}"))?;
            session.show(&JobTaken { job: detail.job })?;
            session.console.hint(&format!("next: ctl job watch {id}"));
            return Ok(Exit::Ok);
        }
        let preflight = if dry_run {
            Preflight::Leave
        } else {
            Preflight::Tell
        };
        let detail = match follow(session, &mut client, id, preflight).await? {
            Followed::Detached => return Ok(Exit::Interrupted),
            Followed::Ended(detail) => *detail,
        };
        let exit = detail.exit();
        session.show(&RestoreResult::of(restoring, dry_run, detail))?;
        Ok(exit)
    }

    /// Never missing: the command line without a subcommand needs it.
    fn backup(&self) -> &str {
        self.backup.as_deref().unwrap_or_default()
    }

    /// What is replaced. A backup's number alone does not name it.
    fn replaced(&self) -> Result<Option<Target>, Failure> {
        if !self.replace || self.dry_run {
            return Ok(None);
        }
        match (self.to.clone(), named_in(self.backup())) {
            (Some(named), _) | (None, Some(named)) => Ok(Some(named)),
            (None, None) => Err(Failure::Usage {
                what: format!(
                    "--replace takes the place of something, and {:?} does not name it",
                    self.backup
                ),
                advice: "name it: --to HOST/INSTANCE/DATABASE, or --to HOST/VOLUME".to_owned(),
            }),
        }
    }

    fn confirm(&self, session: &Session, replaced: &Target) -> Result<(), Failure> {
        let given = if self.yes { Given::Yes } else { Given::Nothing };
        let kept = match self.keep {
            Some(keep) => format!("for {}", units::span(keep)),
            None => "for as long as the controller is set to (jobs.keep_replaced)".to_owned(),
        };
        let (meanwhile, former, name) = match replaced {
            Target::Database(name) if self.no_safety_backup => (
                "What stands there is not backed up first, and sessions connected to it end",
                "the former database",
                &name.database,
            ),
            Target::Database(name) => (
                "What stands there is backed up first, then sessions connected to it end",
                "the former database",
                &name.database,
            ),
            Target::Volume(name) if self.stop => (
                "What runs with it is stopped, and started again",
                "what is in it now",
                &name.volume,
            ),
            Target::Volume(name) => ("Nobody may run with it", "what is in it now", &name.volume),
        };
        confirm(
            &session.console,
            &format!("replacing {replaced}"),
            &format!(
                "{replaced} will be replaced by backup {}. {meanwhile}; {former}, with everything written since, \
                 is kept {kept} (`ctl job undo` puts it back).",
                self.backup(),
            ),
            name,
            given,
        )?;
        Ok(())
    }

    /// What may have been mistyped.
    fn typed(&self) -> Vec<Typed> {
        let database = match named_in(self.backup()) {
            Some(Target::Database(name)) => Some(Typed::Database(name)),
            _ => None,
        };
        let target = match &self.to {
            Some(Target::Database(name)) => Some(Typed::Instance(name.instance_name())),
            _ => None,
        };
        target.into_iter().chain(database).collect()
    }

    fn into_spec(self) -> RestoreSpec {
        let (target, volume) = match self.to {
            Some(Target::Database(name)) => (Some(name), None),
            Some(Target::Volume(name)) => (None, Some(name)),
            None => (None, None),
        };
        RestoreSpec {
            backup: self.backup.unwrap_or_default(),
            target,
            volume,
            stop: self.stop,
            replace: self.replace,
            no_safety_backup: self.no_safety_backup,
            no_hooks: self.no_hooks,
            keep: self.keep,
            dry_run: self.dry_run,
            jobs: self.jobs.unwrap_or(0),
            tables: self.tables,
        }
    }
}

/// What is named in `DATABASE@latest`, as the controller reads it: the last @ begins the selector.
fn named_in(backup: &str) -> Option<Target> {
    let name = backup.rsplit_once('@').map_or(backup, |(name, _)| name);
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::{Restore, Target, named_in};
    use crate::{args::Cli, cmd::Command, exit::Exit};

    fn restore(words: &str) -> Restore {
        let line = format!("ctl restore {words}");
        match Cli::try_parse_from(line.split(' '))
            .expect("parses")
            .command
        {
            Command::Restore(restore) => *restore,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_are_the_safe_ones() {
        let spec = restore("17").into_spec();
        assert_eq!(spec.backup, "17");
        assert!(!spec.replace && !spec.dry_run);
        assert_eq!((spec.target, spec.keep, spec.jobs), (None, None, 0));
    }

    #[test]
    fn every_option_arrives() {
        let words = "web-1/a/b@latest-proven --to web-2/c/d --replace --no-safety-backup --no-hooks --keep 2h --dry-run --jobs 4";
        let spec = restore(words).into_spec();
        assert_eq!(spec.backup, "web-1/a/b@latest-proven");
        assert_eq!(spec.target, Some("web-2/c/d".parse().expect("a name")));
        assert!(spec.replace && spec.dry_run && spec.no_safety_backup && spec.no_hooks);
        assert_eq!(spec.keep, Some(Duration::from_secs(7200)));
        assert_eq!(spec.jobs, 4);
    }

    #[test]
    fn some_tables_never_replace_a_database() {
        let spec = restore("17 --table users --table crm.o*").into_spec();
        assert_eq!(spec.tables, ["users", "crm.o*"]);
        let both = Cli::try_parse_from("ctl restore 17 --table x --replace".split(' '));
        assert!(both.is_err());
    }

    #[test]
    fn what_is_replaced_is_named() {
        let replaced = |words: &str| restore(words).replaced();
        let name = |text: &str| Some(text.parse().expect("a name"));
        let own = replaced("web-1/a/b@latest --replace").expect("named");
        assert_eq!(own, name("web-1/a/b"));
        let other = replaced("web-1/a/b --to web-2/c/d --replace").expect("named");
        assert_eq!(other, name("web-2/c/d"));
        assert_eq!(replaced("17").expect("replaces nothing"), None);
        assert_eq!(replaced("17 --replace --dry-run").expect("nothing"), None);
        let unnamed = replaced("17 --replace --yes").expect_err("a number names none");
        assert_eq!(unnamed.exit(), Exit::Usage);
    }

    #[test]
    fn a_database_may_have_an_at_in_its_name() {
        let name = |text: &str| match named_in(text) {
            Some(Target::Database(name)) => Some(name.database),
            other => panic!("{other:?}"),
        };
        assert_eq!(name("web-1/a/b@c@latest").as_deref(), Some("b@c"));
        assert_eq!(name("web-1/a/b").as_deref(), Some("b"));
        assert_eq!(named_in("17"), None);
    }

    #[test]
    fn a_volume_is_named_by_host_and_name() {
        let spec = restore("web-1/uploads@latest --to web-2/uploads --replace --stop").into_spec();
        assert_eq!(spec.volume, Some("web-2/uploads".parse().expect("a name")));
        assert!(spec.target.is_none() && spec.stop);
        let own = restore("web-1/uploads --replace")
            .replaced()
            .expect("named");
        assert_eq!(
            own.map(|own| own.to_string()).as_deref(),
            Some("web-1/uploads")
        );
        assert!(Cli::try_parse_from("ctl restore 17 --stop".split(' ')).is_err());
    }
}
