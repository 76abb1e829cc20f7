//! The facts a job's history is made of. Append-only; everything else is derived from them.

use chrono::{DateTime, Utc};
use holdfast_proto::{names::DatabaseName, task::TaskFailure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::view::EventLine;

/// One fact. Names of variants and fields are what the catalog stores: they only ever get more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// By the submission.
    Created,
    /// All locks are held, work begins.
    Started,
    /// A lease that had run out was taken over: its holder died or lost the catalog.
    Resumed {
        owner: String,
    },
    StepStarted {
        step: String,
        attempt: u32,
    },
    StepDone {
        step: String,
        attempt: u32,
        /// What later steps, the report and the undo need to know.
        output: Value,
        /// What stays behind for a while.
        #[serde(default)]
        leaves: Vec<Leftover>,
    },
    StepFailed {
        step: String,
        attempt: u32,
        failure: TaskFailure,
        /// What the step found out although it failed; null when nothing.
        #[serde(default)]
        output: Value,
        next: AfterFailure,
    },
    /// From here on, done steps are undone, the last one first.
    UnwindStarted {
        why: Why,
    },
    UndoStarted {
        step: String,
        attempt: u32,
    },
    StepUndone {
        step: String,
        attempt: u32,
        /// What the undo could not take back, or wants said; null when nothing.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        output: Value,
        #[serde(default)]
        leaves: Vec<Leftover>,
    },
    UndoFailed {
        step: String,
        attempt: u32,
        failure: TaskFailure,
        next: AfterFailure,
    },
    Ended {
        outcome: Outcome,
        /// Until when an operator may undo it.
        undo_until: Option<DateTime<Utc>>,
        /// What it made and nobody takes away, for people; empty when nothing.
        #[serde(default)]
        left: String,
    },
    /// Its time was over and it is gone.
    Swept {
        database: DatabaseName,
        existed: bool,
    },
    SweepFailed {
        database: DatabaseName,
        failure: TaskFailure,
        again_at: DateTime<Utc>,
    },
}

/// What was decided after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterFailure {
    RetryAt(DateTime<Utc>),
    /// Of a step: undo the job. Of an undo: it is stuck.
    GiveUp,
}

/// Why a job is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    Failed(TaskFailure),
    Cancelled {
        by: String,
    },
    /// It had succeeded, or its undo was stuck and is tried again.
    Requested {
        by: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Succeeded,
    Failed,
    Cancelled,
    Undone,
    Stuck,
}

/// A database that a job leaves behind for a while, under a name that carries the job's mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    pub database: DatabaseName,
    pub drop_after: DateTime<Utc>,
}

/// An event with its place in the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// From 1, without holes.
    pub seq: u64,
    pub at: DateTime<Utc>,
    pub event: Event,
}

/// Events that cannot follow one another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} ({kind}) cannot come while the job is {phase}")]
pub struct ReplayError {
    pub seq: u64,
    pub kind: &'static str,
    pub phase: &'static str,
}

impl Event {
    /// As shown to operators.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::Resumed { .. } => "resumed",
            Self::StepStarted { .. } => "step-started",
            Self::StepDone { .. } => "step-done",
            Self::StepFailed { .. } => "step-failed",
            Self::UnwindStarted { .. } => "undo-started",
            Self::UndoStarted { .. } => "step-undo-started",
            Self::StepUndone { .. } => "step-undone",
            Self::UndoFailed { .. } => "step-undo-failed",
            Self::Ended { .. } => "ended",
            Self::Swept { .. } => "swept",
            Self::SweepFailed { .. } => "sweep-failed",
        }
    }

    fn step_and_attempt(&self) -> (&str, u32) {
        match self {
            Self::StepStarted { step, attempt }
            | Self::StepDone { step, attempt, .. }
            | Self::StepFailed { step, attempt, .. }
            | Self::UndoStarted { step, attempt }
            | Self::StepUndone { step, attempt, .. }
            | Self::UndoFailed { step, attempt, .. } => (step, *attempt),
            Self::Created
            | Self::Started
            | Self::Resumed { .. }
            | Self::UnwindStarted { .. }
            | Self::Ended { .. }
            | Self::Swept { .. }
            | Self::SweepFailed { .. } => ("", 0),
        }
    }

    /// One line for people; `says` is what the kind of the job has to say of a step's output.
    #[must_use]
    pub fn message(&self, says: impl Fn(&str, &Value) -> String) -> String {
        match self {
            Self::Created => "waits for its turn".to_owned(),
            Self::Started => "has its locks and begins".to_owned(),
            Self::Resumed { owner } => format!("continued by {owner}: the lease had run out"),
            Self::StepStarted { attempt: 1, .. } => String::new(),
            Self::StepStarted { attempt, .. } => format!("attempt {attempt}"),
            Self::StepDone {
                step,
                output,
                leaves,
                ..
            } => with_leftovers(says(step, output), leaves),
            Self::StepFailed { failure, next, .. } => match next {
                AfterFailure::RetryAt(at) => {
                    format!("{}; tried again at {}", failure.message, clock(*at))
                }
                AfterFailure::GiveUp => failure.message.clone(),
            },
            Self::UnwindStarted { why } => match why {
                Why::Failed(failure) => format!("undoing what was done: {}", failure.message),
                Why::Cancelled { by } => format!("cancelled by {by}: undoing what was done"),
                Why::Requested { by } => format!("undo asked for by {by}"),
            },
            Self::UndoStarted { .. } => String::new(),
            Self::StepUndone {
                step,
                output,
                leaves,
                ..
            } => with_leftovers(says(step, output), leaves),
            Self::UndoFailed { failure, next, .. } => match next {
                AfterFailure::RetryAt(at) => {
                    format!("{}; tried again at {}", failure.message, clock(*at))
                }
                AfterFailure::GiveUp => {
                    format!("{}; this is not tried again by itself", failure.message)
                }
            },
            Self::Ended { outcome, left, .. } => ended(*outcome, left),
            Self::Swept { database, existed } => {
                if *existed {
                    format!("dropped {database}: its time was over")
                } else {
                    format!("{database} was gone already")
                }
            }
            Self::SweepFailed {
                database,
                failure,
                again_at,
            } => format!(
                "could not drop {database}: {}; tried again at {}",
                failure.message,
                clock(*again_at)
            ),
        }
    }
}

impl Recorded {
    /// As operators see it.
    #[must_use]
    pub fn line(&self, says: impl Fn(&str, &Value) -> String) -> EventLine {
        let (step, attempt) = self.event.step_and_attempt();
        EventLine {
            sequence: self.seq,
            at: self.at,
            kind: self.event.kind(),
            step: step.to_owned(),
            attempt,
            message: self.event.message(says),
        }
    }
}

fn ended(outcome: Outcome, left: &str) -> String {
    let everything = if left.is_empty() {
        "everything it had done"
    } else {
        "everything else it had done"
    };
    let said = match outcome {
        Outcome::Succeeded => "succeeded".to_owned(),
        Outcome::Failed => format!("failed; {everything} is undone"),
        Outcome::Cancelled => format!("cancelled; {everything} is undone"),
        Outcome::Undone => "undone".to_owned(),
        Outcome::Stuck => "stuck: its undo failed, a person must look".to_owned(),
    };
    if left.is_empty() {
        said
    } else {
        format!("{said}; {left}")
    }
}

fn with_leftovers(text: String, leaves: &[Leftover]) -> String {
    let kept = leaves.iter().map(|left| {
        format!(
            "{} stays until {} UTC",
            left.database,
            left.drop_after.format("%F %H:%M")
        )
    });
    std::iter::once(text)
        .filter(|text| !text.is_empty())
        .chain(kept)
        .collect::<Vec<_>>()
        .join("; ")
}

fn clock(at: DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%H:%M:%S UTC")
}

#[cfg(test)]
mod tests {
    use holdfast_proto::task::FailureKind;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_end_tells_what_is_left() {
        let said = |outcome, left: &str| {
            let event = Event::Ended {
                outcome,
                undo_until: None,
                left: left.to_owned(),
            };
            event.message(|_, _| String::new())
        };
        assert_eq!(
            said(Outcome::Failed, ""),
            "failed; everything it had done is undone"
        );
        assert_eq!(
            said(Outcome::Cancelled, "roles created and left: app"),
            "cancelled; everything else it had done is undone; roles created and left: app"
        );
        assert_eq!(said(Outcome::Undone, ""), "undone");
    }

    // What lies in catalogs must stay readable for ever.
    #[test]
    fn stored_form_is_stable() {
        let event = Event::StepFailed {
            step: "stage".to_owned(),
            attempt: 2,
            failure: TaskFailure {
                kind: FailureKind::Unavailable,
                message: "web-2 went away".to_owned(),
                advice: String::new(),
                retryable: true,
            },
            output: Value::Null,
            next: AfterFailure::GiveUp,
        };
        assert_eq!(
            serde_json::to_value(&event).unwrap(),
            json!({"event": "step-failed", "step": "stage", "attempt": 2, "output": null,
                "failure": {"kind": "unavailable", "message": "web-2 went away", "advice": "", "retryable": true},
                "next": "give-up"})
        );
        let older = json!({"event": "ended", "outcome": "failed", "undo_until": null});
        assert_eq!(
            serde_json::from_value::<Event>(older).unwrap(),
            Event::Ended {
                outcome: Outcome::Failed,
                undo_until: None,
                left: String::new(),
            }
        );
        let older = json!({"event": "step-undone", "step": "stage", "attempt": 1});
        assert_eq!(
            serde_json::from_value::<Event>(older).unwrap(),
            Event::StepUndone {
                step: "stage".to_owned(),
                attempt: 1,
                output: Value::Null,
                leaves: vec![]
            }
        );
    }
}
