//! Jobs, to the wire.

use holdfast_proto::{
    image::{DataPath, ProofLevel},
    wire::{self, watch_job_response},
};

use super::{check::verdict_of, duration, time};
use crate::job::{
    EventLine, JobDetails, JobProgress, JobReport, JobState, JobSummary, KeptDatabase, KeptReason,
    Update,
    copy_database::preflight::{PreflightLine, PreflightVerdict},
    landing::proof::{CopyProof, ProvenCheck, ProvenRelation},
    prune_repository::{PruneReport, prune::Freed, remove::Removed},
};

impl From<JobSummary> for wire::Job {
    fn from(job: JobSummary) -> Self {
        let JobSummary {
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
        Self {
            id,
            kind,
            state: wire::JobState::from(state).into(),
            title,
            requested_by,
            created_at: time(created_at),
            started_at: started_at.and_then(time),
            ended_at: ended_at.and_then(time),
            step,
            step_number,
            step_count,
            reason,
            advice,
            trace_id,
            undo_until: undo_until.and_then(time),
        }
    }
}

impl From<JobState> for wire::JobState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Waiting => Self::Waiting,
            JobState::Running => Self::Running,
            JobState::Undoing => Self::Undoing,
            JobState::Succeeded => Self::Succeeded,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
            JobState::Undone => Self::Undone,
            JobState::Stuck => Self::Stuck,
        }
    }
}

impl From<JobDetails> for wire::GetJobResponse {
    fn from(details: JobDetails) -> Self {
        let JobDetails {
            job,
            events,
            report,
        } = details;
        Self {
            job: Some(job.into()),
            events: events.into_iter().map(Into::into).collect(),
            report: Some(report.into()),
        }
    }
}

impl From<EventLine> for wire::JobEvent {
    fn from(line: EventLine) -> Self {
        let EventLine {
            sequence,
            at,
            kind,
            step,
            attempt,
            message,
        } = line;
        Self {
            sequence,
            at: time(at),
            kind: kind.to_owned(),
            step,
            attempt,
            message,
        }
    }
}

impl From<Update> for wire::WatchJobResponse {
    fn from(update: Update) -> Self {
        use watch_job_response::Update as Wire;
        Self {
            update: Some(match update {
                Update::Event(line) => Wire::Event(line.into()),
                Update::Progress(progress) => Wire::Progress(progress.into()),
                Update::Job(job) => Wire::Job(job.into()),
            }),
        }
    }
}

impl From<JobProgress> for wire::JobProgress {
    fn from(progress: JobProgress) -> Self {
        let JobProgress {
            step,
            host,
            progress,
            bytes_per_second,
            remaining,
        } = progress;
        Self {
            step,
            host: host.to_string(),
            progress: Some(progress.into()),
            bytes_per_second,
            remaining: remaining.and_then(duration),
        }
    }
}

impl From<JobReport> for wire::JobReport {
    fn from(report: JobReport) -> Self {
        let JobReport {
            preflight,
            proof,
            roles_left,
            roles_left_uncertain,
            kept,
            undo,
            pruned,
            merged,
            checklist,
        } = report;
        Self {
            preflight: preflight.into_iter().map(Into::into).collect(),
            proof: proof.map(Into::into),
            roles_left,
            roles_left_uncertain,
            kept: kept.into_iter().map(Into::into).collect(),
            undo,
            pruned: pruned.map(Into::into),
            merged: merged.map(Into::into),
            checklist: checklist.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<PruneReport> for wire::PruneReport {
    fn from(report: PruneReport) -> Self {
        let PruneReport { removed, freed } = report;
        let Removed {
            backups,
            unknown,
            missing,
        } = removed;
        Self {
            backups,
            unknown_snapshots: unknown,
            freed: freed.map(Into::into),
            missing_backups: missing,
        }
    }
}

impl From<Freed> for wire::FreedSpace {
    fn from(freed: Freed) -> Self {
        let Freed {
            marked_packs,
            waiting_packs,
            removed_packs,
            recovered_packs,
            bytes_before,
            bytes_after,
        } = freed;
        Self {
            marked_packs,
            waiting_packs,
            removed_packs,
            recovered_packs,
            bytes_before,
            bytes_after,
        }
    }
}

impl From<KeptDatabase> for wire::KeptDatabase {
    fn from(kept: KeptDatabase) -> Self {
        let KeptDatabase {
            database,
            until,
            reason,
        } = kept;
        let reason = match reason {
            KeptReason::Replaced => wire::KeptReason::Replaced,
            KeptReason::Undone => wire::KeptReason::Undone,
        };
        Self {
            database: Some(database.into()),
            until: time(until),
            reason: reason.into(),
        }
    }
}

impl From<PreflightLine> for wire::PreflightLine {
    fn from(line: PreflightLine) -> Self {
        let PreflightLine {
            question,
            verdict,
            detail,
            advice,
        } = line;
        let verdict = match verdict {
            PreflightVerdict::Passed => wire::PreflightVerdict::Passed,
            PreflightVerdict::Warning => wire::PreflightVerdict::Warning,
            PreflightVerdict::Failed => wire::PreflightVerdict::Failed,
        };
        Self {
            question,
            verdict: verdict.into(),
            detail,
            advice,
        }
    }
}

impl From<CopyProof> for wire::CopyProof {
    fn from(proof: CopyProof) -> Self {
        let CopyProof {
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
        Self {
            level: match level {
                ProofLevel::Transit => wire::ProofLevel::Transit,
                ProofLevel::Full => wire::ProofLevel::Full,
            }
            .into(),
            relations: relations.into_iter().map(Into::into).collect(),
            checks: checks.into_iter().map(Into::into).collect(),
            path: match path {
                DataPath::Direct => wire::DataPath::Direct,
                DataPath::Relay => wire::DataPath::Relay,
                DataPath::Repository => wire::DataPath::Repository,
            }
            .into(),
            resent_parts,
            rows,
            bytes,
            green,
            snapshot_at: time(snapshot_at),
            lsn,
            created_roles,
            notices,
        }
    }
}

impl From<ProvenRelation> for wire::ProvenRelation {
    fn from(relation: ProvenRelation) -> Self {
        let ProvenRelation {
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
            source_fingerprint: source_fingerprint.to_string(),
            target_fingerprint: target_fingerprint.to_string(),
            equal,
        }
    }
}

impl From<ProvenCheck> for wire::ProvenCheck {
    fn from(check: ProvenCheck) -> Self {
        let ProvenCheck {
            name,
            verdict,
            outcome,
            reasons,
        } = check;
        Self {
            name,
            verdict: verdict_of(verdict).into(),
            outcome: Some(outcome.into()),
            reasons,
        }
    }
}
