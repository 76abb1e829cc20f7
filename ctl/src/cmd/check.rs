//! `ctl check`: a query with limits, run on a schedule.

use std::time::Duration;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::{check::CheckLimits, names::DatabaseName};

use crate::{
    client::{CheckSpec, Doing as _},
    complete,
    confirm::{Given, confirm},
    exit::Exit,
    failure::Failure,
    output::units,
    session::Session,
    suggest::{Typed, with_suggestion},
    view::check::{CheckList, CheckRemoved, CheckRun},
};

#[derive(Debug, Subcommand)]
pub enum Check {
    /// Define or replace a check; it is run once at once, read-only.
    Set(Box<Set>),
    /// List checks with their last verdict.
    List {
        /// Exit with 8 when a check is suspicious, with 10 when one could not run.
        #[arg(long)]
        strict: bool,
    },
    /// Show how a check went, newest first.
    History {
        /// HOST/INSTANCE/DATABASE.
        #[arg(add = ArgValueCompleter::new(complete::databases))]
        database: DatabaseName,
        /// Name of the check.
        #[arg(add = ArgValueCompleter::new(complete::checks))]
        name: String,
        /// How many runs.
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Remove a check and its schedule.
    Remove {
        /// HOST/INSTANCE/DATABASE.
        #[arg(add = ArgValueCompleter::new(complete::databases))]
        database: DatabaseName,
        /// Name of the check.
        #[arg(add = ArgValueCompleter::new(complete::checks))]
        name: String,
        /// Do not ask; with a value, only when it is the check's name.
        #[arg(short, long, value_name = "NAME", num_args = 0..=1, require_equals = true)]
        yes: Option<Option<String>>,
    },
}

#[derive(Debug, Args)]
pub struct Set {
    /// HOST/INSTANCE/DATABASE to ask.
    #[arg(add = ArgValueCompleter::new(complete::databases))]
    database: DatabaseName,
    /// Name of the check, such as users.
    #[arg(add = ArgValueCompleter::new(complete::checks))]
    name: String,
    /// Query that gives one number.
    #[arg(long, value_name = "SQL")]
    count: String,
    /// Query that gives one time, the newest row's.
    #[arg(long, value_name = "SQL")]
    newest: Option<String>,
    /// Fewer is suspicious.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    min: Option<i64>,
    /// More is suspicious.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max: Option<i64>,
    /// A larger fall since the last run that was ok is suspicious.
    #[arg(long, value_name = "PERCENT", value_parser = units::parse_percent)]
    max_drop: Option<f64>,
    /// The newest row must not be older; needs --newest.
    #[arg(long, value_name = "TIME", value_parser = units::parse_span, requires = "newest")]
    max_age: Option<Duration>,
    /// How often it runs.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = units::parse_span)]
    every: Duration,
    /// How long the queries may take together (--timeout is for ctl itself).
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = units::parse_span)]
    query_timeout: Duration,
}

impl Check {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Set(set) => set.run(session).await,
            Self::List { strict } => list(session, strict).await,
            Self::History {
                database,
                name,
                limit,
            } => history(session, database, name, limit).await,
            Self::Remove {
                database,
                name,
                yes,
            } => remove(session, database, name, yes.into()).await,
        }
    }
}

impl Set {
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        let spec = self.into_spec();
        let (database, name) = (spec.database.clone(), spec.name.clone());
        // The agent runs it before the controller answers.
        let patience = session.globals.timeout + spec.timeout * 2;
        let set = client.clone().patient(patience).set_check(spec).await;
        match set.doing(|| format!("set check {name} on {database}")) {
            Ok(set) => {
                session.show(&set)?;
                Ok(set.check.last.as_ref().map_or(Exit::Ok, CheckRun::exit))
            }
            Err(failure) => {
                Err(with_suggestion(&mut client, failure, &[Typed::Database(database)]).await)
            }
        }
    }

    fn into_spec(self) -> CheckSpec {
        CheckSpec {
            database: self.database,
            name: self.name,
            count_sql: self.count,
            newest_sql: self.newest.unwrap_or_default(),
            limits: CheckLimits {
                min: self.min,
                max: self.max,
                max_drop_percent: self.max_drop,
                max_age: self.max_age,
            },
            every: self.every,
            timeout: self.query_timeout,
        }
    }
}

async fn list(session: &Session, strict: bool) -> Result<Exit, Failure> {
    let mut client = session.connect().await?;
    let checks = client
        .checks()
        .await
        .doing(|| "list the checks".to_owned())?;
    let worst = checks
        .iter()
        .filter_map(|check| check.last.as_ref())
        .fold(Exit::Ok, |worst, run| worst.worse(run.exit()));
    session.show(&CheckList { checks })?;
    Ok(if strict { worst } else { Exit::Ok })
}

async fn history(
    session: &Session,
    database: DatabaseName,
    name: String,
    limit: u32,
) -> Result<Exit, Failure> {
    let mut client = session.connect().await?;
    let history = client.check_history(&database, &name, limit).await;
    match history.doing(|| format!("show check {name} on {database}")) {
        Ok(history) => {
            session.show(&history)?;
            Ok(Exit::Ok)
        }
        Err(failure) => {
            let typed = [Typed::Check { database, name }];
            Err(with_suggestion(&mut client, failure, &typed).await)
        }
    }
}

async fn remove(
    session: &Session,
    database: DatabaseName,
    name: String,
    given: Given,
) -> Result<Exit, Failure> {
    let mut client = session.connect().await?;
    confirm(
        &session.console,
        &format!("removing check {name} on {database}"),
        &format!("{database} will no longer be watched by {name}; its history goes with it."),
        &name,
        given,
    )?;
    let removed = client.remove_check(&database, &name).await;
    match removed.doing(|| format!("remove check {name} on {database}")) {
        Ok(()) => {
            session.show(&CheckRemoved {
                database: database.to_string(),
                name,
            })?;
            Ok(Exit::Ok)
        }
        Err(failure) => {
            let typed = [Typed::Check { database, name }];
            Err(with_suggestion(&mut client, failure, &typed).await)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::Check;
    use crate::{args::Cli, client::CheckSpec, cmd::Command};

    fn spec(words: &[&str]) -> Result<CheckSpec, String> {
        let mut line = vec!["ctl", "check", "set", "web-1/shop-db/shop", "users"];
        line.extend(words);
        let cli = Cli::try_parse_from(line).map_err(|error| error.to_string())?;
        match cli.command {
            Command::Check(Check::Set(set)) => Ok(set.into_spec()),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn the_example_of_the_issue_parses() {
        let spec = spec(&[
            "--count",
            "select count(*) from users",
            "--newest",
            "select max(created_at) from users",
            "--min",
            "10",
            "--max-drop",
            "10%",
            "--max-age",
            "7d",
            "--every",
            "1m",
        ])
        .expect("parses");
        assert_eq!(spec.limits.min, Some(10));
        assert_eq!(spec.limits.max_drop_percent, Some(10.0));
        assert_eq!(spec.limits.max_age.map(|age| age.as_secs()), Some(604_800));
        assert_eq!((spec.every.as_secs(), spec.timeout.as_secs()), (60, 10));
    }

    #[test]
    fn an_age_needs_a_time_to_compare() {
        assert!(spec(&["--count", "select 1", "--max-age", "7d"]).is_err());
        assert!(spec(&[]).is_err());
    }
}
