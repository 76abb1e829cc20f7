//! `ctl restore merge`: rows that were written meanwhile come back into the restored database.

use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::DatabaseName;

use crate::{
    client::{Doing as _, MergeSpec},
    complete,
    exit::Exit,
    failure::Failure,
    follow::{Followed, Preflight, follow},
    output::units,
    session::Session,
    suggest::{Typed, with_suggestion},
    view::{job::JobTaken, merge::MergeResult},
};

#[derive(Debug, Args)]
pub struct Merge {
    /// HOST/INSTANCE/DATABASE that was restored, or the number of the job that did it.
    #[arg(value_name = "DATABASE|JOB", value_parser = parse, add = ArgValueCompleter::new(complete::databases))]
    into: Into,
    /// Another database of the same server to take rows from [default: the last one that was replaced].
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Only rows of these tables: `schema.table` or `table`, `*` matches any characters; may be repeated.
    #[arg(long = "table", value_name = "PATTERN")]
    tables: Vec<String>,
    /// Which of two rows with one key and different content stays: the live one (keep) or the replaced one (take).
    #[arg(long, value_name = "WHICH", default_value = "keep")]
    on_conflict: OnConflict,
    /// Print the whole report and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// How long it can be undone [default: as the controller is set, `jobs.keep_replaced`].
    #[arg(long, value_name = "TIME", value_parser = units::parse_span)]
    keep: Option<Duration>,
    /// Submit and do not wait.
    #[arg(long)]
    detach: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    Keep,
    Take,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Into {
    Database(DatabaseName),
    Job(u64),
}

impl Merge {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (dry_run, detach) = (self.dry_run, self.detach);
        let typed = match &self.into {
            Into::Database(name) => vec![Typed::Database(name.clone())],
            Into::Job(_) => vec![],
        };
        let spec = self.into_spec()?;
        let mut client = session.connect().await?;
        let submitted = client.merge_rows(spec).await;
        let merging = match submitted.doing(|| "merge rows".to_owned()) {
            Ok(merging) => merging,
            Err(failure) => return Err(with_suggestion(&mut client, failure, &typed).await),
        };
        let id = merging.job;
        session.console.say(&format!(
            "job {id}: merge rows of {} into {}",
            merging.from, merging.database
        ));
        if detach {
            let detail = client.job(id).await.doing(|| format!("show job {id}"))?;
            session.show(&JobTaken { job: detail.job })?;
            session.console.hint(&format!("next: ctl job watch {id}"));
            return Ok(Exit::Ok);
        }
        let detail = match follow(session, &mut client, id, Preflight::Leave).await? {
            Followed::Detached => return Ok(Exit::Interrupted),
            Followed::Ended(detail) => *detail,
        };
        let result = MergeResult::of(merging, dry_run, detail);
        let exit = result.exit;
        session.show(&result)?;
        Ok(exit)
    }

    fn into_spec(self) -> Result<MergeSpec, Failure> {
        let (database, job) = match self.into {
            Into::Database(name) => (Some(name), None),
            Into::Job(id) => (None, Some(id)),
        };
        if job.is_some() && self.from.is_some() {
            return Err(Failure::Usage {
                what: "a job says already which database it replaced".to_owned(),
                advice: "name the database instead of the job, or leave --from out".to_owned(),
            });
        }
        Ok(MergeSpec {
            database,
            job,
            from: self.from.unwrap_or_default(),
            tables: self.tables,
            take: self.on_conflict == OnConflict::Take,
            dry_run: self.dry_run,
            keep: self.keep,
        })
    }
}

fn parse(text: &str) -> Result<Into, String> {
    match text.parse() {
        Ok(id) => Ok(Into::Job(id)),
        Err(_) => text
            .parse()
            .map(Into::Database)
            .map_err(|error: holdfast_proto::names::NameError| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{args::Cli, cmd::Command};

    fn merge(words: &str) -> Result<MergeSpec, Failure> {
        let line = format!("ctl restore merge {words}");
        let cli = Cli::try_parse_from(line.split(' ')).expect("parses");
        match cli.command {
            Command::Restore(restore) => match restore.action {
                Some(super::super::Action::Merge(merge)) => merge.into_spec(),
                None => panic!("no merge"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_live_row_stays_unless_somebody_says_so() {
        let spec = merge("web-1/a/b").expect("makes sense");
        assert!(!spec.take && !spec.dry_run);
        assert_eq!(spec.database, Some("web-1/a/b".parse().expect("a name")));
        assert_eq!((spec.job, spec.from.as_str()), (None, ""));
    }

    #[test]
    fn every_option_arrives() {
        let words = "41 --table users --table crm.o* --on-conflict take --dry-run --keep 2h";
        let spec = merge(words).expect("makes sense");
        assert_eq!((spec.job, spec.database), (Some(41), None));
        assert_eq!(spec.tables, ["users", "crm.o*"]);
        assert!(spec.take && spec.dry_run);
        assert_eq!(spec.keep, Some(Duration::from_secs(7200)));
        assert_eq!(merge("web-1/a/b --from old").expect("fine").from, "old");
        assert!(merge("41 --from old").is_err());
    }
}
