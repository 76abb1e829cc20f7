//! Keeps incidents as their findings are: opens, joins, resolves, opens again, closes.

use chrono::{DateTime, Utc};

use crate::{
    catalog::{Catalog, CatalogError},
    detect::Severity,
    incident::{Incident, Joining, Services, State, Step, settle},
};

/// # Errors
/// When the catalog fails; the next look makes up for it.
pub async fn bring_up_to_date(catalog: &Catalog, now: DateTime<Utc>) -> Result<(), CatalogError> {
    let incidents = catalog.incidents(false).await?;
    let findings = catalog.findings_to_settle().await?;
    let mut alone = findings.iter().filter(|finding| finding.incident.is_none());
    // Warnings alone open nothing, and join nothing where nothing is.
    let may_change =
        alone.any(|finding| !incidents.is_empty() || finding.severity == Severity::Critical);
    let services = if may_change {
        catalog.services_by_name().await?
    } else {
        Services::default()
    };
    for step in settle(&incidents, &findings, &services, now) {
        if let Some(id) = catalog.take_incident_step(&step, "", now).await? {
            announce(id, &step, &incidents);
        }
    }
    Ok(())
}

fn announce(id: u64, step: &Step, incidents: &[Incident]) {
    let known = incidents.iter().find(|incident| incident.id == id);
    let title = match (&step.lead, known) {
        (Some(lead), _) => &lead.title,
        (None, Some(known)) => &known.lead.title,
        (None, None) => return,
    };
    match (&step.of, step.becomes) {
        (Joining::New(_), _) => tracing::error!(incident = id, "incident opened: {title}"),
        (_, Some(State::Open)) => tracing::error!(incident = id, "incident opened again: {title}"),
        (_, Some(State::Resolved)) => tracing::info!(incident = id, "incident resolved: {title}"),
        (_, Some(State::Closed)) => tracing::info!(incident = id, "incident closed: {title}"),
        (Joining::Known(_), None) => {}
    }
}
