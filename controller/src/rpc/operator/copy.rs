//! Copy a database: a job is made of the request.

use std::{sync::Arc, time::Duration};

use holdfast_chassis::telemetry;
use holdfast_proto::{
    image::ProofLevel,
    names::DatabaseName,
    task::Selection,
    wire::{self, CopyDatabaseRequest, CopyDatabaseResponse},
};

use super::{
    RpcError, Services,
    caller::{Caller, Change},
};
use crate::{
    job::CopyDatabase,
    rpc::convert::{positive, required},
};

pub async fn submit(
    services: Arc<Services>,
    caller: Caller,
    request: CopyDatabaseRequest,
) -> Result<CopyDatabaseResponse, RpcError> {
    let copy = read(request, services.jobs.settings().keep)?;
    let change = Change {
        action: "job.copy",
        subject: copy.target.to_string(),
        detail: detail(&copy),
    };
    let work = start(&services, &caller, copy);
    let job = caller.change(&services, change, work).await?;
    Ok(CopyDatabaseResponse { job })
}

/// A mistyped host or instance is told at once, with the nearest one. Whether the database is there is
/// the preflight's to say: a report is some seconds old, and the database may be younger.
async fn start(services: &Services, caller: &Caller, copy: CopyDatabase) -> Result<u64, RpcError> {
    let source = services.fleet.host(&copy.source.host)?;
    source.instance(&copy.source.instance)?;
    let target = services.fleet.host(&copy.target.host)?;
    target.instance(&copy.target.instance)?;
    let traceparent = telemetry::current_traceparent();
    let by = caller.actor();
    Ok(services.jobs.submit_copy(copy, &by, &traceparent).await?)
}

fn read(request: CopyDatabaseRequest, default_keep: Duration) -> Result<CopyDatabase, RpcError> {
    let proof = request.proof();
    let CopyDatabaseRequest {
        source,
        target,
        replace,
        keep,
        proof: _,
        dry_run,
        selection,
        jobs,
        bandwidth,
    } = request;
    Ok(CopyDatabase {
        source: DatabaseName::try_from(required(source, "source")?)?,
        target: DatabaseName::try_from(required(target, "target")?)?,
        replace,
        keep: keep.map_or(Ok(default_keep), |keep| positive(keep, "keep"))?,
        proof: match proof {
            wire::ProofLevel::Unspecified | wire::ProofLevel::Full => ProofLevel::Full,
            wire::ProofLevel::Transit => ProofLevel::Transit,
        },
        dry_run,
        selection: selection.map_or_else(|| Ok(Selection::default()), Selection::try_from)?,
        jobs,
        bandwidth,
    })
}

fn detail(copy: &CopyDatabase) -> String {
    let flags = [(copy.replace, ", replacing"), (copy.dry_run, ", dry run")];
    let said = flags.into_iter().filter(|(set, _)| *set);
    let said: String = said.map(|(_, text)| text).collect();
    format!("from {}{said}", copy.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: Duration = Duration::from_hours(72);

    fn kept(keep: Option<prost_types::Duration>) -> Result<Duration, RpcError> {
        let name = |text: &str| {
            let name: DatabaseName = text.parse().unwrap();
            Some(name.into())
        };
        let request = CopyDatabaseRequest {
            source: name("web-1/shop-db/shop"),
            target: name("web-2/shop-db/test"),
            keep,
            ..CopyDatabaseRequest::default()
        };
        read(request, SETTING).map(|copy| copy.keep)
    }

    #[test]
    fn without_a_wish_the_setting_says_how_long_a_replaced_database_is_kept() {
        assert_eq!(kept(None).unwrap(), SETTING);
        let hour = Duration::from_hours(1);
        let wish = holdfast_proto::time::to_duration(hour);
        assert_eq!(kept(Some(wish)).unwrap(), hour);
        let nothing = holdfast_proto::time::to_duration(Duration::ZERO);
        assert!(kept(Some(nothing)).is_err());
    }
}
