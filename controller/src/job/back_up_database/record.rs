//! Note in the catalog that there is a backup, with the user counts of the moment.

use async_trait::async_trait;
use holdfast_proto::{
    check::CheckOutcome,
    image::Manifest,
    names::DatabaseName,
    task::{BackedUpDatabase, DatabaseFacts, Selection, TaskFailure, TaskResult, TaskSpec},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BackUpDatabase, preflight, store};
use crate::{
    catalog::{BackupId, BackupKind, NewBackup},
    job::{
        copy_database::preflight::Examined,
        definition::{Step, StepDone, StepFailure, defect},
        event::Why,
        step::{StepContext, catalog_failure},
    },
};

pub const NAME: &str = "record";

/// Of [`BackupContents`].
const FORMAT: u32 = 1;

#[derive(Debug)]
pub struct Record<'a>(pub &'a BackUpDatabase);

/// What the catalog keeps of a backup beside its row: enough to restore it on any host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupContents {
    pub format: u32,
    pub image: Manifest,
    /// What the source said of itself.
    pub source: DatabaseFacts,
    pub selection: Selection,
    /// The database's checks, run right after the image was taken.
    pub checks: Vec<CheckedThen>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckedThen {
    pub name: String,
    pub outcome: CheckOutcome,
}

impl BackupContents {
    /// From what the catalog keeps.
    ///
    /// # Errors
    /// The reason, for the operator: a newer controller wrote it, or it is damaged.
    pub fn read(record: Value) -> Result<Self, String> {
        let format = record.get("format").and_then(Value::as_u64);
        if let Some(format) = format.filter(|format| *format > u64::from(FORMAT)) {
            return Err(format!(
                "its record has format {format}, and this controller knows up to {FORMAT}"
            ));
        }
        serde_json::from_value(record)
            .map_err(|error| format!("its record cannot be read: {error}"))
    }
}

/// What the step puts out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    pub backup: BackupId,
}

#[async_trait]
impl Step for Record<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let examined: Examined = ctx.output(preflight::NAME)?;
        let Some(source) = examined.source else {
            return Err(defect("the preflight passed without facts".to_owned()).into());
        };
        let stored: BackedUpDatabase = ctx.output(store::NAME)?;
        let backup = describe(ctx, request, request.kind(), source, stored).await?;
        add(ctx, &backup).await
    }

    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        withdraw(ctx).await
    }

    fn says(&self, output: &Value) -> String {
        says(output)
    }
}

/// The row of what was just stored, with the database's checks run now.
///
/// # Errors
/// When the catalog fails, or the job was cancelled.
pub async fn describe(
    ctx: &StepContext,
    request: &BackUpDatabase,
    kind: BackupKind,
    source: DatabaseFacts,
    stored: BackedUpDatabase,
) -> Result<NewBackup, TaskFailure> {
    let checks = checks(ctx, &request.source).await?;
    let relations = &stored.manifest.relations;
    let logical_bytes = relations.iter().map(|relation| relation.bytes).sum();
    let taken_at = stored.manifest.taken_at;
    let engine = source.engine();
    let contents = BackupContents {
        format: FORMAT,
        image: stored.manifest,
        source,
        selection: request.selection.clone(),
        checks,
    };
    Ok(NewBackup {
        database: request.source.clone(),
        engine: Some(engine),
        kind,
        taken_at,
        stored_at: ctx.now(),
        logical_bytes,
        stored_bytes: stored.added_bytes,
        snapshot_id: stored.snapshot,
        manifest: serde_json::to_value(&contents)
            .map_err(|error| defect(format!("a manifest cannot be stored: {error}")))?,
        job: Some(ctx.job),
    })
}

/// With its row a backup counts, of a database or of a volume.
///
/// # Errors
/// When the catalog fails.
pub async fn add(ctx: &StepContext, backup: &NewBackup) -> Result<StepDone, StepFailure> {
    let added = ctx.world.catalog.add_backup(backup).await;
    let backup = added.map_err(|error| catalog_failure(&error))?;
    StepDone::with(&Recorded { backup })
}

/// The undo: only of a job that was cancelled in the moment when it ended.
///
/// # Errors
/// When the catalog fails.
pub async fn withdraw(ctx: &StepContext) -> Result<StepDone, TaskFailure> {
    let withdrawn = ctx.world.catalog.withdraw_backups(ctx.job, ctx.now()).await;
    withdrawn.map_err(|error| catalog_failure(&error))?;
    Ok(StepDone::default())
}

/// In one line of the job's history.
#[must_use]
pub fn says(output: &Value) -> String {
    serde_json::from_value::<Recorded>(output.clone())
        .map(|recorded| format!("backup {}", recorded.backup))
        .unwrap_or_default()
}

/// A check that could not run is recorded as such: the rows are stored all the same.
async fn checks(ctx: &StepContext, source: &DatabaseName) -> Result<Vec<CheckedThen>, TaskFailure> {
    let checks = ctx.world.catalog.checks_of(source).await;
    let mut outcomes = Vec::new();
    for check in checks.map_err(|error| catalog_failure(&error))? {
        let spec = TaskSpec::RunCheck(check.task_on(&source.instance, &source.database));
        let ran = ctx
            .task(&format!("check-{}", check.id), &source.host, spec)
            .await;
        let outcome = match ran {
            Ok(TaskResult::CheckOutcome(outcome)) => outcome,
            Ok(_) => could_not(ctx, "the agent answered something else".to_owned()),
            Err(failure) if ctx.cancel.is_cancelled() => return Err(failure),
            Err(failure) => could_not(ctx, failure.message),
        };
        outcomes.push(CheckedThen {
            name: check.name,
            outcome,
        });
    }
    Ok(outcomes)
}

fn could_not(ctx: &StepContext, error: String) -> CheckOutcome {
    CheckOutcome {
        at: ctx.now(),
        count: None,
        newest: None,
        error,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_of_a_newer_controller_is_told_apart_from_a_damaged_one() {
        let read = |record| BackupContents::read(record).unwrap_err();
        let newer = read(json!({"format": FORMAT + 1, "image": "of another shape"}));
        assert!(newer.contains("this controller knows up to 1"), "{newer}");
        let damaged = read(json!({"format": FORMAT}));
        assert!(damaged.contains("cannot be read"), "{damaged}");
    }
}
