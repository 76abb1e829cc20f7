//! `ctl copy`: one safe command, so that nobody needs the dangerous one.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::{image::ProofLevel, names::DatabaseName, task::Selection};

use crate::{
    client::{Client, CopySpec, Doing as _},
    complete,
    confirm::{Given, confirm},
    exit::Exit,
    failure::Failure,
    follow::{Followed, Preflight, follow},
    output::units,
    session::Session,
    suggest::{Typed, meant, with_suggestion},
    view::{copy::CopyResult, job::JobTaken},
};

#[derive(Debug, Subcommand)]
pub enum Copy {
    /// Copy a live database; the source is only read, the target is proven before it takes its place.
    Database(Box<Database>),
}

#[derive(Debug, Args)]
pub struct Database {
    /// HOST/INSTANCE/DATABASE to copy; it stays as it is.
    #[arg(add = ArgValueCompleter::new(complete::databases))]
    source: DatabaseName,
    /// HOST/INSTANCE/DATABASE to make.
    #[arg(add = ArgValueCompleter::new(complete::targets))]
    target: DatabaseName,
    /// Take the place of a database that stands there; the former one is kept beside it.
    #[arg(long)]
    replace: bool,
    /// How long the former one is kept [default: as the controller is set, `jobs.keep_replaced`].
    #[arg(long, value_name = "TIME", value_parser = units::parse_span)]
    keep: Option<Duration>,
    /// full: read every table of the copy back and compare; transit: compare hashes of the bytes and row counts.
    #[arg(long, value_enum, default_value_t = ProofArg::Full)]
    proof: ProofArg,
    /// Answer every preflight question and stop there.
    #[arg(long)]
    dry_run: bool,
    /// Carry definitions only, no rows.
    #[arg(long)]
    schema_only: bool,
    /// Only these tables: `schema.table` or `table`, `*` matches any characters; may be repeated.
    #[arg(long = "table", value_name = "PATTERN")]
    tables: Vec<String>,
    /// Not these tables; may be repeated.
    #[arg(long = "exclude-table", value_name = "PATTERN")]
    exclude_tables: Vec<String>,
    /// These tables without their rows; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    exclude_table_data: Vec<String>,
    /// Connections that read and write at the same time [default: by processors].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: Option<u32>,
    /// Most bytes a second, such as 50MB or 8MiB.
    #[arg(long, value_name = "BYTES", value_parser = units::parse_bandwidth)]
    bandwidth: Option<u64>,
    /// Submit and do not wait.
    #[arg(long)]
    detach: bool,
    /// Do not ask before a database is replaced.
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ProofArg {
    Full,
    Transit,
}

impl From<ProofArg> for ProofLevel {
    fn from(proof: ProofArg) -> Self {
        match proof {
            ProofArg::Full => Self::Full,
            ProofArg::Transit => Self::Transit,
        }
    }
}

impl Copy {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Self::Database(copy) = self;
        copy.run(session).await
    }
}

impl Database {
    async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        if self.replace && !self.dry_run {
            self.confirm(session)?;
        }
        let (source, target, dry_run, detach) = (
            self.source.clone(),
            self.target.clone(),
            self.dry_run,
            self.detach,
        );
        let typed = [
            Typed::Database(source.clone()),
            Typed::Instance(target.instance_name()),
        ];
        let submitted = client.copy_database(self.into_spec()).await;
        let id = match submitted.doing(|| format!("copy {source} to {target}")) {
            Ok(id) => id,
            Err(failure) => return Err(with_suggestion(&mut client, failure, &typed).await),
        };
        if detach {
            return detached(session, &mut client, id).await;
        }
        let preflight = if dry_run {
            Preflight::Leave
        } else {
            Preflight::Tell
        };
        session
            .console
            .say(&format!("job {id}: copy {source} to {target}"));
        let detail = match follow(session, &mut client, id, preflight).await? {
            Followed::Detached => return Ok(Exit::Interrupted),
            Followed::Ended(detail) => *detail,
        };
        let exit = detail.exit();
        session.show(&CopyResult::of(
            source.to_string(),
            target.to_string(),
            dry_run,
            detail,
        ))?;
        if exit == Exit::Conflict {
            hint_at_slips(session, &mut client, &typed).await;
        }
        Ok(exit)
    }

    fn confirm(&self, session: &Session) -> Result<(), Failure> {
        let target = &self.target;
        let given = if self.yes { Given::Yes } else { Given::Nothing };
        confirm(
            &session.console,
            &format!("replacing {target}"),
            &format!(
                "{target} will be replaced by a copy of {}. Sessions connected to it end; \
                 the former database is kept {} (`ctl job undo` puts it back).",
                self.source,
                kept(self.keep)
            ),
            &target.database,
            given,
        )?;
        Ok(())
    }

    fn into_spec(self) -> CopySpec {
        CopySpec {
            source: self.source,
            target: self.target,
            replace: self.replace,
            keep: self.keep,
            proof: self.proof.into(),
            dry_run: self.dry_run,
            selection: Selection {
                schema_only: self.schema_only,
                tables: self.tables,
                exclude_tables: self.exclude_tables,
                exclude_table_data: self.exclude_table_data,
            },
            jobs: self.jobs.unwrap_or(0),
            bandwidth: self.bandwidth.unwrap_or(0),
        }
    }
}

/// How long the former database stays; without a wish the controller's setting holds, which ctl does not know.
fn kept(keep: Option<Duration>) -> String {
    match keep {
        Some(keep) => format!("for {}", units::span(keep)),
        None => "for as long as the controller is set to (jobs.keep_replaced)".to_owned(),
    }
}

async fn detached(session: &Session, client: &mut Client, id: u64) -> Result<Exit, Failure> {
    let detail = client.job(id).await.doing(|| format!("show job {id}"))?;
    session.show(&JobTaken { job: detail.job })?;
    session.console.hint(&format!("next: ctl job watch {id}"));
    Ok(Exit::Ok)
}

/// Preflight said no; perhaps only a name was mistyped.
async fn hint_at_slips(session: &Session, client: &mut Client, typed: &[Typed]) {
    for one in typed {
        if let Some(name) = meant(client, one).await {
            session.console.say(&format!("did you mean {name}?"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;
    use holdfast_proto::image::ProofLevel;

    use super::{Copy, kept};
    use crate::{args::Cli, client::CopySpec, cmd::Command};

    fn spec(words: &str) -> Result<CopySpec, String> {
        let line = format!("ctl copy database {words}");
        let cli = Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        match cli.command {
            Command::Copy(Copy::Database(copy)) => Ok(copy.into_spec()),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn defaults_are_the_safe_ones() {
        let spec = spec("web-1/a/b web-2/c/d").expect("parses");
        assert!(!spec.replace && !spec.dry_run);
        assert_eq!(spec.proof, ProofLevel::Full);
        // The controller has a setting for it.
        assert_eq!(spec.keep, None);
        assert_eq!((spec.jobs, spec.bandwidth), (0, 0));
    }

    #[test]
    fn every_option_arrives() {
        let spec = spec(
            "web-1/a/b web-2/c/d --replace --keep 2h --proof transit --dry-run --schema-only --table x --table s.y* \
             --exclude-table z --exclude-table-data log --jobs 4 --bandwidth 50MB",
        )
        .expect("parses");
        assert!(spec.replace && spec.dry_run && spec.selection.schema_only);
        assert_eq!(spec.keep, Some(Duration::from_secs(7200)));
        assert_eq!(spec.proof, ProofLevel::Transit);
        assert_eq!(spec.selection.tables, ["x", "s.y*"]);
        assert_eq!(spec.selection.exclude_tables, ["z"]);
        assert_eq!(spec.selection.exclude_table_data, ["log"]);
        assert_eq!((spec.jobs, spec.bandwidth), (4, 50_000_000));
    }

    #[test]
    fn a_confirmation_names_no_time_that_ctl_does_not_know() {
        assert_eq!(kept(Some(Duration::from_secs(7200))), "for 2 h");
        assert_eq!(
            kept(None),
            "for as long as the controller is set to (jobs.keep_replaced)"
        );
    }

    #[test]
    fn half_a_name_is_refused_with_the_right_form() {
        let error = spec("web-1/a web-2/c/d").expect_err("refused");
        assert!(error.contains("host/instance/database"), "{error}");
        assert!(spec("web-1/a/b web-2/c/d --jobs 0").is_err());
        assert!(spec("web-1/a/b web-2/c/d --bandwidth fast").is_err());
    }
}
