//! A runbook in the middle.

use super::text;
use crate::{
    output::testing::at,
    view::runbook::{Consent, Runbook, Stage, Step},
};

fn step(name: &str, stage: Stage) -> Step {
    Step {
        name: text(name),
        says: text("what it does"),
        command: text("ctl backup create web-1/shop-db/shop"),
        checks: text("the backup is stored"),
        stage,
        told: String::new(),
        advice: String::new(),
        job: None,
        consent: None,
        word: String::new(),
        by: String::new(),
    }
}

pub(crate) fn begun() -> Runbook {
    let mut done = step("keep-new-rows shop", Stage::Done);
    (done.told, done.job, done.by) = (text("backup 30"), Some(7), text("operator/ann"));
    let mut typed = step("restore shop", Stage::Ready);
    (typed.consent, typed.word) = (Some(Consent::Typed), text("shop"));
    Runbook {
        incident: 5,
        name: text("volume-swapped"),
        says: text("brings a service back to its own data"),
        begun_at: Some(at("2026-11-20T11:50:00Z")),
        begun_by: text("operator/ann"),
        steps: vec![done, typed, step("merge shop", Stage::Later)],
    }
}
