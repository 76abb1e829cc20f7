//! Back a live database up into its host's repository: preflight, store, record.
//!
//! Nothing changes on the host. What counts as a backup is the row that `record` writes, at the very end.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{
    names::DatabaseName,
    task::{Selection, TaskFailure},
};
use serde::{Deserialize, Serialize};

use super::{
    JobId,
    definition::{Definition, Step},
    event::Leftover,
    locks::{Resource, ResourceWish},
    position::Position,
    step::StepContext,
    view::JobReport,
};
use crate::catalog::BackupKind;

pub mod preflight;
pub mod record;
pub mod store;

/// No backup runs for longer.
const DEADLINE: Duration = Duration::from_hours(24);

/// What an operator or a schedule asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackUpDatabase {
    pub source: DatabaseName,
    pub selection: Selection,
    /// Connections that read; 0: chosen by processors.
    pub jobs: u32,
    /// Bytes a second; 0: no limit.
    pub bandwidth: u64,
    /// It keeps what is about to be replaced, whatever that is: never what `latest` means.
    #[serde(default)]
    pub is_safety: bool,
}

#[async_trait]
impl Definition for BackUpDatabase {
    fn title(&self) -> String {
        self.source.to_string()
    }

    fn check(&self) -> Result<(), String> {
        let patterns = [
            &self.selection.tables,
            &self.selection.exclude_tables,
            &self.selection.exclude_table_data,
        ];
        if patterns.into_iter().flatten().any(|p| p.trim().is_empty()) {
            return Err("a table pattern is empty".to_owned());
        }
        if self.jobs > 64 {
            return Err(format!(
                "{} connections are too many: at most 64",
                self.jobs
            ));
        }
        Ok(())
    }

    fn locks(&self) -> Vec<ResourceWish> {
        vec![
            ResourceWish::shared(Resource::Database(self.source.clone())),
            ResourceWish::shared(Resource::Instance(self.source.instance_name())),
            // Pruning has it alone.
            ResourceWish::shared(Resource::Repository(self.source.host.clone())),
        ]
    }

    fn steps(&self) -> Vec<Box<dyn Step + '_>> {
        vec![
            Box::new(preflight::Preflight(self)),
            Box::new(store::Store(self)),
            Box::new(record::Record(self)),
        ]
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    // A backup is taken away by retention, or by an operator who names it.
    fn keep(&self) -> Option<Duration> {
        None
    }

    fn report(&self, _: JobId, position: &Position, _: DateTime<Utc>) -> JobReport {
        JobReport {
            preflight: super::copy_database::preflight::lines(position),
            ..JobReport::default()
        }
    }

    async fn sweep(&self, _: &Leftover, _: &StepContext) -> Result<bool, TaskFailure> {
        Ok(false)
    }
}

impl BackUpDatabase {
    /// How much of the database is in it.
    #[must_use]
    pub fn kind(&self) -> BackupKind {
        if self.is_safety {
            BackupKind::BeforeReplace
        } else if self.selection == Selection::default() {
            BackupKind::Full
        } else if self.selection.schema_only {
            BackupKind::SchemaOnly
        } else {
            BackupKind::Tables
        }
    }
}
