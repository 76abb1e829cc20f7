//! Where a job stands: a pure replay of its events. A crash is only "read the events again".

use chrono::{DateTime, Utc};
use holdfast_proto::task::TaskFailure;
use serde_json::Value;

use super::event::{AfterFailure, Event, Leftover, Outcome, Recorded, ReplayError, Why};

type Time = DateTime<Utc>;

/// The replay of a job's events.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// Of the last event; 0 before the first.
    pub last_seq: u64,
    pub started_at: Option<Time>,
    /// Steps whose work stands, in the order it was done.
    pub done: Vec<DoneStep>,
    /// The step that is being done or undone, or that was left half done.
    pub open: Option<Open>,
    pub phase: Phase,
    /// What stands beside the result until its time is over, with the step that left it.
    pub leftovers: Vec<(String, Leftover)>,
    /// Not before this moment is the sweep tried again.
    pub sweep_after: Option<Time>,
    /// Outputs of steps by name, those of failed and undone ones too: the report is made of them.
    pub outputs: Vec<(String, Value)>,
    /// What their undoing put out.
    pub undo_outputs: Vec<(String, Value)>,
    /// Highest attempt of each step and direction so far: task ids must not repeat.
    attempts: Vec<(String, Way, u32)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DoneStep {
    pub step: String,
    pub output: Value,
}

/// A step between its start and its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    pub step: String,
    pub way: Way,
    /// Of the last start.
    pub attempt: u32,
    /// Failures since the step was turned to.
    pub failures: u32,
    pub last_failure: Option<TaskFailure>,
    pub state: OpenState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    Do,
    Undo,
}

#[derive(Debug, Clone, PartialEq)]
pub enum OpenState {
    /// Started, no end recorded: its tasks may run.
    Running,
    RetryAt(Time),
    GaveUp(TaskFailure),
    /// Work of it may be there, nothing of it runs: to be undone.
    HalfDone,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// No event yet.
    Empty,
    Waiting,
    Forward,
    Unwinding(Why),
    Ended(Ended),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub outcome: Outcome,
    pub at: Time,
    /// None after a success.
    pub why: Option<Why>,
    /// The failure of the undo when it is stuck.
    pub stuck_on: Option<TaskFailure>,
    pub undo_until: Option<Time>,
}

impl Phase {
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Empty => "not there",
            Self::Waiting => "waiting",
            Self::Forward => "running",
            Self::Unwinding(_) => "undoing",
            Self::Ended(_) => "ended",
        }
    }
}

impl Position {
    /// Before any event.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            last_seq: 0,
            started_at: None,
            done: Vec::new(),
            open: None,
            phase: Phase::Empty,
            leftovers: Vec::new(),
            sweep_after: None,
            outputs: Vec::new(),
            undo_outputs: Vec::new(),
            attempts: Vec::new(),
        }
    }

    /// The position after all of the events.
    ///
    /// # Errors
    /// When an event cannot come where it stands.
    pub fn replay<'a>(events: impl IntoIterator<Item = &'a Recorded>) -> Result<Self, ReplayError> {
        let mut position = Self::empty();
        for recorded in events {
            position.apply(recorded)?;
        }
        Ok(position)
    }

    /// Takes one more event in.
    ///
    /// # Errors
    /// When it cannot come here; the position is then not to be used any more.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), ReplayError> {
        let refused = ReplayError {
            seq: recorded.seq,
            kind: recorded.event.kind(),
            phase: self.phase.name(),
        };
        if recorded.seq != self.last_seq + 1 || !self.may_come(&recorded.event) {
            return Err(refused);
        }
        self.last_seq = recorded.seq;
        match recorded.event.clone() {
            Event::Created => self.phase = Phase::Waiting,
            Event::Started => {
                self.phase = Phase::Forward;
                self.started_at = Some(recorded.at);
            }
            Event::Resumed { .. } => {}
            Event::StepStarted { step, attempt } => self.start(step, Way::Do, attempt),
            Event::StepDone {
                step,
                output,
                leaves,
                ..
            } => self.step_done(step, output, leaves),
            Event::StepFailed {
                step,
                failure,
                output,
                next,
                ..
            } => {
                if !output.is_null() {
                    self.remember(step, output);
                }
                self.fail(failure, next);
            }
            Event::UnwindStarted { why } => self.unwind(why),
            Event::UndoStarted { step, attempt } => self.start(step, Way::Undo, attempt),
            Event::StepUndone {
                step,
                output,
                leaves,
                ..
            } => {
                self.step_undone(&step, leaves);
                if !output.is_null() {
                    self.undo_outputs.push((step, output));
                }
            }
            Event::UndoFailed { failure, next, .. } => self.fail(failure, next),
            Event::Ended {
                outcome,
                undo_until,
                left: _,
            } => self.end(recorded.at, outcome, undo_until),
            Event::Swept { database, .. } => {
                self.leftovers.retain(|(_, left)| left.database != database);
                self.sweep_after = None;
            }
            Event::SweepFailed { again_at, .. } => self.sweep_after = Some(again_at),
        }
        Ok(())
    }

    /// The attempt number that the next start of the step gets.
    #[must_use]
    pub fn next_attempt(&self, step: &str, way: Way) -> u32 {
        self.attempts
            .iter()
            .find(|(name, direction, _)| name == step && *direction == way)
            .map_or(1, |(_, _, last)| last + 1)
    }

    /// What the step put out last.
    #[must_use]
    pub fn output(&self, step: &str) -> Option<&Value> {
        self.outputs
            .iter()
            .find(|(name, _)| name == step)
            .map(|(_, output)| output)
    }

    /// What undoing the step put out last.
    #[must_use]
    pub fn undo_output(&self, step: &str) -> Option<&Value> {
        let mut outputs = self.undo_outputs.iter().rev();
        outputs
            .find(|(name, _)| name == step)
            .map(|(_, output)| output)
    }

    /// The step that the undo turns to next: the half-done one, then the done ones backwards.
    #[must_use]
    pub fn to_undo(&self) -> Option<&str> {
        match &self.open {
            Some(open) => Some(&open.step),
            None => self.done.last().map(|done| done.step.as_str()),
        }
    }

    /// When the next leftover is to be dropped.
    #[must_use]
    pub fn sweep_at(&self) -> Option<Time> {
        let due = self
            .leftovers
            .iter()
            .map(|(_, left)| left.drop_after)
            .min()?;
        Some(self.sweep_after.map_or(due, |after| due.max(after)))
    }

    fn may_come(&self, event: &Event) -> bool {
        let running = |step: &str, attempt: u32, way: Way| {
            self.open.as_ref().is_some_and(|open| {
                open.step == step
                    && open.attempt == attempt
                    && open.way == way
                    && open.state == OpenState::Running
            })
        };
        match (event, &self.phase) {
            (Event::Created, Phase::Empty)
            | (Event::Started, Phase::Waiting)
            | (Event::Resumed { .. }, Phase::Waiting | Phase::Forward)
            | (Event::Resumed { .. }, Phase::Unwinding(_) | Phase::Ended(_))
            | (Event::Swept { .. } | Event::SweepFailed { .. }, Phase::Ended(_)) => true,
            (Event::StepStarted { step, attempt }, Phase::Forward) => {
                self.open.as_ref().is_none_or(|open| &open.step == step)
                    && *attempt == self.next_attempt(step, Way::Do)
            }
            (
                Event::StepDone { step, attempt, .. } | Event::StepFailed { step, attempt, .. },
                Phase::Forward,
            ) => running(step, *attempt, Way::Do),
            (Event::UnwindStarted { .. }, Phase::Waiting | Phase::Forward) => true,
            (Event::UnwindStarted { .. }, Phase::Ended(ended)) => {
                matches!(ended.outcome, Outcome::Succeeded | Outcome::Stuck)
            }
            (Event::UndoStarted { step, attempt }, Phase::Unwinding(_)) => {
                self.to_undo() == Some(step) && *attempt == self.next_attempt(step, Way::Undo)
            }
            (
                Event::StepUndone { step, attempt, .. } | Event::UndoFailed { step, attempt, .. },
                Phase::Unwinding(_),
            ) => running(step, *attempt, Way::Undo),
            (Event::Ended { outcome, .. }, Phase::Forward) => *outcome == Outcome::Succeeded,
            (Event::Ended { outcome, .. }, Phase::Unwinding(_)) => *outcome != Outcome::Succeeded,
            _ => false,
        }
    }

    fn start(&mut self, step: String, way: Way, attempt: u32) {
        let known = self
            .attempts
            .iter_mut()
            .find(|(name, direction, _)| *name == step && *direction == way);
        match known {
            Some((_, _, last)) => *last = attempt,
            None => self.attempts.push((step.clone(), way, attempt)),
        }
        let (failures, last_failure) = match self.open.take() {
            Some(open) if open.step == step && open.way == way => {
                (open.failures, open.last_failure)
            }
            _ => (0, None),
        };
        self.open = Some(Open {
            step,
            way,
            attempt,
            failures,
            last_failure,
            state: OpenState::Running,
        });
    }

    fn step_done(&mut self, step: String, output: Value, leaves: Vec<Leftover>) {
        self.open = None;
        self.leftovers
            .extend(leaves.into_iter().map(|left| (step.clone(), left)));
        self.remember(step.clone(), output.clone());
        self.done.push(DoneStep { step, output });
    }

    fn step_undone(&mut self, step: &str, leaves: Vec<Leftover>) {
        self.open = None;
        self.done.retain(|done| done.step != step);
        self.leftovers.retain(|(by, _)| by != step);
        self.leftovers
            .extend(leaves.into_iter().map(|left| (step.to_owned(), left)));
    }

    fn fail(&mut self, failure: TaskFailure, next: AfterFailure) {
        if let Some(open) = &mut self.open {
            open.failures += 1;
            open.last_failure = Some(failure.clone());
            open.state = match next {
                AfterFailure::RetryAt(at) => OpenState::RetryAt(at),
                AfterFailure::GiveUp => OpenState::GaveUp(failure),
            };
        }
    }

    fn unwind(&mut self, why: Why) {
        // Taking up a stuck undo again: what the job was undone for stays what it was.
        let why = match (&self.phase, why) {
            (Phase::Ended(ended), Why::Requested { by }) if ended.outcome == Outcome::Stuck => {
                ended.why.clone().unwrap_or(Why::Requested { by })
            }
            (_, why) => why,
        };
        self.phase = Phase::Unwinding(why);
        if let Some(open) = &mut self.open {
            open.failures = 0;
            open.state = OpenState::HalfDone;
        }
    }

    fn end(&mut self, at: Time, outcome: Outcome, undo_until: Option<Time>) {
        let stuck_on = match self.open.as_ref().map(|open| &open.state) {
            Some(OpenState::GaveUp(failure)) if outcome == Outcome::Stuck => Some(failure.clone()),
            _ => None,
        };
        let why = match &self.phase {
            Phase::Unwinding(why) => Some(why.clone()),
            _ => None,
        };
        self.phase = Phase::Ended(Ended {
            outcome,
            at,
            why,
            stuck_on,
            undo_until,
        });
    }

    fn remember(&mut self, step: String, output: Value) {
        match self.outputs.iter_mut().find(|(name, _)| *name == step) {
            Some((_, known)) => *known = output,
            None => self.outputs.push((step, output)),
        }
    }
}
