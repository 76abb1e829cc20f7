//! Jobs: submitted, listed, watched, taken back.

use std::time::Duration;

use holdfast_proto::{
    WireError,
    image::{DataPath, ProofLevel},
    names::DatabaseName,
    task::{MergedRows, Selection},
    time::to_duration,
    wire,
};
use tonic::Streaming;

use super::{
    CallError, Client, each,
    read::{required, time, variant},
    within,
};
use crate::{
    follow::progress::Progress,
    view::{
        aftermath::{Aftermath, KeptDatabase, KeptReason},
        check::Outcome,
        job::{Job, JobDetail, JobEvent, JobState},
        proof::{Answer, CopyProof, PreflightLine, ProvenCheck, ProvenRelation},
        prune::Pruned,
    },
};

/// A copy as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct CopySpec {
    pub source: DatabaseName,
    pub target: DatabaseName,
    pub replace: bool,
    /// None: as the controller is set.
    pub keep: Option<Duration>,
    pub proof: ProofLevel,
    pub dry_run: bool,
    pub selection: Selection,
    /// 0: the controller chooses.
    pub jobs: u32,
    /// Bytes a second; 0: no limit.
    pub bandwidth: u64,
}

/// One thing that a watched job tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    Event(JobEvent),
    Progress(Progress),
    Job(Job),
}

/// A job's events from some point on, live.
#[derive(Debug)]
pub struct Watch(Streaming<wire::WatchJobResponse>);

impl Watch {
    /// The next update; `None` when the controller has told everything.
    ///
    /// # Errors
    /// The connection broke, or the update makes no sense.
    pub async fn next(&mut self) -> Result<Option<Update>, CallError> {
        loop {
            let message = self.0.message().await;
            let Some(message) = message.map_err(|status| CallError::from_status(&status))? else {
                return Ok(None);
            };
            // An update of a kind that a later version knows is passed over.
            if let Some(update) = message.update {
                return Ok(Some(Update::try_from(update)?));
            }
        }
    }
}

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    /// The number of the job that does it.
    pub async fn copy_database(&mut self, spec: CopySpec) -> Result<u64, CallError> {
        let request = wire::CopyDatabaseRequest::from(spec);
        Ok(within(self.within, self.inner.copy_database(request))
            .await?
            .job)
    }

    pub async fn jobs(&mut self, limit: u32, active_only: bool) -> Result<Vec<Job>, CallError> {
        let request = wire::ListJobsRequest { limit, active_only };
        let answer = within(self.within, self.inner.list_jobs(request)).await?;
        each(answer.jobs, Job::try_from)
    }

    pub async fn job(&mut self, id: u64) -> Result<JobDetail, CallError> {
        let answer = within(self.within, self.inner.get_job(wire::GetJobRequest { id })).await?;
        Ok(JobDetail::try_from(answer)?)
    }

    pub async fn watch_job(&mut self, id: u64, after_sequence: u64) -> Result<Watch, CallError> {
        let request = wire::WatchJobRequest { id, after_sequence };
        within(self.within, self.inner.watch_job(request))
            .await
            .map(Watch)
    }

    pub async fn cancel_job(&mut self, id: u64) -> Result<Job, CallError> {
        let answer = within(
            self.within,
            self.inner.cancel_job(wire::CancelJobRequest { id }),
        )
        .await?;
        Ok(required("CancelJobResponse", "job", answer.job)?.try_into()?)
    }

    pub async fn undo_job(&mut self, id: u64) -> Result<Job, CallError> {
        let answer = within(
            self.within,
            self.inner.undo_job(wire::UndoJobRequest { id }),
        )
        .await?;
        Ok(required("UndoJobResponse", "job", answer.job)?.try_into()?)
    }
}

impl From<CopySpec> for wire::CopyDatabaseRequest {
    fn from(spec: CopySpec) -> Self {
        let CopySpec {
            source,
            target,
            replace,
            keep,
            proof,
            dry_run,
            selection,
            jobs,
            bandwidth,
        } = spec;
        Self {
            source: Some(source.into()),
            target: Some(target.into()),
            replace,
            keep: keep.map(to_duration),
            proof: wire::ProofLevel::from(proof).into(),
            dry_run,
            selection: Some(selection.into()),
            jobs,
            bandwidth,
        }
    }
}

impl TryFrom<wire::Job> for Job {
    type Error = WireError;

    fn try_from(job: wire::Job) -> Result<Self, WireError> {
        let wire::Job {
            id,
            kind,
            state,
            title,
            requested_by,
            created_at,
            started_at,
            ended_at,
            step,
            step_number,
            step_count,
            reason,
            advice,
            trace_id,
            undo_until,
        } = job;
        Ok(Self {
            id,
            kind,
            state: variant("Job", "state", state, job_state)?,
            title,
            requested_by,
            created_at: time("Job", "created_at", created_at)?,
            started_at: time("Job", "started_at", started_at)?,
            ended_at: time("Job", "ended_at", ended_at)?,
            step,
            step_number,
            step_count,
            reason,
            advice,
            trace_id,
            undo_until: time("Job", "undo_until", undo_until)?,
        })
    }
}

impl TryFrom<wire::JobEvent> for JobEvent {
    type Error = WireError;

    fn try_from(event: wire::JobEvent) -> Result<Self, WireError> {
        let wire::JobEvent {
            sequence,
            at,
            kind,
            step,
            attempt,
            message,
        } = event;
        Ok(Self {
            sequence,
            at: time("JobEvent", "at", at)?,
            kind,
            step,
            attempt,
            message,
        })
    }
}

impl TryFrom<wire::GetJobResponse> for JobDetail {
    type Error = WireError;

    fn try_from(answer: wire::GetJobResponse) -> Result<Self, WireError> {
        let wire::GetJobResponse {
            job,
            events,
            report,
        } = answer;
        let wire::JobReport {
            preflight,
            proof,
            roles_left,
            roles_left_uncertain,
            kept,
            undo,
            pruned,
            merged,
            checklist,
        } = report.unwrap_or_default();
        Ok(Self {
            job: required("GetJobResponse", "job", job)?.try_into()?,
            events: events
                .into_iter()
                .map(JobEvent::try_from)
                .collect::<Result<_, _>>()?,
            preflight: preflight
                .into_iter()
                .map(PreflightLine::try_from)
                .collect::<Result<_, _>>()?,
            proof: proof.map(CopyProof::try_from).transpose()?,
            after: Aftermath {
                roles_left,
                roles_left_uncertain,
                kept: kept
                    .into_iter()
                    .map(KeptDatabase::try_from)
                    .collect::<Result<_, _>>()?,
                undo,
            },
            pruned: pruned.map(Pruned::from),
            merged: merged.map(MergedRows::try_from).transpose()?,
            checklist: checklist
                .into_iter()
                .map(PreflightLine::try_from)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<wire::KeptDatabase> for KeptDatabase {
    type Error = WireError;

    fn try_from(kept: wire::KeptDatabase) -> Result<Self, WireError> {
        let wire::KeptDatabase {
            database,
            until,
            reason,
        } = kept;
        let database = DatabaseName::try_from(required("KeptDatabase", "database", database)?)?;
        Ok(Self {
            database: database.to_string(),
            until: time("KeptDatabase", "until", until)?,
            reason: variant("KeptDatabase", "reason", reason, |reason| match reason {
                wire::KeptReason::Unspecified => None,
                wire::KeptReason::Replaced => Some(KeptReason::Replaced),
                wire::KeptReason::Undone => Some(KeptReason::Undone),
            })?,
        })
    }
}

impl TryFrom<wire::PreflightLine> for PreflightLine {
    type Error = WireError;

    fn try_from(line: wire::PreflightLine) -> Result<Self, WireError> {
        let wire::PreflightLine {
            question,
            verdict,
            detail,
            advice,
        } = line;
        Ok(Self {
            question,
            verdict: variant(
                "PreflightLine",
                "verdict",
                verdict,
                |verdict| match verdict {
                    wire::PreflightVerdict::Unspecified => None,
                    wire::PreflightVerdict::Passed => Some(Answer::Passed),
                    wire::PreflightVerdict::Warning => Some(Answer::Warning),
                    wire::PreflightVerdict::Failed => Some(Answer::Failed),
                },
            )?,
            detail,
            advice,
        })
    }
}

impl TryFrom<wire::CopyProof> for CopyProof {
    type Error = WireError;

    fn try_from(proof: wire::CopyProof) -> Result<Self, WireError> {
        let wire::CopyProof {
            level,
            relations,
            checks,
            path,
            resent_parts,
            rows,
            bytes,
            green,
            snapshot_at,
            lsn,
            created_roles,
            notices,
        } = proof;
        Ok(Self {
            level: variant("CopyProof", "level", level, |level: wire::ProofLevel| {
                ProofLevel::try_from(level).ok()
            })?,
            green,
            relations: relations.into_iter().map(ProvenRelation::from).collect(),
            checks: checks
                .into_iter()
                .map(ProvenCheck::try_from)
                .collect::<Result<_, _>>()?,
            path: wire::DataPath::try_from(path)
                .ok()
                .and_then(|path| DataPath::try_from(path).ok()),
            resent_parts,
            rows,
            bytes,
            snapshot_at: time("CopyProof", "snapshot_at", snapshot_at)?,
            lsn,
            created_roles,
            notices,
        })
    }
}

impl From<wire::ProvenRelation> for ProvenRelation {
    fn from(relation: wire::ProvenRelation) -> Self {
        let wire::ProvenRelation {
            schema,
            name,
            source_rows,
            target_rows,
            source_fingerprint,
            target_fingerprint,
            equal,
        } = relation;
        Self {
            schema,
            name,
            source_rows,
            target_rows,
            source_fingerprint,
            target_fingerprint,
            equal,
        }
    }
}

impl TryFrom<wire::ProvenCheck> for ProvenCheck {
    type Error = WireError;

    fn try_from(check: wire::ProvenCheck) -> Result<Self, WireError> {
        let wire::ProvenCheck {
            name,
            verdict,
            outcome,
            reasons,
        } = check;
        Ok(Self {
            name,
            verdict: variant("ProvenCheck", "verdict", verdict, super::check::verdict)?,
            outcome: outcome
                .map(holdfast_proto::check::CheckOutcome::try_from)
                .transpose()?
                .map(Outcome::from),
            reasons,
        })
    }
}

impl TryFrom<wire::watch_job_response::Update> for Update {
    type Error = WireError;

    fn try_from(update: wire::watch_job_response::Update) -> Result<Self, WireError> {
        use wire::watch_job_response::Update as Wire;
        Ok(match update {
            Wire::Event(event) => Self::Event(event.try_into()?),
            Wire::Progress(progress) => Self::Progress(progress.try_into()?),
            Wire::Job(job) => Self::Job(job.try_into()?),
        })
    }
}

impl TryFrom<wire::JobProgress> for Progress {
    type Error = WireError;

    fn try_from(message: wire::JobProgress) -> Result<Self, WireError> {
        let wire::JobProgress {
            step,
            host,
            progress,
            bytes_per_second,
            remaining,
        } = message;
        Ok(Self {
            step,
            host,
            task: required("JobProgress", "progress", progress)?.try_into()?,
            bytes_per_second,
            remaining: remaining
                .map(|left| {
                    holdfast_proto::time::from_duration("JobProgress", "remaining", Some(left))
                })
                .transpose()?,
        })
    }
}

fn job_state(state: wire::JobState) -> Option<JobState> {
    match state {
        wire::JobState::Unspecified => None,
        wire::JobState::Waiting => Some(JobState::Waiting),
        wire::JobState::Running => Some(JobState::Running),
        wire::JobState::Undoing => Some(JobState::Undoing),
        wire::JobState::Succeeded => Some(JobState::Succeeded),
        wire::JobState::Failed => Some(JobState::Failed),
        wire::JobState::Cancelled => Some(JobState::Cancelled),
        wire::JobState::Undone => Some(JobState::Undone),
        wire::JobState::Stuck => Some(JobState::Stuck),
    }
}
