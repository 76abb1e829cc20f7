//! Note in the catalog that there is a backup of the volume.

use async_trait::async_trait;
use holdfast_proto::task::{BackedUpVolume, TaskFailure};
use serde_json::Value;

use super::{
    BackUpVolume,
    contents::{FORMAT, VolumeContents},
    store,
};
use crate::{
    catalog::{BackupKind, NewBackup},
    job::{
        back_up_database::record,
        definition::{Step, StepDone, StepFailure, defect},
        event::Why,
        step::StepContext,
    },
};

#[derive(Debug)]
pub struct Record<'a>(pub &'a BackUpVolume);

#[async_trait]
impl Step for Record<'_> {
    fn name(&self) -> &'static str {
        "record"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let BackedUpVolume {
            image,
            snapshot,
            added_bytes,
        } = ctx.output(store::NAME)?;
        let contents = VolumeContents {
            format: FORMAT,
            image,
        };
        let backup = NewBackup {
            database: self.0.source.clone().into(),
            engine: None,
            kind: BackupKind::Volume,
            taken_at: contents.image.taken_at,
            stored_at: ctx.now(),
            logical_bytes: contents.image.bytes,
            stored_bytes: added_bytes,
            snapshot_id: snapshot,
            manifest: serde_json::to_value(&contents)
                .map_err(|error| defect(format!("a manifest cannot be stored: {error}")))?,
            job: Some(ctx.job),
        };
        record::add(ctx, &backup).await
    }

    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        record::withdraw(ctx).await
    }

    fn says(&self, output: &Value) -> String {
        record::says(output)
    }
}
