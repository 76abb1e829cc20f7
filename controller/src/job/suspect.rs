//! A backup under suspicion: what a host could not restore is read by the controller itself before it is called damaged.
//!
//! Behind the gateway a host sees the same error whether a byte was flipped or a disk is slow to answer; the controller,
//! at the storage, does not.

use holdfast_proto::{
    names::HostName,
    task::{FailureKind, TaskFailure},
};

use super::step::{StepContext, catalog_failure};
use crate::catalog::{BackupId, BackupState};

/// Nobody shall choose it again, and it keeps no better one's place in retention.
///
/// # Errors
/// When the catalog fails.
pub async fn mark(ctx: &StepContext, backup: BackupId, why: &str) -> Result<(), TaskFailure> {
    let judged = ctx
        .world
        .catalog
        .judge_backup(backup, BackupState::Damaged, ctx.now());
    if judged.await.map_err(|error| catalog_failure(&error))? {
        tracing::error!(backup, "the backup is damaged: {why}");
    }
    Ok(())
}

/// Takes the failure of a restore; gives it back, with what reading the whole backup has shown where that was its
/// cause.
pub async fn look(
    ctx: &StepContext,
    host: &HostName,
    backup: BackupId,
    failure: TaskFailure,
) -> TaskFailure {
    if failure.kind != FailureKind::DataMismatch {
        return failure;
    }
    let snapshot = match ctx.world.catalog.backup(backup).await {
        Ok(Some(backup)) => backup.snapshot_id,
        Ok(None) => return failure,
        Err(error) => return catalog_failure(&error),
    };
    let found = tokio::select! {
        found = ctx.world.shelf.read_through(host, &snapshot) => found,
        () = ctx.cancel.cancelled() => return failure,
    };
    match found {
        Ok(found) if found.damage.is_empty() => failure,
        Ok(found) => {
            let what = found.damage.join("; ");
            if let Err(failure) = mark(ctx, backup, &what).await {
                return failure;
            }
            TaskFailure {
                message: format!("backup {backup} is damaged: {what}"),
                advice: format!(
                    "nothing was replaced. Restore an older one (ctl backup list), make a new one now (ctl backup \
                     create), and look at the storage: ctl repository check {host} --read-data 100%"
                ),
                ..failure
            }
        }
        Err(away) => TaskFailure {
            message: format!(
                "{}; whether the backup is damaged is not known: {away}",
                failure.message
            ),
            ..failure
        },
    }
}
