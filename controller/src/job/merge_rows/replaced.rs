//! Which database a restore or a copy has replaced, while it still stands beside the one in its place.

use holdfast_proto::names::DatabaseName;

use crate::{
    catalog::JobRow,
    job::{
        Engine, JobError, JobId, JobSpec, JobState,
        landing::{Landing, marked::Mark},
        position::Position,
    },
};

/// As far back as a list of jobs goes.
const LOOKED_AT: u32 = 1000;

/// One that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    pub by: JobId,
    pub database: DatabaseName,
    /// Under which it stands now, on the same server.
    pub kept_as: String,
}

impl Engine {
    /// What the job replaced; none when it replaced nothing, was undone, or its time is over.
    ///
    /// # Errors
    /// When there is no such job, its history makes no sense, or the catalog fails.
    pub async fn replaced_by(&self, id: JobId) -> Result<Option<Replaced>, JobError> {
        let row = self.row(id).await?;
        self.replaced(&row).await
    }

    /// What was replaced last under this name and still stands.
    ///
    /// # Errors
    /// When a history makes no sense, or the catalog fails.
    pub async fn last_replaced(
        &self,
        database: &DatabaseName,
    ) -> Result<Option<Replaced>, JobError> {
        for row in self.catalog().jobs(LOOKED_AT, false).await? {
            let landed = landing(&row.spec).is_some_and(|landing| landing.target == database);
            if landed && let Some(replaced) = self.replaced(&row).await? {
                return Ok(Some(replaced));
            }
        }
        Ok(None)
    }

    async fn replaced(&self, row: &JobRow) -> Result<Option<Replaced>, JobError> {
        let Some(landing) = landing(&row.spec) else {
            return Ok(None);
        };
        if row.state != JobState::Succeeded {
            return Ok(None);
        }
        let id = row.id;
        let events = self.catalog().job_events(id, 0).await?;
        let position =
            Position::replay(&events).map_err(|source| JobError::Replay { id, source })?;
        let kept_as = landing.beside(Mark::Before, id);
        let mut left = position.leftovers.iter();
        let stands = left.any(|(_, left)| left.database.database == kept_as);
        Ok(stands.then(|| Replaced {
            by: id,
            database: landing.target.clone(),
            kept_as,
        }))
    }
}

fn landing(spec: &JobSpec) -> Option<Landing<'_>> {
    match spec {
        JobSpec::RestoreDatabase(restore) => Some(restore.landing()),
        JobSpec::CopyDatabase(copy) => Some(copy.landing()),
        JobSpec::BackUpDatabase(_)
        | JobSpec::PruneRepository(_)
        | JobSpec::DrillBackup(_)
        | JobSpec::MergeRows(_)
        | JobSpec::BackUpVolume(_)
        | JobSpec::RestoreVolume(_)
        | JobSpec::ReadRepository(_)
        | JobSpec::RebuildHost(_)
        | JobSpec::DrillVolume(_) => None,
    }
}
