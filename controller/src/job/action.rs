//! What to do next with a job: pure, from its position and a few facts.

use chrono::{DateTime, Utc};
use holdfast_proto::task::{FailureKind, TaskFailure};

use super::{
    event::{Event, Leftover, Outcome, Why},
    position::{OpenState, Phase, Position, Way},
};

/// The world outside of the events.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    pub now: DateTime<Utc>,
    /// Names of the steps of the job, in order.
    pub steps: &'a [&'a str],
    pub deadline: Option<DateTime<Utc>>,
    /// Operators who asked for it.
    pub cancel_requested_by: Option<&'a str>,
    pub undo_requested_by: Option<&'a str>,
    /// How long an operator may undo the job after its success; none: not at all.
    pub keep: Option<chrono::Duration>,
    /// What it made and no undo takes away; empty when nothing.
    pub left: &'a str,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Append this and look again.
    Record(Event),
    /// Run the step's work; its start is recorded. When it ran before a crash it is joined.
    Do { step: String, attempt: u32 },
    Undo {
        step: String,
        attempt: u32,
        why: Why,
    },
    /// Drop what the job left behind: its time is over.
    Sweep(Leftover),
    /// Nothing before this moment.
    WaitUntil(DateTime<Utc>),
    /// Nothing any more, unless an operator asks for the undo.
    Rest,
}

/// The next thing to do.
#[must_use]
pub fn next(position: &Position, facts: &Facts<'_>) -> Action {
    match &position.phase {
        Phase::Empty => Action::Record(Event::Created),
        Phase::Waiting => match stop(facts) {
            Some(why) => Action::Record(Event::UnwindStarted { why }),
            None => Action::Record(Event::Started),
        },
        Phase::Forward => forward(position, facts),
        Phase::Unwinding(why) => unwind(position, why, facts),
        Phase::Ended(ended) => match (ended.outcome, facts.undo_requested_by) {
            (Outcome::Succeeded | Outcome::Stuck, Some(by)) => {
                Action::Record(Event::UnwindStarted {
                    why: Why::Requested { by: by.to_owned() },
                })
            }
            // What a stuck job left is evidence, and perhaps the only copy: a person decides.
            (Outcome::Stuck, None) => Action::Rest,
            _ => sweep(position, facts.now),
        },
    }
}

fn forward(position: &Position, facts: &Facts<'_>) -> Action {
    if let Some(open) = &position.open {
        if open.state == OpenState::Running {
            return Action::Do {
                step: open.step.clone(),
                attempt: open.attempt,
            };
        }
        if let OpenState::GaveUp(failure) = &open.state {
            // A step that was interrupted says only that; what interrupted it says more.
            let why = match stop(facts) {
                Some(why) if failure.kind == FailureKind::Cancelled => why,
                _ => Why::Failed(failure.clone()),
            };
            return Action::Record(Event::UnwindStarted { why });
        }
    }
    if let Some(why) = stop(facts) {
        return Action::Record(Event::UnwindStarted { why });
    }
    if let Some(OpenState::RetryAt(at)) = position.open.as_ref().map(|open| &open.state)
        && *at > facts.now
    {
        return Action::WaitUntil(*at);
    }
    let step = match &position.open {
        Some(open) => Some(open.step.as_str()),
        None => facts.steps.get(position.done.len()).copied(),
    };
    match step {
        Some(step) => Action::Record(Event::StepStarted {
            step: step.to_owned(),
            attempt: position.next_attempt(step, Way::Do),
        }),
        None => Action::Record(Event::Ended {
            outcome: Outcome::Succeeded,
            undo_until: undo_until(position, facts),
            left: String::new(),
        }),
    }
}

fn unwind(position: &Position, why: &Why, facts: &Facts<'_>) -> Action {
    let Some(step) = position.to_undo() else {
        return Action::Record(Event::Ended {
            outcome: match why {
                Why::Failed(_) => Outcome::Failed,
                Why::Cancelled { .. } => Outcome::Cancelled,
                Why::Requested { .. } => Outcome::Undone,
            },
            undo_until: None,
            left: facts.left.to_owned(),
        });
    };
    let start = Action::Record(Event::UndoStarted {
        step: step.to_owned(),
        attempt: position.next_attempt(step, Way::Undo),
    });
    match position.open.as_ref().map(|open| (open, &open.state)) {
        Some((open, OpenState::Running)) => Action::Undo {
            step: open.step.clone(),
            attempt: open.attempt,
            why: why.clone(),
        },
        Some((_, OpenState::RetryAt(at))) if *at > facts.now => Action::WaitUntil(*at),
        Some((_, OpenState::GaveUp(_))) => Action::Record(Event::Ended {
            outcome: Outcome::Stuck,
            undo_until: None,
            left: facts.left.to_owned(),
        }),
        _ => start,
    }
}

fn sweep(position: &Position, now: DateTime<Utc>) -> Action {
    match position.sweep_at() {
        None => Action::Rest,
        Some(at) if at > now => Action::WaitUntil(at),
        Some(_) => position
            .leftovers
            .iter()
            .map(|(_, left)| left)
            .filter(|left| left.drop_after <= now)
            .min_by_key(|left| left.drop_after)
            .map_or(Action::Rest, |left| Action::Sweep(left.clone())),
    }
}

/// Why the work must not go on, when something asks for its end.
#[must_use]
pub fn stop(facts: &Facts<'_>) -> Option<Why> {
    match facts.cancel_requested_by {
        Some(by) => Some(Why::Cancelled { by: by.to_owned() }),
        None => past_deadline(facts),
    }
}

fn past_deadline(facts: &Facts<'_>) -> Option<Why> {
    let deadline = facts.deadline.filter(|deadline| *deadline <= facts.now)?;
    Some(Why::Failed(TaskFailure {
        kind: FailureKind::Cancelled,
        message: format!(
            "the job did not end before its deadline, {} UTC",
            deadline.format("%F %H:%M:%S")
        ),
        advice: "find out what was slow (`ctl job show`), then start it again".to_owned(),
        retryable: false,
    }))
}

/// As long as everything that the undo needs is still there.
fn undo_until(position: &Position, facts: &Facts<'_>) -> Option<DateTime<Utc>> {
    let keep = facts.keep?;
    position
        .sweep_at()
        .or_else(|| facts.now.checked_add_signed(keep))
        .filter(|until| *until > facts.now)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::Value;

    use super::*;
    use crate::job::event::{AfterFailure, Recorded};

    const STEPS: &[&str] = &["one", "two"];

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    fn facts() -> Facts<'static> {
        Facts {
            now: now(),
            steps: STEPS,
            deadline: None,
            cancel_requested_by: None,
            undo_requested_by: None,
            keep: Some(TimeDelta::hours(24)),
            left: "",
        }
    }

    fn failure(kind: FailureKind) -> TaskFailure {
        TaskFailure {
            kind,
            message: "no".to_owned(),
            advice: String::new(),
            retryable: true,
        }
    }

    /// Appends every event that is only to be recorded, until something is to be done.
    fn settle(position: &mut Position, facts: &Facts<'_>) -> Action {
        loop {
            match next(position, facts) {
                Action::Record(event) => record(position, event),
                action => return action,
            }
        }
    }

    fn record(position: &mut Position, event: Event) {
        let recorded = Recorded {
            seq: position.last_seq + 1,
            at: now(),
            event,
        };
        position.apply(&recorded).unwrap();
    }

    fn done(position: &mut Position, step: &str, attempt: u32) {
        let event = Event::StepDone {
            step: step.to_owned(),
            attempt,
            output: Value::Null,
            leaves: vec![],
        };
        record(position, event);
    }

    fn undone(position: &mut Position, step: &str, attempt: u32) {
        let event = Event::StepUndone {
            output: Value::Null,
            step: step.to_owned(),
            attempt,
            leaves: vec![],
        };
        record(position, event);
    }

    fn doing(step: &str, attempt: u32) -> Action {
        Action::Do {
            step: step.to_owned(),
            attempt,
        }
    }

    fn outcome(position: &Position) -> Option<Outcome> {
        match &position.phase {
            Phase::Ended(ended) => Some(ended.outcome),
            _ => None,
        }
    }

    #[test]
    fn steps_come_in_order_and_then_success() {
        let mut position = Position::empty();
        assert_eq!(settle(&mut position, &facts()), doing("one", 1));
        done(&mut position, "one", 1);
        assert_eq!(settle(&mut position, &facts()), doing("two", 1));
        done(&mut position, "two", 1);
        assert_eq!(settle(&mut position, &facts()), Action::Rest);
        let Phase::Ended(ended) = &position.phase else {
            panic!("not ended: {position:?}");
        };
        assert_eq!(ended.outcome, Outcome::Succeeded);
        assert_eq!(ended.undo_until, Some(now() + TimeDelta::hours(24)));
    }

    #[test]
    fn a_running_step_is_joined_under_its_own_attempt_after_a_crash() {
        let mut position = Position::empty();
        settle(&mut position, &facts());
        record(
            &mut position,
            Event::Resumed {
                owner: "b".to_owned(),
            },
        );
        assert_eq!(settle(&mut position, &facts()), doing("one", 1));
    }

    #[test]
    fn a_failed_step_waits_then_gets_the_next_attempt() {
        let mut position = Position::empty();
        settle(&mut position, &facts());
        let later = now() + TimeDelta::seconds(2);
        record(
            &mut position,
            Event::StepFailed {
                step: "one".to_owned(),
                attempt: 1,
                failure: failure(FailureKind::Unavailable),
                output: Value::Null,
                next: AfterFailure::RetryAt(later),
            },
        );
        assert_eq!(settle(&mut position, &facts()), Action::WaitUntil(later));
        let after = Facts {
            now: later,
            ..facts()
        };
        assert_eq!(settle(&mut position, &after), doing("one", 2));
    }

    #[test]
    fn giving_up_undoes_the_half_done_step_first_then_backwards() {
        let mut position = Position::empty();
        settle(&mut position, &facts());
        done(&mut position, "one", 1);
        settle(&mut position, &facts());
        record(
            &mut position,
            Event::StepFailed {
                step: "two".to_owned(),
                attempt: 1,
                failure: failure(FailureKind::DataMismatch),
                output: Value::Null,
                next: AfterFailure::GiveUp,
            },
        );
        for step in ["two", "one"] {
            match settle(&mut position, &facts()) {
                Action::Undo { step: turn, .. } => assert_eq!(turn, step),
                other => panic!("{other:?}"),
            }
            undone(&mut position, step, 1);
        }
        assert_eq!(settle(&mut position, &facts()), Action::Rest);
        assert_eq!(outcome(&position), Some(Outcome::Failed));
    }

    #[test]
    fn a_cancelled_job_starts_no_further_step() {
        let cancelled = Facts {
            cancel_requested_by: Some("alice"),
            ..facts()
        };
        let mut position = Position::empty();
        assert_eq!(settle(&mut position, &cancelled), Action::Rest);
        assert_eq!(outcome(&position), Some(Outcome::Cancelled));
        assert!(position.started_at.is_none());

        let mut position = Position::empty();
        settle(&mut position, &facts());
        // Its tasks may run: the step is turned to (and ends by the cancel) before the undo.
        assert_eq!(settle(&mut position, &cancelled), doing("one", 1));
        done(&mut position, "one", 1);
        match settle(&mut position, &cancelled) {
            Action::Undo { step, why, .. } => {
                assert_eq!(step, "one");
                assert_eq!(
                    why,
                    Why::Cancelled {
                        by: "alice".to_owned()
                    }
                );
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn past_its_deadline_a_job_fails_and_is_undone() {
        let late = Facts {
            deadline: Some(now()),
            ..facts()
        };
        let mut position = Position::empty();
        settle(&mut position, &facts());
        done(&mut position, "one", 1);
        assert!(matches!(settle(&mut position, &late), Action::Undo { .. }));
        undone(&mut position, "one", 1);
        settle(&mut position, &late);
        assert_eq!(outcome(&position), Some(Outcome::Failed));
    }

    #[test]
    fn a_stuck_undo_rests_until_an_operator_asks_and_then_keeps_its_reason() {
        let mut position = Position::empty();
        settle(&mut position, &facts());
        done(&mut position, "one", 1);
        let cancelled = Facts {
            cancel_requested_by: Some("alice"),
            ..facts()
        };
        settle(&mut position, &cancelled);
        record(
            &mut position,
            Event::UndoFailed {
                step: "one".to_owned(),
                attempt: 1,
                failure: failure(FailureKind::Refused),
                next: AfterFailure::GiveUp,
            },
        );
        assert_eq!(settle(&mut position, &cancelled), Action::Rest);
        assert_eq!(outcome(&position), Some(Outcome::Stuck));

        let asked = Facts {
            undo_requested_by: Some("bob"),
            ..facts()
        };
        match settle(&mut position, &asked) {
            Action::Undo { step, attempt, why } => {
                assert_eq!((step.as_str(), attempt), ("one", 2));
                assert_eq!(
                    why,
                    Why::Cancelled {
                        by: "alice".to_owned()
                    }
                );
            }
            other => panic!("{other:?}"),
        }
        undone(&mut position, "one", 2);
        settle(&mut position, &facts());
        assert_eq!(outcome(&position), Some(Outcome::Cancelled));
    }

    #[test]
    fn leftovers_are_swept_when_their_time_is_over_and_not_before() {
        let due = now() + TimeDelta::hours(1);
        let left = Leftover {
            database: "web-2/shop-db/shop__before_1".parse().unwrap(),
            drop_after: due,
        };
        let mut position = Position::empty();
        settle(&mut position, &facts());
        let event = Event::StepDone {
            step: "one".to_owned(),
            attempt: 1,
            output: Value::Null,
            leaves: vec![left.clone()],
        };
        record(&mut position, event);
        settle(&mut position, &facts());
        done(&mut position, "two", 1);
        assert_eq!(settle(&mut position, &facts()), Action::WaitUntil(due));
        let over = Facts {
            now: due,
            ..facts()
        };
        assert_eq!(settle(&mut position, &over), Action::Sweep(left.clone()));
        let event = Event::Swept {
            database: left.database,
            existed: true,
        };
        record(&mut position, event);
        assert_eq!(settle(&mut position, &over), Action::Rest);
    }

    mod any_history {
        use proptest::prelude::*;

        use super::*;

        /// What the world answers when the engine acts.
        fn answer(position: &mut Position, action: &Action, dice: u8, facts: &mut Facts<'static>) {
            match action {
                Action::Do { step, attempt } => match dice % 4 {
                    0 | 1 => done(position, step, *attempt),
                    dice => {
                        let next = if dice == 2 {
                            AfterFailure::GiveUp
                        } else {
                            AfterFailure::RetryAt(facts.now)
                        };
                        record(
                            position,
                            Event::StepFailed {
                                step: step.clone(),
                                attempt: *attempt,
                                failure: failure(FailureKind::Internal),
                                output: Value::Null,
                                next,
                            },
                        );
                    }
                },
                Action::Undo { step, attempt, .. } => match dice % 4 {
                    0..=2 => undone(position, step, *attempt),
                    _ => record(
                        position,
                        Event::UndoFailed {
                            step: step.clone(),
                            attempt: *attempt,
                            failure: failure(FailureKind::Unavailable),
                            next: AfterFailure::RetryAt(facts.now),
                        },
                    ),
                },
                Action::WaitUntil(at) => facts.now = *at,
                Action::Record(_) | Action::Sweep(_) | Action::Rest => {}
            }
        }

        proptest! {
            // Whatever the steps answer: the chosen events can always be replayed, task ids never
            // repeat, and an ended job that did not succeed has nothing done any more.
            #[test]
            fn replays_and_ends_clean(dice in proptest::collection::vec(any::<u8>(), 0..60), cancel_at in 0usize..80) {
                let mut position = Position::empty();
                let mut facts = facts();
                let mut started = std::collections::HashSet::new();
                for (turn, dice) in dice.into_iter().enumerate() {
                    if turn >= cancel_at {
                        facts.cancel_requested_by = Some("alice");
                    }
                    let action = settle(&mut position, &facts);
                    if let Action::Do { step, attempt } = &action {
                        prop_assert!(started.insert((step.clone(), Way::Do, *attempt)));
                    }
                    if let Action::Undo { step, attempt, .. } = &action {
                        prop_assert!(started.insert((step.clone(), Way::Undo, *attempt)));
                    }
                    if action == Action::Rest {
                        break;
                    }
                    answer(&mut position, &action, dice, &mut facts);
                }
                if let Some(outcome) = outcome(&position) {
                    prop_assert_eq!(position.done.is_empty(), outcome != Outcome::Succeeded);
                }
            }
        }
    }
}
