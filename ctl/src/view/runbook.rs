//! Runbooks: every step, how far it is, and what it would do.

use serde::Serialize;

use super::Time;
use crate::{
    exit::Exit,
    output::{Page, View, paint::Tone, units},
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Runbook {
    pub incident: u64,
    pub name: String,
    pub says: String,
    /// None: nobody has begun it.
    pub begun_at: Option<Time>,
    pub begun_by: String,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub name: String,
    pub says: String,
    pub command: String,
    pub checks: String,
    pub stage: Stage,
    /// How it went, what it waits for, or why not.
    pub told: String,
    pub advice: String,
    pub job: Option<u64>,
    /// None: it cannot be done now.
    pub consent: Option<Consent>,
    /// What is typed.
    pub word: String,
    pub by: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Done,
    Needless,
    UnderWay,
    Ready,
    Failed,
    Blocked,
    Later,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consent {
    Automatic,
    Confirmed,
    Typed,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Needless => "not needed",
            Self::UnderWay => "under way",
            Self::Ready => "next",
            Self::Failed => "failed",
            Self::Blocked => "cannot be done",
            Self::Later => "later",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Done => Tone::Good,
            Self::Needless | Self::Later => Tone::Dim,
            Self::UnderWay | Self::Ready => Tone::Strong,
            Self::Failed | Self::Blocked => Tone::Bad,
        }
    }

    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Needless)
    }
}

impl Runbook {
    /// The first step that is not over, and its place from 1.
    #[must_use]
    pub fn next(&self) -> Option<(usize, &Step)> {
        let mut steps = self.steps.iter().enumerate();
        let (at, step) = steps.find(|(_, step)| !step.stage.is_over())?;
        Some((at + 1, step))
    }

    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.next() {
            None => Exit::Ok,
            Some(_) => Exit::Incomplete,
        }
    }
}

impl Step {
    /// What it does, what somebody would type, what is looked at.
    #[must_use]
    pub fn told_in_full(&self) -> String {
        let mut text = format!("  {}\n", self.says);
        if !self.command.is_empty() {
            text.push_str(&format!("  $ {}\n", self.command));
        }
        text.push_str(&format!("  afterwards: {}\n", self.checks));
        text
    }
}

impl View for Runbook {
    fn text(&self, page: &Page) -> String {
        let mut text = format!(
            "incident {}, runbook {}: {}\n",
            self.incident, self.name, self.says
        );
        if self.begun_at.is_some() {
            let begun = units::ago(page.now, self.begun_at);
            text.push_str(&format!("begun {begun} by {}\n", self.begun_by));
        }
        for (number, step) in self.steps.iter().enumerate() {
            let stage = page.paint.tone(step.stage.tone(), step.stage.word());
            text.push_str(&format!("\n{}. {} ({stage})\n", number + 1, step.name));
            text.push_str(&step.told_in_full());
            if !step.told.is_empty() {
                text.push_str(&format!("  {}: {}\n", step.stage.word(), step.told));
            }
            if !step.advice.is_empty() {
                text.push_str(&format!("  next: {}\n", step.advice));
            }
            if matches!(step.stage, Stage::Blocked | Stage::Failed) {
                let (id, name) = (self.incident, &step.name);
                text.push_str(&format!(
                    "  or go on without it: ctl incident run {id} --leave-out {name:?} --reason \"…\"\n"
                ));
            }
            if step.consent == Some(Consent::Typed) {
                text.push_str(&format!("  asks to type {}\n", step.word));
            }
        }
        if self.next().is_none() {
            let id = self.incident;
            text.push_str(&format!(
                "\nevery step is done; next: ctl incident close {id} --cause \"…\"\n"
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{output::testing::page, view::samples::runbook::begun};

    #[test]
    fn every_step_says_how_far_it_is_and_what_it_would_do() {
        let text = begun().text(&page());
        for part in [
            "incident 5, runbook volume-swapped: brings",
            "begun 10 m ago by operator/ann",
            "1. keep-new-rows shop (done)",
            "done: backup 30",
            "2. restore shop (next)",
            "$ ctl backup create web-1/shop-db/shop",
            "asks to type shop",
            "3. merge shop (later)",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
    }

    #[test]
    fn it_is_over_with_its_last_step() {
        let mut book = begun();
        assert_eq!(
            book.next().map(|(at, step)| (at, step.name.as_str())),
            Some((2, "restore shop"))
        );
        assert_eq!(book.exit(), Exit::Incomplete);
        for step in &mut book.steps {
            step.stage = Stage::Done;
        }
        assert_eq!((book.next(), book.exit()), (None, Exit::Ok));
        assert!(
            book.text(&page())
                .ends_with("ctl incident close 5 --cause \"…\"\n")
        );
    }
}
