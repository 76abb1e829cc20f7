//! What operators may ask of jobs: submit, list, look, cancel, undo.

use super::{
    CopyDatabase, Engine, JobDetails, JobError, JobId, JobSpec, JobSummary,
    event::Recorded,
    position::Position,
    view::{EventLine, JobState},
};
use crate::catalog::{JobRow, NewJob, NewStep};

/// What a list holds when nothing is said, and at most.
const DEFAULT_LIMIT: u32 = 50;
const LARGEST_LIMIT: u32 = 1000;

impl Engine {
    /// Stores the copy as a job; it begins as soon as its locks and a place are free.
    ///
    /// # Errors
    /// When the request makes no sense whatever the fleet looks like, or the catalog fails.
    pub async fn submit_copy(
        &self,
        request: CopyDatabase,
        requested_by: &str,
        traceparent: &str,
    ) -> Result<JobId, JobError> {
        self.submit(JobSpec::CopyDatabase(request), requested_by, traceparent)
            .await
    }

    /// Stores a job of any kind.
    ///
    /// # Errors
    /// As [`Self::submit_copy`].
    pub async fn submit(
        &self,
        spec: JobSpec,
        requested_by: &str,
        traceparent: &str,
    ) -> Result<JobId, JobError> {
        let new = self.new_job(spec, requested_by, traceparent)?;
        let job = self.inner.world.catalog.submit_job(new).await?;
        // The engine of this process need not wait for the catalog to tell it.
        let _ = self.inner.rung.send(job);
        Ok(job)
    }

    /// The job of a step of a runbook. None: somebody has begun the step already.
    ///
    /// # Errors
    /// As [`Self::submit_copy`].
    pub async fn submit_step(
        &self,
        spec: JobSpec,
        traceparent: &str,
        step: &NewStep,
    ) -> Result<Option<JobId>, JobError> {
        let new = self.new_job(spec, &step.by, traceparent)?;
        let job = self
            .inner
            .world
            .catalog
            .submit_job_of_step(new, step)
            .await?;
        if let Some(job) = job {
            let _ = self.inner.rung.send(job);
        }
        Ok(job)
    }

    fn new_job(
        &self,
        spec: JobSpec,
        requested_by: &str,
        traceparent: &str,
    ) -> Result<NewJob, JobError> {
        let world = &self.inner.world;
        spec.definition().check().map_err(JobError::Invalid)?;
        let created_at = world.clock.now();
        let deadline = chrono::TimeDelta::from_std(spec.definition().deadline())
            .ok()
            .and_then(|limit| created_at.checked_add_signed(limit));
        Ok(NewJob {
            spec,
            requested_by: requested_by.to_owned(),
            traceparent: traceparent.to_owned(),
            created_at,
            deadline,
        })
    }

    /// Newest first. `limit` 0: 50; at most 1000.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn list(&self, limit: u32, active_only: bool) -> Result<Vec<JobSummary>, JobError> {
        let limit = if limit == 0 { DEFAULT_LIMIT } else { limit };
        let catalog = &self.inner.world.catalog;
        let rows = catalog.jobs(limit.min(LARGEST_LIMIT), active_only).await?;
        Ok(rows.into_iter().map(JobRow::view).collect())
    }

    /// The job with its history and everything that it found out.
    ///
    /// # Errors
    /// When there is no such job, its history makes no sense, or the catalog fails.
    pub async fn get(&self, id: JobId) -> Result<JobDetails, JobError> {
        let row = self.row(id).await?;
        let events = self.inner.world.catalog.job_events(id, 0).await?;
        let position =
            Position::replay(&events).map_err(|source| JobError::Replay { id, source })?;
        let now = self.inner.world.clock.now();
        let report = row.spec.definition().report(id, &position, now);
        Ok(JobDetails {
            events: lines(&row.spec, &events),
            report,
            job: row.view(),
        })
    }

    /// Asks for the end of a job that has not ended; what it has done so far is undone. Asking
    /// twice is fine.
    ///
    /// # Errors
    /// When it has ended, is being undone by request, does not exist, or the catalog fails.
    pub async fn cancel(&self, id: JobId, by: &str) -> Result<JobSummary, JobError> {
        let row = self.row(id).await?;
        if row.undo_requested_by.is_some() {
            return Err(JobError::AlreadyUndoing(id));
        }
        let state = row.state;
        if state.has_ended() || !self.inner.world.catalog.request_cancel(id, by).await? {
            let state = self.row(id).await?.state;
            return Err(JobError::AlreadyEnded { id, state });
        }
        let _ = self.inner.rung.send(id);
        Ok(self.row(id).await?.view())
    }

    /// Asks for the undo of a job that succeeded, or once more for one that got stuck.
    ///
    /// # Errors
    /// When its time is over, nothing can be undone, it does not exist, or the catalog fails.
    pub async fn undo(&self, id: JobId, by: &str) -> Result<JobSummary, JobError> {
        let world = &self.inner.world;
        let row = self.row(id).await?;
        undoable(&row, world.clock.now())?;
        let locks = row.spec.definition().locks();
        let asked = world
            .catalog
            .request_undo(id, by, &locks, world.clock.now())
            .await?;
        if !asked {
            // Somebody was faster: say what it is now.
            undoable(&self.row(id).await?, world.clock.now())?;
        }
        let _ = self.inner.rung.send(id);
        Ok(self.row(id).await?.view())
    }

    pub(super) async fn row(&self, id: JobId) -> Result<JobRow, JobError> {
        let row = self.inner.world.catalog.job(id).await?;
        row.ok_or(JobError::NotFound(id))
    }
}

/// The events as operators see them.
pub(super) fn lines(spec: &JobSpec, events: &[Recorded]) -> Vec<EventLine> {
    let steps = spec.definition().steps();
    events
        .iter()
        .map(|recorded| {
            recorded.line(|step, output| {
                steps
                    .iter()
                    .find(|known| known.name() == step)
                    .map(|known| known.says(output))
                    .unwrap_or_default()
            })
        })
        .collect()
}

fn undoable(row: &JobRow, now: chrono::DateTime<chrono::Utc>) -> Result<(), JobError> {
    let id = row.id;
    if row.undo_requested_by.is_some() || row.state == JobState::Undoing {
        return Err(JobError::AlreadyUndoing(id));
    }
    match (row.state, row.summary.undo_until) {
        (JobState::Stuck, _) => Ok(()),
        (JobState::Succeeded, Some(until)) if until > now => Ok(()),
        (JobState::Succeeded, Some(until)) => Err(JobError::UndoTooLate { id, until }),
        (JobState::Succeeded, None) => Err(JobError::NothingToUndo(id)),
        (state, _) => Err(JobError::NotUndoable { id, state }),
    }
}
