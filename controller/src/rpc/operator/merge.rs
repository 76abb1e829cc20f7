//! Merge the rows of a replaced database into the one in its place: a job is made of the request.

use std::{sync::Arc, time::Duration};

use holdfast_chassis::telemetry;
use holdfast_proto::{
    names::DatabaseName,
    wire::{MergeRowsRequest, MergeRowsResponse, OnConflict},
};
use tonic::Code;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
};
use crate::{
    job::{JobId, JobSpec, MergeRows, merge_rows::replaced::Replaced},
    rpc::convert::positive,
};

/// As it was asked for.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    source: Source,
    tables: Vec<String>,
    take: bool,
    dry_run: bool,
    keep: Duration,
}

/// Where the rows come from.
#[derive(Debug, Clone, PartialEq)]
enum Source {
    /// What this job replaced.
    Job(JobId),
    /// What was replaced last under this name.
    Last(DatabaseName),
    /// A database beside this one, by its name.
    Named(DatabaseName, String),
}

pub async fn submit(
    services: Arc<Services>,
    caller: Caller,
    request: MergeRowsRequest,
) -> Result<MergeRowsResponse, RpcError> {
    let wanted = read(request, services.jobs.settings().keep)?;
    let change = Change {
        action: "job.merge",
        subject: wanted.subject(),
        detail: wanted.detail(),
    };
    let work = start(&services, &caller, wanted);
    let (job, merge) = caller.change(&services, change, work).await?;
    Ok(MergeRowsResponse {
        job,
        database: Some(merge.database.into()),
        from: merge.from,
        restore: merge.replaced_by.unwrap_or_default(),
    })
}

/// A mistyped host or instance is told at once, with the nearest one.
async fn start(
    services: &Services,
    caller: &Caller,
    wanted: Wanted,
) -> Result<(u64, MergeRows), RpcError> {
    let (database, from, replaced_by) = find(services, &wanted.source).await?;
    let merge = MergeRows {
        database,
        from,
        replaced_by,
        tables: wanted.tables,
        take: wanted.take,
        dry_run: wanted.dry_run,
        keep: wanted.keep,
    };
    let (by, traceparent) = (caller.actor(), telemetry::current_traceparent());
    let spec = JobSpec::MergeRows(merge.clone());
    let job = services.jobs.submit(spec, &by, &traceparent).await?;
    Ok((job, merge))
}

async fn find(
    services: &Services,
    source: &Source,
) -> Result<(DatabaseName, String, Option<JobId>), RpcError> {
    let known = |database: &DatabaseName| {
        let host = services.fleet.host(&database.host)?;
        host.instance(&database.instance)?;
        Ok::<_, RpcError>(())
    };
    let replaced = match source {
        Source::Named(database, from) => {
            known(database)?;
            return Ok((database.clone(), from.clone(), None));
        }
        Source::Job(id) => services.jobs.replaced_by(*id).await?,
        Source::Last(database) => {
            known(database)?;
            services.jobs.last_replaced(database).await?
        }
    };
    let Replaced {
        by,
        database,
        kept_as,
    } = replaced.ok_or_else(|| nothing(source))?;
    Ok((database, kept_as, Some(by)))
}

fn nothing(source: &Source) -> RpcError {
    let message = match source {
        Source::Job(id) => format!("job {id} keeps no database that it replaced"),
        Source::Last(database) | Source::Named(database, _) => {
            format!("no database that was replaced under the name {database} still stands")
        }
    };
    RpcError::new(
        Code::NotFound,
        message,
        "`ctl job show` of a restore tells what it keeps and until when; another database of the same server: --from NAME",
    )
}

fn read(request: MergeRowsRequest, default_keep: Duration) -> Result<Wanted, RpcError> {
    let on_conflict = request.on_conflict();
    let MergeRowsRequest {
        database,
        restore,
        from,
        tables,
        on_conflict: _,
        dry_run,
        keep,
    } = request;
    let database = database.map(DatabaseName::try_from).transpose()?;
    let source = match (database, restore, from.as_str()) {
        (Some(database), 0, "") => Source::Last(database),
        (Some(database), 0, _) => Source::Named(database, from),
        (None, job, "") if job > 0 => Source::Job(job),
        _ => {
            let why = "name a database (with `from` if its rows come from one beside it) or a job, not both";
            return Err(RpcError::invalid(why));
        }
    };
    Ok(Wanted {
        source,
        tables,
        take: match on_conflict {
            OnConflict::Unspecified | OnConflict::Keep => false,
            OnConflict::Take => true,
        },
        dry_run,
        keep: keep.map_or(Ok(default_keep), |keep| positive(keep, "keep"))?,
    })
}

impl Wanted {
    /// The database that changes, as far as the request names it.
    fn subject(&self) -> String {
        match &self.source {
            Source::Job(id) => format!("the database of job {id}"),
            Source::Last(database) | Source::Named(database, _) => database.to_string(),
        }
    }

    fn detail(&self) -> String {
        let from = match &self.source {
            Source::Job(id) => format!("from what job {id} replaced"),
            Source::Last(_) => "from what was replaced last".to_owned(),
            Source::Named(_, from) => format!("from {from}"),
        };
        let flags = [(self.take, ", overwriting"), (self.dry_run, ", dry run")];
        let said = flags.into_iter().filter(|(set, _)| *set);
        let said: String = said.map(|(_, text)| text).collect();
        format!("{from}{said}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(change: impl FnOnce(&mut MergeRowsRequest)) -> Result<Wanted, RpcError> {
        let mut request = MergeRowsRequest::default();
        change(&mut request);
        read(request, Duration::from_hours(72))
    }

    fn shop() -> Option<holdfast_proto::wire::DatabaseName> {
        let name: DatabaseName = "web-1/shop-db/shop".parse().unwrap();
        Some(name.into())
    }

    #[test]
    fn a_database_or_a_job_and_never_both() {
        let last = wanted(|request| request.database = shop()).unwrap();
        assert!(matches!(last.source, Source::Last(_)));
        assert!(!last.take, "the live row stays unless somebody says so");
        assert_eq!(last.detail(), "from what was replaced last");
        let job = wanted(|request| request.restore = 41).unwrap();
        assert_eq!(job.source, Source::Job(41));
        let named = wanted(|request| {
            request.database = shop();
            request.from = "old".to_owned();
            request.set_on_conflict(OnConflict::Take);
        });
        let named = named.unwrap();
        assert_eq!(named.subject(), "web-1/shop-db/shop");
        assert_eq!(named.detail(), "from old, overwriting");
        assert!(wanted(|_| {}).is_err());
        let both = wanted(|request| {
            request.database = shop();
            request.restore = 41;
        });
        assert!(both.is_err());
    }
}
