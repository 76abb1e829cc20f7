//! What operators see of jobs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_proto::{
    names::{DatabaseName, HostName},
    task::{MergedRows, TaskProgress},
};
use serde::{Deserialize, Serialize};

use super::{
    JobId, copy_database::preflight::PreflightLine, landing::proof::CopyProof,
    prune_repository::PruneReport,
};

/// Where a job stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// For a lock, a free place, or the time of the next attempt to begin.
    Waiting,
    Running,
    Undoing,
    Succeeded,
    /// Everything it had done is undone.
    Failed,
    /// By an operator, and everything it had done is undone.
    Cancelled,
    /// Succeeded, and undone by an operator.
    Undone,
    /// Its undo failed: a person must look.
    Stuck,
}

impl JobState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Undoing => "undoing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Undone => "undone",
            Self::Stuck => "stuck",
        }
    }

    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Waiting | Self::Running | Self::Undoing => false,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Undone | Self::Stuck => true,
        }
    }
}

/// One line of `ctl job list`.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSummary {
    pub id: JobId,
    pub kind: String,
    pub state: JobState,
    pub title: String,
    pub requested_by: String,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// Step it is at (or was at when it ended); empty before the first.
    pub step: String,
    /// From 1; 0 before the first step.
    pub step_number: u32,
    pub step_count: u32,
    /// Why it waits, failed or is stuck.
    pub reason: String,
    pub advice: String,
    /// 32 hex digits; empty without a trace.
    pub trace_id: String,
    /// Until when `undo` can work.
    pub undo_until: Option<DateTime<Utc>>,
}

/// One event, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLine {
    pub sequence: u64,
    pub at: DateTime<Utc>,
    /// "created", "step-started", …
    pub kind: &'static str,
    /// Empty when it is about the whole job.
    pub step: String,
    /// From 1; 0 when it is about the whole job.
    pub attempt: u32,
    pub message: String,
}

/// What a job found out; every part may be absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobReport {
    pub preflight: Vec<PreflightLine>,
    pub proof: Option<CopyProof>,
    /// Of a job that did not succeed: roles that it created and nobody drops.
    #[serde(default)]
    pub roles_left: Vec<String>,
    /// Nobody heard how their creation ended: some may not be there, or be somebody else's.
    #[serde(default)]
    pub roles_left_uncertain: bool,
    /// What stands beside the target for a while.
    #[serde(default)]
    pub kept: Vec<KeptDatabase>,
    /// What an undo would do, in one sentence; empty when it would do nothing.
    #[serde(default)]
    pub undo: String,
    /// Of a job that prunes a repository.
    #[serde(default)]
    pub pruned: Option<PruneReport>,
    /// Of a job that merges rows.
    #[serde(default)]
    pub merged: Option<MergedRows>,
    /// Of a restore: what was looked at when the database stood in its place.
    #[serde(default)]
    pub checklist: Vec<PreflightLine>,
}

/// A database that is kept for a while and then dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptDatabase {
    pub database: DatabaseName,
    pub until: DateTime<Utc>,
    pub reason: KeptReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptReason {
    /// It stood under the target's name before.
    Replaced,
    /// The copy itself, after an undo.
    Undone,
}

/// One job with its history.
#[derive(Debug, Clone, PartialEq)]
pub struct JobDetails {
    pub job: JobSummary,
    pub events: Vec<EventLine>,
    pub report: JobReport,
}

/// Where the running step stands; not kept.
#[derive(Debug, Clone, PartialEq)]
pub struct JobProgress {
    pub step: String,
    /// Whose task speaks.
    pub host: HostName,
    pub progress: TaskProgress,
    /// Over the last seconds.
    pub bytes_per_second: u64,
    pub remaining: Option<Duration>,
}

/// What `watch` tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    Event(EventLine),
    Progress(JobProgress),
    /// After each event, and last of all.
    Job(JobSummary),
}
