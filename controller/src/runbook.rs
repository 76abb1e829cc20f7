//! Runbooks: the ordered answer to one kind of incident, step by step.
//!
//! A runbook is pure: from how things were when it began, how they are, and what was done since, it tells its steps. What
//! was done is in the catalog, so that it does not matter who goes on, from which terminal, and when.

mod count_drop;
pub mod situation;
mod steps;
#[cfg(test)]
mod tests;
mod volume_lost;
mod volume_swapped;

use serde::Serialize;
use serde_json::Value;

use crate::job::{JobId, JobSpec};
use situation::Situation;

/// An answer to some kinds of findings.
pub trait Runbook: Sync {
    /// As operators type it: "volume-swapped".
    fn name(&self) -> &'static str;

    /// What it is for and how it ends, in one sentence.
    fn says(&self) -> &'static str;

    /// Of the findings that it answers.
    fn kinds(&self) -> &'static [&'static str];

    /// What must be remembered of how things are now: steps change it.
    ///
    /// # Errors
    /// Why it cannot begin, and what can be done instead.
    fn begin(&self, situation: &Situation) -> Result<Value, Unfit>;

    /// All of its steps in order, each as if those before it were over.
    ///
    /// # Errors
    /// When what was remembered is not what `begin` gave.
    fn plan(&self, start: &Value, situation: &Situation) -> Result<Vec<Step>, serde_json::Error>;
}

/// Built in.
pub const RUNBOOKS: &[&dyn Runbook] = &[
    &volume_swapped::VolumeSwapped,
    &volume_lost::VolumeLost,
    &count_drop::CountDrop,
];

/// Why a runbook cannot begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    pub why: String,
    pub advice: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Never changed: what was done is remembered under it. "keep-new-rows shop".
    pub name: String,
    /// What it does, in plain words.
    pub says: String,
    /// What somebody would type to do the same.
    pub command: String,
    /// What is looked at afterwards.
    pub checks: String,
    pub stage: Stage,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// How it went.
    Done(String),
    /// Nothing is to be done, and why.
    Needless(String),
    /// Its job runs, or somebody's hands are waited for.
    UnderWay {
        job: Option<JobId>,
        waits_for: String,
    },
    Ready(Offer),
    /// It went wrong, and can be tried again.
    Failed {
        why: String,
        again: Offer,
    },
    /// Why it cannot be done now.
    Blocked(Unfit),
    /// After those before it.
    Later,
}

/// What is done when an operator says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    pub consent: Consent,
    pub act: Act,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// Nothing is lost by it, whatever comes of it.
    Automatic,
    Confirmed,
    /// This is typed in full: there is no way back.
    Typed(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    Job(Box<JobSpec>),
    /// Somebody does it where we cannot; the step is done when what it checks holds.
    ByHand,
    /// What an instance lies on now is right.
    Accept,
}

/// The one for the finding that tells most.
#[must_use]
pub fn answer_to(kind: &str) -> Option<&'static dyn Runbook> {
    let mut runbooks = RUNBOOKS.iter().copied();
    runbooks.find(|runbook| runbook.kinds().contains(&kind))
}

#[must_use]
pub fn named(name: &str) -> Option<&'static dyn Runbook> {
    let mut runbooks = RUNBOOKS.iter().copied();
    runbooks.find(|runbook| runbook.name() == name)
}

/// The step that somebody can do something about: the first that is neither done nor needless.
#[must_use]
pub fn next(steps: &[Step]) -> Option<&Step> {
    let mut steps = steps.iter();
    steps.find(|step| !step.stage.is_over())
}

impl Stage {
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Needless(_))
    }
}

/// Every step of it as things are: left out where somebody said so, and waiting for those before it.
///
/// # Errors
/// When what was remembered is not what [`Runbook::begin`] gave.
pub fn steps(
    runbook: &dyn Runbook,
    start: &Value,
    situation: &Situation,
) -> Result<Vec<Step>, serde_json::Error> {
    let mut steps = runbook.plan(start, situation)?;
    for step in &mut steps {
        let begun = situation.begun.get(&step.name);
        if let Some(reason) = begun.and_then(|begun| begun.left_out.as_ref()) {
            step.stage = Stage::Needless(format!("left out: {reason}"));
        }
    }
    let current = steps.iter().position(|step| !step.stage.is_over());
    let after = current.map_or(steps.len(), |at| at + 1);
    for step in steps.iter_mut().skip(after) {
        step.stage = Stage::Later;
    }
    Ok(steps)
}

/// What a runbook remembers of its beginning.
fn remember(start: &impl Serialize) -> Result<Value, Unfit> {
    serde_json::to_value(start).map_err(|error| Unfit {
        why: format!("how things are cannot be remembered: {error}"),
        advice: String::new(),
    })
}

/// The incident has nothing that the runbook answers.
fn nothing(why: &str, situation: &Situation) -> Unfit {
    Unfit {
        why: why.to_owned(),
        advice: format!(
            "see what is found: ctl incident show {}",
            situation.incident.id
        ),
    }
}
