//! Keeps the catalog's memory of what data lie on behind what is reported.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    catalog::{Catalog, CatalogError, Word},
    check::CheckState,
    data_store::{Known, advance, match_up, observe},
    detect::HostFacts,
};

/// What is seen all the time is noted this often.
const NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Writes what the reports change, and gives what is known then.
///
/// # Errors
/// When the catalog fails; what was written before stays, and the rest comes with the next call.
pub async fn bring_up_to_date(
    catalog: &Catalog,
    hosts: &[HostFacts],
    checks: &[CheckState],
    now: DateTime<Utc>,
) -> Result<Vec<Known>, CatalogError> {
    let known = catalog.data_stores().await?;
    let observed = observe(hosts, checks);
    let mut seen = Vec::new();
    let mut changed = false;
    for (before, observed) in match_up(&known, &observed) {
        if let Some(step) = advance(before, observed, now) {
            catalog.save_data_store(&step, Word::default(), now).await?;
            changed = true;
        } else if let Some(before) = before.filter(|before| now - before.last_seen_at > NOTED_EVERY)
        {
            seen.push(before.id);
        }
    }
    if !seen.is_empty() {
        catalog.note_data_stores_seen(&seen, now).await?;
    }
    if changed || !seen.is_empty() {
        return catalog.data_stores().await;
    }
    Ok(known)
}
