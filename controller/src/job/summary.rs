//! What lists show of a job: derived from its position with each append, kept beside the events.

use chrono::{DateTime, Utc};
use holdfast_proto::names::DatabaseName;
use serde::{Deserialize, Serialize};

use super::{
    event::{Outcome, Why},
    position::{Ended, Phase, Position, Way},
    view::JobState,
};

/// The cached part of [`super::JobSummary`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub started_at: Option<DateTime<Utc>>,
    pub step: String,
    pub step_number: u32,
    pub step_count: u32,
    pub reason: String,
    pub advice: String,
    pub undo_until: Option<DateTime<Utc>>,
    /// What the sweep will drop: locked while it does.
    #[serde(default)]
    pub leftovers: Vec<DatabaseName>,
}

/// Everything that the catalog keeps beside the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    pub state: JobState,
    pub summary: Summary,
    pub ended_at: Option<DateTime<Utc>>,
    pub sweep_at: Option<DateTime<Utc>>,
}

/// `steps`: names of the job's steps in order.
#[must_use]
pub fn derive(position: &Position, steps: &[&str]) -> Derived {
    let ended = match &position.phase {
        Phase::Ended(ended) => Some(ended),
        _ => None,
    };
    let (reason, advice) = reason(position);
    let step = step(position);
    let number = steps.iter().position(|name| *name == step);
    // What a stuck job left is for a person to look at.
    let sweeps = ended.is_some_and(|ended| ended.outcome != Outcome::Stuck);
    Derived {
        state: state(position),
        ended_at: ended.map(|ended| ended.at),
        sweep_at: position.sweep_at().filter(|_| sweeps),
        summary: Summary {
            started_at: position.started_at,
            step: step.to_owned(),
            step_number: number.map_or(0, |index| u32::try_from(index + 1).unwrap_or(u32::MAX)),
            step_count: u32::try_from(steps.len()).unwrap_or(u32::MAX),
            reason,
            advice,
            undo_until: ended.and_then(|ended| ended.undo_until),
            leftovers: position
                .leftovers
                .iter()
                .map(|(_, left)| left.database.clone())
                .collect(),
        },
    }
}

fn state(position: &Position) -> JobState {
    match &position.phase {
        Phase::Empty | Phase::Waiting => JobState::Waiting,
        Phase::Forward => JobState::Running,
        Phase::Unwinding(_) => JobState::Undoing,
        Phase::Ended(ended) => match ended.outcome {
            Outcome::Succeeded => JobState::Succeeded,
            Outcome::Failed => JobState::Failed,
            Outcome::Cancelled => JobState::Cancelled,
            Outcome::Undone => JobState::Undone,
            Outcome::Stuck => JobState::Stuck,
        },
    }
}

/// The step it is at; after the end the one it got to.
fn step(position: &Position) -> &str {
    if let Some(open) = &position.open {
        return &open.step;
    }
    let last_done = position.done.last().map(|done| done.step.as_str());
    let last_output = position.outputs.last().map(|(step, _)| step.as_str());
    last_done.or(last_output).unwrap_or_default()
}

fn reason(position: &Position) -> (String, String) {
    match &position.phase {
        Phase::Ended(Ended {
            outcome: Outcome::Stuck,
            stuck_on: Some(failure),
            ..
        }) => (failure.message.clone(), failure.advice.clone()),
        Phase::Ended(Ended { why: Some(why), .. }) => said(why),
        Phase::Forward | Phase::Unwinding(_) => {
            let failed = position.open.as_ref().and_then(|open| {
                let failure = open.last_failure.as_ref()?;
                let of_undo = matches!(position.phase, Phase::Unwinding(_));
                (of_undo == (open.way == Way::Undo)).then_some(failure)
            });
            match (failed, &position.phase) {
                (Some(failure), _) => (failure.message.clone(), failure.advice.clone()),
                (None, Phase::Unwinding(why)) => said(why),
                (None, _) => (String::new(), String::new()),
            }
        }
        Phase::Empty | Phase::Waiting | Phase::Ended(_) => (String::new(), String::new()),
    }
}

fn said(why: &Why) -> (String, String) {
    match why {
        Why::Failed(failure) => (failure.message.clone(), failure.advice.clone()),
        Why::Cancelled { by } => (format!("cancelled by {by}"), String::new()),
        Why::Requested { by } => (format!("undo asked for by {by}"), String::new()),
    }
}
