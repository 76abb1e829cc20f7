//! Roles and databases that a copy leaves, told from its history alone.

use std::time::Duration;

use chrono::TimeDelta;
use holdfast_proto::{
    names::DatabaseName,
    task::{DatabaseFacts, FailureKind, Role, TaskFailure},
};
use serde_json::{Value, json};

use super::*;
use crate::job::event::{AfterFailure, Event, Leftover, Recorded};

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn copied() -> DatabaseName {
    "web-2/shop-db/shop_test".parse().unwrap()
}

fn landing(target: &DatabaseName, replace: bool) -> Landing<'_> {
    Landing {
        target,
        replace,
        keep: Duration::from_hours(24),
        what: "copy",
    }
}

/// A history that begins with a preflight: the roles `shop` and `app` are missing on the target.
fn history(events: Vec<Event>) -> Position {
    let role = |name: &str| Role {
        name: name.to_owned(),
        ..Role::default()
    };
    let source = DatabaseFacts {
        roles: vec![role("shop"), role("app"), role("postgres")],
        ..DatabaseFacts::default()
    };
    let target = DatabaseFacts {
        roles: vec![role("postgres")],
        ..DatabaseFacts::default()
    };
    let examined = Examined {
        lines: Vec::new(),
        source: Some(source),
        target: Some(target),
    };
    let mut all = vec![Event::Created, Event::Started];
    all.extend(step(
        "preflight",
        1,
        serde_json::to_value(examined).unwrap(),
    ));
    all.extend(events);
    let recorded: Vec<_> = (1..)
        .zip(all)
        .map(|(seq, event)| Recorded {
            seq,
            at: start(),
            event,
        })
        .collect();
    Position::replay(&recorded).unwrap()
}

fn started(step: &str, attempt: u32) -> Event {
    Event::StepStarted {
        step: step.to_owned(),
        attempt,
    }
}

fn step(name: &str, attempt: u32, output: Value) -> [Event; 2] {
    [
        started(name, attempt),
        Event::StepDone {
            step: name.to_owned(),
            attempt,
            output,
            leaves: Vec::new(),
        },
    ]
}

fn failure() -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Unavailable,
        message: "web-2 went away".to_owned(),
        advice: String::new(),
        retryable: true,
    }
}

fn stage_failed(next: AfterFailure) -> [Event; 2] {
    [
        started("stage", 1),
        Event::StepFailed {
            step: "stage".to_owned(),
            attempt: 1,
            failure: failure(),
            output: Value::Null,
            next,
        },
    ]
}

fn certain(names: &[&str]) -> CreatedRoles {
    CreatedRoles {
        names: names.iter().map(ToString::to_string).collect(),
        uncertain: false,
    }
}

#[test]
fn the_only_attempt_knows_its_roles() {
    let staged = step("stage", 1, json!({"created_roles": ["shop"]}));
    let position = history(staged.to_vec());
    assert_eq!(created_roles(&position), certain(&["shop"]));
    assert_eq!(
        created_roles(&position).left(),
        "roles created and left: shop; drop them with DROP ROLE if nobody needs them"
    );
}

#[test]
fn before_the_stage_step_there_are_none() {
    let position = history(Vec::new());
    assert_eq!(created_roles(&position), CreatedRoles::default());
    assert_eq!(created_roles(&position).left(), "");
}

#[test]
fn an_attempt_that_nobody_heard_of_may_have_created_what_was_missing() {
    let expected = CreatedRoles {
        names: vec!["shop".to_owned(), "app".to_owned()],
        uncertain: true,
    };
    let gave_up = history(stage_failed(AfterFailure::GiveUp).to_vec());
    assert_eq!(created_roles(&gave_up), expected);
    assert_eq!(roles_to_drop(&gave_up), ["app", "shop"]);
    assert!(
        expected
            .left()
            .starts_with("roles perhaps created and left: shop, app; ")
    );

    // The next attempt knows what the first one did.
    let mut again = stage_failed(AfterFailure::RetryAt(start())).to_vec();
    again.extend(step("stage", 2, json!({"created_roles": ["shop"]})));
    assert_eq!(created_roles(&history(again)), certain(&["shop"]));
}

/// The stage step is undone, and its undo told this.
fn unstaged(mut events: Vec<Event>, output: Value) -> Position {
    events.extend([
        Event::UnwindStarted {
            why: crate::job::event::Why::Failed(failure()),
        },
        Event::UndoStarted {
            step: "stage".to_owned(),
            attempt: 1,
        },
        Event::StepUndone {
            step: "stage".to_owned(),
            attempt: 1,
            output,
            leaves: Vec::new(),
        },
    ]);
    history(events)
}

#[test]
fn what_the_undo_found_gone_is_not_left() {
    let told = json!({"gone": ["shop"], "left": [{"role": "app", "reason": "owner of a table"}]});
    let staged = step("stage", 1, json!({"created_roles": ["app", "shop"]}));
    assert_eq!(
        created_roles(&unstaged(staged.to_vec(), told.clone())),
        certain(&["app"])
    );
    let unheard = stage_failed(AfterFailure::GiveUp).to_vec();
    assert_eq!(created_roles(&unstaged(unheard, told)), certain(&["app"]));
    // An undo that asked nobody: an older controller's.
    let unheard = stage_failed(AfterFailure::GiveUp).to_vec();
    assert!(created_roles(&unstaged(unheard, Value::Null)).uncertain);
    // Ordinary by the time of an operator's undo: neither gone nor the job's.
    let staged = step("stage", 1, json!({"created_roles": ["shop"]}));
    let told = json!({"gone": [], "left": []});
    assert_eq!(
        created_roles(&unstaged(staged.to_vec(), told)),
        certain(&["shop"])
    );
}

/// A copy that is published, and what it replaced.
fn published(left: Option<&str>) -> Vec<Event> {
    let leaves = left.map(|name| Leftover {
        database: format!("web-2/shop-db/{name}").parse().unwrap(),
        drop_after: start() + TimeDelta::hours(24),
    });
    vec![
        started("publish", 1),
        Event::StepDone {
            step: "publish".to_owned(),
            attempt: 1,
            output: Value::Null,
            leaves: leaves.into_iter().collect(),
        },
        Event::Ended {
            outcome: Outcome::Succeeded,
            undo_until: Some(start() + TimeDelta::hours(24)),
            left: String::new(),
        },
    ]
}

#[test]
fn what_was_replaced_is_named_with_what_an_undo_does() {
    let position = history(published(Some("shop_test__before_42")));
    let target = copied();
    let landing = landing(&target, true);
    let kept = kept(landing, 42, &position);
    assert_eq!(kept.len(), 1);
    assert_eq!(
        kept[0].database.to_string(),
        "web-2/shop-db/shop_test__before_42"
    );
    assert_eq!(kept[0].until, start() + TimeDelta::hours(24));
    assert_eq!(kept[0].reason, KeptReason::Replaced);
    assert_eq!(
        undo(landing, 42, &position, start()),
        "gives shop_test__before_42 the name shop_test again; \
         the copy stays beside as shop_test__undone_42 for 1day"
    );
    let late = start() + TimeDelta::hours(24);
    assert_eq!(undo(landing, 42, &position, late), "");
    assert!(!did_not_stand(&position));
}

#[test]
fn where_nothing_stood_an_undo_takes_the_copy_away() {
    let position = history(published(None));
    let target = copied();
    let landing = landing(&target, true);
    assert_eq!(kept(landing, 42, &position), []);
    assert_eq!(
        undo(landing, 42, &position, start()),
        "takes shop_test away, since nothing stood there before; \
         the copy stays beside as shop_test__undone_42 for 1day"
    );
}

#[test]
fn after_an_undo_the_copy_is_what_is_kept() {
    let mut events = published(Some("shop_test__before_42"));
    events.extend([
        Event::UnwindStarted {
            why: crate::job::event::Why::Requested {
                by: "operator/bob".to_owned(),
            },
        },
        Event::UndoStarted {
            step: "publish".to_owned(),
            attempt: 1,
        },
        Event::StepUndone {
            step: "publish".to_owned(),
            attempt: 1,
            output: Value::Null,
            leaves: vec![Leftover {
                database: "web-2/shop-db/shop_test__undone_42".parse().unwrap(),
                drop_after: start(),
            }],
        },
    ]);
    let position = history(events);
    let target = copied();
    let landing = landing(&target, true);
    let kept = kept(landing, 42, &position);
    assert_eq!(kept[0].reason, KeptReason::Undone);
    assert_eq!(kept.len(), 1);
    assert_eq!(undo(landing, 42, &position, start()), "");
}
