//! Keeps the table of findings as the detectors see the world: opens, updates, closes.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::{data_stores, incidents, triages::Triages, upkeep::Upkeep};
use crate::{
    catalog::{Catalog, CatalogError, JobRow},
    check::{self, Check},
    detect::{self, Facts, Finding, HostFacts, Seen, Severity, host_silent, schedule_late},
    fleet::Fleet,
    job::JobState,
    policy::roll_call,
    standing::{gather, stand},
};

/// How often everything is looked at when nothing rings.
const EVERY: Duration = Duration::from_secs(5);
/// A burst of reports is looked at once.
const SETTLE: Duration = Duration::from_millis(200);
/// After a start agents need a moment to come back before their silence means something.
const AFTER_START: TimeDelta = TimeDelta::seconds(45);
const TRIM_EVERY: TimeDelta = TimeDelta::hours(1);

/// What looks where no report comes from.
#[derive(Debug, Clone)]
pub struct Lookers {
    pub triages: Triages,
    pub upkeep: Upkeep,
}

/// What to write, to make the table agree with what is seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// New ones, and open ones that look different now.
    pub put: Vec<Seen>,
    /// Kind and key.
    pub close: Vec<(String, String)>,
}

/// Runs until the token is cancelled; results of checks and closed findings go when they are older than `history`.
pub async fn run(
    catalog: Catalog,
    fleet: Fleet,
    lookers: Lookers,
    history: TimeDelta,
    shutdown: CancellationToken,
) {
    let mut changes = fleet.changes();
    let started = catalog.clock.now();
    let mut before = Facts::default();
    let mut trimmed = started;
    while !shutdown.is_cancelled() {
        let now = catalog.clock.now();
        let hosts = HostFacts::of_fleet(&fleet);
        match look_once(&catalog, &lookers, hosts, &before, started, now).await {
            Ok(facts) => before = facts,
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot bring the findings up to date"
            ),
        }
        if now - trimmed > TRIM_EVERY {
            trimmed = now;
            trim(&catalog, now - history).await;
        }
        let rung = async {
            // The fleet lives as long as we hold it.
            let _ = changes.changed().await;
            tokio::time::sleep(SETTLE).await;
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
            () = rung => {}
        }
    }
}

/// One look: gathers the facts, asks all detectors, writes what has changed.
///
/// # Errors
/// When the catalog fails; the next look makes up for it.
pub async fn look_once(
    catalog: &Catalog,
    lookers: &Lookers,
    hosts: Vec<HostFacts>,
    before: &Facts,
    started: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Facts, CatalogError> {
    // First: what a check opens while we look must not look like something that is over.
    let open = catalog.findings(false).await?;
    let stuck = catalog.jobs_in_state(JobState::Stuck).await?;
    let call = roll_call(&catalog.known_databases().await?, &hosts);
    catalog.note_databases(&call, now).await?;
    let standing = stand(&gather(catalog).await?, &hosts, now);
    let checks = catalog.check_states().await?;
    let stores = data_stores::bring_up_to_date(catalog, &hosts, &checks, now).await?;
    let held = catalog.held_resources().await?;
    let triages = lookers.triages.keep_up(&hosts, &stores, &held);
    let facts = Facts {
        hosts,
        protection: standing.databases,
        whole_hosts: standing.hosts,
        prunings: catalog.prunings().await?,
        checks,
        stores,
        triages,
        ours: lookers.upkeep.look().await?,
        jobs: stuck.into_iter().map(JobRow::view).collect(),
    };
    let mut seen = detect::look(before, &facts, now);
    if now - started < AFTER_START {
        keep_silence(&open, &mut seen);
    }
    let plan = plan(&open, &seen);
    for seen in &plan.put {
        put(catalog, seen, now).await?;
    }
    for (kind, key) in &plan.close {
        close(catalog, kind, key, now).await?;
    }
    incidents::bring_up_to_date(catalog, now).await?;
    Ok(facts)
}

/// The check has just run: its finding is opened or closed at once.
///
/// # Errors
/// When the catalog fails.
pub async fn settle_check(
    catalog: &Catalog,
    check: &Check,
    seen: Option<Seen>,
) -> Result<(), CatalogError> {
    let (key, now) = (detect::check::key(check), catalog.clock.now());
    for kind in detect::check::DETECTOR.kinds {
        if seen.as_ref().is_none_or(|seen| seen.kind != *kind) {
            close(catalog, kind.name, &key, now).await?;
        }
    }
    match seen {
        Some(seen) => put(catalog, &seen, now).await,
        None => Ok(()),
    }
}

/// What makes the open findings agree with what is seen: pure.
#[must_use]
pub fn plan(open: &[Finding], seen: &[Seen]) -> Plan {
    let now: BTreeSet<_> = seen
        .iter()
        .map(|seen| (seen.kind.name, seen.key.as_str()))
        .collect();
    let is_news = |seen: &&Seen| !open.iter().any(|finding| finding.shows(seen));
    Plan {
        put: seen.iter().filter(is_news).cloned().collect(),
        close: open
            .iter()
            .filter(|finding| !now.contains(&(finding.kind.as_str(), finding.key.as_str())))
            .map(|finding| (finding.kind.clone(), finding.key.clone()))
            .collect(),
    }
}

/// A controller that has just started does not know who is silent, and has not caught up with what is due: what
/// was open stays open, and nothing is opened.
fn keep_silence(open: &[Finding], seen: &mut Vec<Seen>) {
    let is_open = |kind: &str, key: &str| {
        open.iter()
            .any(|known| known.kind == kind && known.key == key)
    };
    let of_silence = [host_silent::KIND, schedule_late::KIND];
    seen.retain(|seen| !of_silence.contains(&seen.kind) || is_open(seen.kind.name, &seen.key));
}

async fn put(catalog: &Catalog, seen: &Seen, now: DateTime<Utc>) -> Result<(), CatalogError> {
    if catalog.put_finding(seen, now).await? {
        announce(seen);
    }
    Ok(())
}

async fn close(
    catalog: &Catalog,
    kind: &str,
    key: &str,
    now: DateTime<Utc>,
) -> Result<(), CatalogError> {
    if catalog.close_finding(kind, key, now).await? {
        tracing::info!(kind, key, "a finding is over");
    }
    Ok(())
}

async fn trim(catalog: &Catalog, older_than: DateTime<Utc>) {
    let trimmed = async {
        check::trim(catalog, older_than).await?;
        catalog.trim_guard_refusals(older_than).await?;
        catalog.trim_findings(older_than).await
    };
    if let Err(error) = trimmed.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot trim old history"
        );
    }
}

fn announce(seen: &Seen) {
    let (code, kind, subject) = (seen.kind.code, seen.kind.name, &seen.subject);
    match seen.severity {
        Severity::Critical => tracing::error!(code, kind, subject, "{}", seen.message),
        Severity::Warning => tracing::warn!(code, kind, subject, "{}", seen.message),
        Severity::Info => tracing::info!(code, kind, subject, "{}", seen.message),
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use holdfast_repository::storage::Place;

    use super::*;
    use crate::{
        catalog::testing::TestCatalog,
        dispatch::{SessionDispatch, sessions::Sessions},
        repository::Repositories,
    };

    fn seen(key: &str, message: &str) -> Seen {
        Seen {
            kind: detect::disk::KIND,
            evidence: vec![],
            key: key.to_owned(),
            severity: Severity::Warning,
            subject: key.to_owned(),
            message: message.to_owned(),
            advice: String::new(),
        }
    }

    fn silent_host(name: &str, last_seen_at: DateTime<Utc>) -> HostFacts {
        HostFacts {
            name: name.parse().unwrap(),
            connected: false,
            enrolled_at: Some(last_seen_at),
            last_seen_at: Some(last_seen_at),
            clock_ahead: chrono::TimeDelta::zero(),
            engine_error: String::new(),
            containers: vec![],
            volumes: vec![],
            instances: vec![],
        }
    }

    async fn lookers(catalog: &Catalog, folder: &Path) -> Lookers {
        let place = Place::Directory(folder.join("repositories"));
        let repositories = Repositories::open(folder, &place, catalog.clone());
        let repositories = repositories.await.unwrap();
        Lookers {
            triages: triages(catalog),
            // How full the disk of this machine is, is nothing to these tests.
            upkeep: Upkeep::new(repositories, catalog.clone(), folder.join("nowhere")),
        }
    }

    fn triages(catalog: &Catalog) -> Triages {
        let dispatch = SessionDispatch::new(
            Sessions::new(Arc::clone(&catalog.clock)),
            Duration::from_secs(1),
        );
        Triages::new(
            Arc::new(dispatch),
            Fleet::default(),
            Arc::clone(&catalog.clock),
        )
    }

    #[tokio::test]
    async fn findings_open_once_change_in_place_and_close() {
        let catalog = TestCatalog::new().await;
        let now = Utc::now();
        assert!(catalog.put_finding(&seen("a", "80 %"), now).await.unwrap());
        assert!(!catalog.put_finding(&seen("a", "81 %"), now).await.unwrap());
        let open = catalog.findings(false).await.unwrap();
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].message, "81 %");

        assert_eq!(plan(&open, &[seen("a", "81 %")]), Plan::default());
        let changed = plan(&open, &[seen("a", "82 %"), seen("b", "80 %")]);
        assert_eq!(changed.put.len(), 2);
        assert_eq!(changed.close, []);
        let gone = plan(&open, &[]);
        assert_eq!(gone.close, [("disk-filling".to_owned(), "a".to_owned())]);

        close(&catalog, "disk-filling", "a", now).await.unwrap();
        assert_eq!(catalog.findings(false).await.unwrap(), []);
        assert!(catalog.put_finding(&seen("a", "80 %"), now).await.unwrap());
        assert_eq!(catalog.findings(true).await.unwrap().len(), 2);
        let trimmed = catalog.trim_findings(now + TimeDelta::seconds(1)).await;
        assert_eq!(trimmed.unwrap(), 1);
    }

    #[tokio::test]
    async fn silence_means_nothing_just_after_a_start() {
        let catalog = TestCatalog::new().await;
        let folder = tempfile::tempdir().unwrap();
        let lookers = lookers(&catalog, folder.path()).await;
        let started = Utc::now();
        let hosts = || vec![silent_host("web-1", started - TimeDelta::hours(1))];
        let look = async |after: i64| {
            let now = started + TimeDelta::seconds(after);
            let before = Facts::default();
            look_once(&catalog, &lookers, hosts(), &before, started, now)
                .await
                .unwrap();
            catalog.findings(false).await.unwrap()
        };
        assert_eq!(look(1).await, []);
        let found = look(46).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind, "host-silent");
        let opened_at = found[0].opened_at;
        // The next controller has just started: what is open stays open, unchanged.
        let restarted = started + TimeDelta::minutes(10);
        let now = restarted + TimeDelta::seconds(1);
        let before = Facts::default();
        look_once(&catalog, &lookers, hosts(), &before, restarted, now)
            .await
            .unwrap();
        let kept = catalog.findings(false).await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].opened_at, opened_at);
    }
}
