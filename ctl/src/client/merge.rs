//! Merges of rows: submitted here, watched as any job.

use std::time::Duration;

use holdfast_proto::{names::DatabaseName, time::to_duration, wire};

use super::{CallError, Client, read::required, within};
use crate::view::merge::Merging;

/// A merge as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeSpec {
    /// None: where `job` put its backup or copy.
    pub database: Option<DatabaseName>,
    /// Whose replaced database is meant; none: the last that was replaced.
    pub job: Option<u64>,
    /// Another database of the same server instead; empty: none.
    pub from: String,
    /// Patterns; empty: every table.
    pub tables: Vec<String>,
    /// Of rows in conflict the replaced one wins.
    pub take: bool,
    pub dry_run: bool,
    /// None: as the controller is set.
    pub keep: Option<Duration>,
}

/// # Errors
/// The controller refuses, does not answer, or answers what makes no sense.
impl Client {
    /// Which database the rows come from, and the job that brings them.
    pub async fn merge_rows(&mut self, spec: MergeSpec) -> Result<Merging, CallError> {
        let request = wire::MergeRowsRequest::from(spec);
        let answer = within(self.within, self.inner.merge_rows(request)).await?;
        let wire::MergeRowsResponse {
            job,
            database,
            from,
            restore,
        } = answer;
        let database = required("MergeRowsResponse", "database", database)?;
        Ok(Merging {
            job,
            database: DatabaseName::try_from(database)?.to_string(),
            from,
            replaced_by: (restore > 0).then_some(restore),
        })
    }
}

impl From<MergeSpec> for wire::MergeRowsRequest {
    fn from(spec: MergeSpec) -> Self {
        let MergeSpec {
            database,
            job,
            from,
            tables,
            take,
            dry_run,
            keep,
        } = spec;
        let on_conflict = if take {
            wire::OnConflict::Take
        } else {
            wire::OnConflict::Keep
        };
        Self {
            database: database.map(Into::into),
            restore: job.unwrap_or_default(),
            from,
            tables,
            on_conflict: on_conflict.into(),
            dry_run,
            keep: keep.map(to_duration),
        }
    }
}
