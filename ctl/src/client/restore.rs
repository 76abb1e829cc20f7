//! Restores: submitted here, watched as any job.

use std::time::Duration;

use holdfast_proto::{
    names::{DatabaseName, VolumeName},
    time::{from_timestamp, to_duration},
    wire,
};

use super::{CallError, Client, read::required, within};
use crate::view::restore::Restoring;

/// A restore as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoreSpec {
    /// A number, or a database with `@latest`, `@latest-proven` or `@before:TIME`.
    pub backup: String,
    /// None: where the backup was taken.
    pub target: Option<DatabaseName>,
    /// Of a volume's backup.
    pub volume: Option<VolumeName>,
    /// What runs with a volume that is replaced is stopped for the exchange.
    pub stop: bool,
    pub replace: bool,
    pub no_safety_backup: bool,
    /// Leave alone what the policy would have stopped.
    pub no_hooks: bool,
    /// None: as the controller is set.
    pub keep: Option<Duration>,
    pub dry_run: bool,
    /// 0: the controller chooses.
    pub jobs: u32,
    /// Patterns; empty: everything.
    pub tables: Vec<String>,
}

/// # Errors
/// The controller refuses, does not answer, or answers what makes no sense.
impl Client {
    /// Which backup was chosen, and the job that brings it back.
    pub async fn restore_database(&mut self, spec: RestoreSpec) -> Result<Restoring, CallError> {
        let request = wire::RestoreDatabaseRequest::from(spec);
        let answer = within(self.within, self.inner.restore_database(request)).await?;
        let wire::RestoreDatabaseResponse {
            job,
            backup,
            source,
            target,
            taken_at,
        } = answer;
        let name = |field, name: Option<wire::DatabaseName>| {
            let name = DatabaseName::try_from(required("RestoreDatabaseResponse", field, name)?)?;
            Ok::<_, CallError>(name.to_string())
        };
        Ok(Restoring {
            job,
            backup,
            source: name("source", source)?,
            target: name("target", target)?,
            taken_at: from_timestamp("RestoreDatabaseResponse", "taken_at", taken_at)?,
        })
    }
}

impl From<RestoreSpec> for wire::RestoreDatabaseRequest {
    fn from(spec: RestoreSpec) -> Self {
        let RestoreSpec {
            backup,
            target,
            volume,
            stop,
            replace,
            no_safety_backup,
            no_hooks,
            keep,
            dry_run,
            jobs,
            tables,
        } = spec;
        Self {
            backup,
            target: target.map(Into::into),
            replace,
            keep: keep.map(to_duration),
            dry_run,
            jobs,
            tables,
            target_volume: volume.map(Into::into),
            stop,
            no_safety_backup,
            no_hooks,
        }
    }
}
