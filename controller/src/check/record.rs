//! Keep a report of an agent: judged, stored, and a finding when it is not ok.

use chrono::{DateTime, Utc};
use holdfast_proto::{
    check::{CheckOutcome, CheckVerdict},
    names::HostName,
};

use super::{Check, CheckRun, judge};
use crate::{
    catalog::{Catalog, CatalogError},
    detect::check::finding,
    reconcile::findings::settle_check,
};

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("host {host} reports on check {id}, which is not on one of its databases")]
    NotTheirs { id: u64, host: HostName },
    #[error("the report of check {0} holds neither a count nor an error")]
    Empty(u64),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Judges the outcome, stores it, and opens or closes the check's finding at once. A check that
/// was removed meanwhile is no error: none is returned.
///
/// # Errors
/// When the host reports on what is not its own, or the catalog fails.
pub async fn record(
    catalog: &Catalog,
    host: &HostName,
    id: u64,
    outcome: CheckOutcome,
) -> Result<Option<CheckRun>, RecordError> {
    let Some(check) = catalog.check(id).await? else {
        return Ok(None);
    };
    if check.database.host != *host {
        return Err(RecordError::NotTheirs {
            id,
            host: host.clone(),
        });
    }
    if outcome.count.is_none() && outcome.error.is_empty() {
        return Err(RecordError::Empty(id));
    }
    let run = keep(catalog, &check, outcome).await?;
    Ok(Some(run))
}

/// Drops older history. To be called once in a while.
///
/// # Errors
/// When the catalog fails.
pub async fn trim(catalog: &Catalog, older_than: DateTime<Utc>) -> Result<u64, CatalogError> {
    catalog.trim_check_runs(older_than).await
}

pub(super) async fn keep(
    catalog: &Catalog,
    check: &Check,
    outcome: CheckOutcome,
) -> Result<CheckRun, CatalogError> {
    let last_ok = catalog.last_ok_outcome(check.id).await?;
    let asks_newest = !check.newest_sql.is_empty();
    let now = catalog.clock.now();
    let judged = judge(&check.limits, asks_newest, last_ok.as_ref(), &outcome, now);
    let run = CheckRun {
        outcome,
        verdict: judged.verdict,
        reasons: judged.reasons.iter().map(ToString::to_string).collect(),
    };
    catalog.add_check_run(check.id, &run).await?;
    if run.verdict != CheckVerdict::Ok {
        tracing::warn!(check = %check.full_name(), reasons = run.reasons.join("; "), "a check is not ok");
    }
    settle_check(catalog, check, finding(check, Some(&run))).await?;
    Ok(run)
}
