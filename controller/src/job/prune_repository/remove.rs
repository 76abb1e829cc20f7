//! Forget the backups whose time is over: in the catalog first, then in the repository.
//!
//! In this order no backup is ever shown that cannot be restored. A snapshot that a crash left behind is
//! forgotten by whoever comes next, since the catalog still knows it.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_chassis::units;
use holdfast_proto::{
    names::HostName,
    task::{FailureKind, TaskFailure},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PruneRepository;
use crate::{
    audit::Outcome,
    catalog::{Backup, BackupId, BackupState, CatalogError, Shelved},
    job::{
        JobId,
        definition::{Step, StepDone, StepFailure},
        event::Why,
        step::{StepContext, catalog_failure},
    },
    retention::{
        Decision,
        removal::{self, GRACE},
    },
    standing::{gather, retain},
};

pub const NAME: &str = "remove";

#[derive(Debug)]
pub struct Remove<'a>(pub &'a PruneRepository);

/// What left the repository's list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Removed by this job, and by an earlier one that was interrupted before their snapshots were gone.
    pub backups: Vec<BackupId>,
    /// Snapshots that no backup of the catalog has.
    pub unknown: u64,
    /// Backups that count, and whose snapshots are not there.
    pub missing: Vec<BackupId>,
}

/// What is to be done with the snapshots that a repository lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgetting {
    pub forget: BTreeSet<String>,
    /// Left alone: it may be the catalog that lost something.
    pub unknown: BTreeSet<String>,
    pub backups: Vec<BackupId>,
}

#[async_trait]
impl Step for Remove<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let (host, shelf) = (&self.0.host, &ctx.world.shelf);
        // Before anything is claimed: a repository that is away keeps all of its backups.
        let listed = shelf.snapshots(host).await;
        let listed = listed.map_err(|why| why.failure(host))?;
        // There is no way back from here on.
        if ctx.cancel.is_cancelled() {
            return Err(cancelled().into());
        }
        let failed = |error| StepFailure::from(catalog_failure(&error));
        let missing = claim(ctx, host, &listed).await.map_err(failed)?;
        let known = ctx.world.catalog.shelved(host).await.map_err(failed)?;
        audit(ctx, &known).await.map_err(failed)?;
        let forgetting = forgetting(&known, &listed, ctx.job);
        tell(host, &forgetting.unknown, &missing);
        let removed = Removed {
            backups: forgetting.backups,
            unknown: forgetting.unknown.len() as u64,
            missing,
        };
        match shelf.forget(host, &forgetting.forget).await {
            Ok(()) => StepDone::with(&removed),
            Err(why) => Err(StepFailure::with(why.failure(host), &removed)),
        }
    }

    /// What is removed stays so; see [`super`].
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        let Some(removed) = Removed::read(output) else {
            return String::new();
        };
        let mut said = if removed.backups.is_empty() {
            "no backup's time is over".to_owned()
        } else {
            format!("removed {}", removed.named())
        };
        if removed.unknown > 0 {
            let unknown = units::plural(removed.unknown, "snapshot");
            said.push_str(&format!("; {unknown} that the catalog does not know: left"));
        }
        if !removed.missing.is_empty() {
            let missing = named(&removed.missing);
            said.push_str(&format!(
                "; NOT IN THE REPOSITORY, though the catalog has it: {missing}"
            ));
        }
        said
    }
}

impl Removed {
    /// None: the step did not come so far.
    #[must_use]
    pub fn read(output: &Value) -> Option<Self> {
        serde_json::from_value(output.clone()).ok()
    }

    #[must_use]
    pub fn named(&self) -> String {
        named(&self.backups)
    }
}

/// "backup 3", "backups 3, 4".
fn named(backups: &[BackupId]) -> String {
    let ids: Vec<_> = backups.iter().map(ToString::to_string).collect();
    let noun = if ids.len() == 1 { "backup" } else { "backups" };
    format!("{noun} {}", ids.join(", "))
}

fn cancelled() -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Cancelled,
        message: "cancelled before anything was removed".to_owned(),
        advice: String::new(),
        retryable: false,
    }
}

/// Those of a host whose time of grace is over, and which nothing keeps now.
#[must_use]
pub fn due(
    mut decisions: Vec<(Backup, Decision, String)>,
    host: &HostName,
    now: DateTime<Utc>,
) -> Vec<(Backup, Decision, String)> {
    decisions.retain(|(backup, decision, _)| {
        let step = removal::step(decision.keep, backup.marked_at, GRACE, now);
        backup.database.host == *host && step == removal::Step::Remove
    });
    decisions
}

/// Only what the catalog calls removed is forgotten.
#[must_use]
pub fn forgetting(known: &[Shelved], listed: &BTreeSet<String>, job: JobId) -> Forgetting {
    let mut forgetting = Forgetting {
        unknown: listed.clone(),
        ..Forgetting::default()
    };
    for shelved in known {
        let is_there = forgetting.unknown.remove(&shelved.snapshot);
        if shelved.removed_at.is_none() {
            continue;
        }
        if is_there {
            forgetting.forget.insert(shelved.snapshot.clone());
        }
        if is_there || shelved.removed_by == Some(job) {
            forgetting.backups.push(shelved.backup);
        }
    }
    forgetting
}

/// Removes in the catalog what is due. A backup whose snapshot is not there takes no other's place in the rules:
/// it is decided as if it were damaged, and told.
async fn claim(
    ctx: &StepContext,
    host: &HostName,
    listed: &BTreeSet<String>,
) -> Result<Vec<BackupId>, CatalogError> {
    let (catalog, now) = (&ctx.world.catalog, ctx.now());
    let mut gathered = gather(catalog).await?;
    let mut missing = Vec::new();
    for backup in &mut gathered.backups {
        if backup.database.host == *host && !listed.contains(&backup.snapshot_id) {
            backup.state = BackupState::Damaged;
            missing.push(backup.id);
        }
    }
    for (backup, ..) in due(retain(&gathered, now), host, now) {
        // What was pinned, unmarked or chosen by a job in this moment stays.
        catalog
            .remove_backup(backup.id, now - GRACE, (ctx.job, now))
            .await?;
    }
    Ok(missing)
}

/// A line for each that this job removed; twice after a crash.
async fn audit(ctx: &StepContext, known: &[Shelved]) -> Result<(), CatalogError> {
    let by_this_job = |shelved: &&Shelved| shelved.removed_by == Some(ctx.job);
    for shelved in known.iter().filter(by_this_job) {
        let subject = format!("backup/{}", shelved.backup);
        let detail = format!("{}: its time was over, job {}", shelved.database, ctx.job);
        let (catalog, ok) = (&ctx.world.catalog, Outcome::Ok);
        catalog
            .audit("controller", "backup.remove", &subject, ok, &detail)
            .await?;
    }
    Ok(())
}

fn tell(host: &HostName, unknown: &BTreeSet<String>, missing: &[BackupId]) {
    if !unknown.is_empty() {
        tracing::warn!(
            %host,
            snapshots = ?unknown,
            "the repository holds snapshots that the catalog does not know: they are left alone, and take up space. \
             They are leftovers of backups that failed at their end, or the catalog lost rows"
        );
    }
    if !missing.is_empty() {
        tracing::error!(
            %host,
            backups = ?missing,
            "backups are not in their repository any more: run ctl repository check {host}, and make new ones"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelved(backup: BackupId, removed_by: Option<JobId>) -> Shelved {
        Shelved {
            backup,
            database: "web-1/shop-db/shop".parse().unwrap(),
            snapshot: format!("s{backup}"),
            removed_at: removed_by.map(|_| DateTime::UNIX_EPOCH),
            removed_by,
        }
    }

    #[test]
    fn only_what_the_catalog_calls_removed_is_forgotten() {
        let known = [
            shelved(1, None),
            // By an earlier run that did not come to the repository.
            shelved(2, Some(6)),
            // By an earlier run.
            shelved(3, Some(6)),
            shelved(4, Some(7)),
            // By this job, before it was interrupted.
            shelved(5, Some(7)),
        ];
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let listed: BTreeSet<String> = names(&["s1", "s2", "s4", "from elsewhere"]);
        let found = forgetting(&known, &listed, 7);
        assert_eq!(found.forget, names(&["s2", "s4"]));
        assert_eq!(found.unknown, names(&["from elsewhere"]));
        assert_eq!(found.backups, [2, 4, 5]);
        assert_eq!(
            forgetting(&known[..1], &names(&["s1"]), 7),
            Forgetting::default()
        );
    }

    #[test]
    fn what_was_removed_is_named() {
        assert_eq!(named(&[3]), "backup 3");
        assert_eq!(named(&[3, 4]), "backups 3, 4");
    }
}
