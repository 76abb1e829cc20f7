//! A job's events in lines for people. Pure.

use super::progress::Board;
use crate::{
    client::Update,
    output::paint::{Paint, Tone},
    view::job::{Job, JobEvent, JobState},
};

/// What one update leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub lines: Vec<String>,
    /// The preflight step is over: its answers can be asked for.
    pub preflight_is_there: bool,
}

#[derive(Debug)]
pub struct Teller {
    paint: Paint,
    last_sequence: u64,
    job: Option<Job>,
    board: Board,
    pub preflight_told: bool,
}

impl Teller {
    #[must_use]
    pub fn new(paint: Paint) -> Self {
        Self {
            paint,
            last_sequence: 0,
            job: None,
            board: Board::default(),
            preflight_told: false,
        }
    }

    /// Where to go on after a broken connection.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.state.has_ended())
    }

    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    pub fn take(&mut self, update: &Update) -> Told {
        match update {
            Update::Event(event) => self.event(event),
            Update::Progress(progress) => {
                self.board.take(progress.clone());
                Told::default()
            }
            Update::Job(job) => self.job(job),
        }
    }

    fn event(&mut self, event: &JobEvent) -> Told {
        // A broken connection may tell the same again.
        if event.sequence <= self.last_sequence {
            return Told::default();
        }
        self.last_sequence = event.sequence;
        Told {
            preflight_is_there: event.step == "preflight" && !event.kind.ends_with("started"),
            lines: self.line(event).into_iter().collect(),
        }
    }

    fn line(&self, event: &JobEvent) -> Option<String> {
        let (mark, tone) = match event.kind.as_str() {
            "created" | "claimed" => return None,
            kind if kind.contains("fail") || kind.contains("stuck") => ("✗", Tone::Bad),
            kind if kind.contains("undo") || kind.contains("cancel") => ("↺", Tone::Warn),
            kind if kind.ends_with("done") || kind.ends_with("succeeded") => ("✓", Tone::Good),
            kind if kind.ends_with("started") => ("…", Tone::Dim),
            _ => ("·", Tone::Plain),
        };
        let mut what = match event.kind.as_str() {
            "step-started" | "step-done" => event.step.clone(),
            "step-failed" => format!("{} failed", event.step),
            kind if event.step.is_empty() => kind.replace('-', " "),
            kind => format!("{} ({})", event.step, kind.replace('-', " ")),
        };
        if event.attempt > 1 {
            what.push_str(&format!(", try {}", event.attempt));
        }
        if !event.message.is_empty() {
            what.push_str(&format!(": {}", event.message));
        }
        Some(format!("{} {what}", self.paint.tone(tone, mark)))
    }

    fn job(&mut self, job: &Job) -> Told {
        let before = self.job.replace(job.clone());
        let waits = |job: &Job| job.state == JobState::Waiting && !job.reason.is_empty();
        let same =
            before.is_some_and(|before| before.state == job.state && before.reason == job.reason);
        let lines = if waits(job) && !same {
            vec![format!(
                "{} waiting: {}",
                self.paint.tone(Tone::Warn, "!"),
                job.reason
            )]
        } else {
            Vec::new()
        };
        Told {
            lines,
            preflight_is_there: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Teller, Told, Update};
    use crate::{
        output::paint::Paint,
        view::{
            job::JobState,
            samples::{job_event, job_list},
        },
    };

    fn lines(
        teller: &mut Teller,
        sequence: u64,
        kind: &str,
        step: &str,
        message: &str,
    ) -> Vec<String> {
        teller
            .take(&Update::Event(job_event(sequence, kind, step, message)))
            .lines
    }

    #[test]
    fn each_step_is_a_line() {
        let mut teller = Teller::new(Paint::plain());
        assert!(lines(&mut teller, 1, "created", "", "by alice").is_empty());
        assert_eq!(
            lines(&mut teller, 2, "step-started", "stage", ""),
            ["… stage"]
        );
        assert_eq!(
            lines(&mut teller, 3, "step-done", "stage", "2 roles"),
            ["✓ stage: 2 roles"]
        );
        assert_eq!(
            lines(&mut teller, 4, "step-failed", "transfer", "no route"),
            ["✗ transfer failed: no route"]
        );
        assert_eq!(
            lines(&mut teller, 5, "undo-started", "stage", ""),
            ["↺ stage (undo started)"]
        );
        assert_eq!(
            lines(&mut teller, 6, "cancel-requested", "", "by bob"),
            ["↺ cancel requested: by bob"]
        );
        let mut again = job_event(7, "step-started", "transfer", "");
        again.attempt = 2;
        assert_eq!(
            teller.take(&Update::Event(again)).lines,
            ["… transfer, try 2"]
        );
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let mut teller = Teller::new(Paint::plain());
        assert_eq!(lines(&mut teller, 3, "step-done", "stage", "").len(), 1);
        assert!(lines(&mut teller, 3, "step-done", "stage", "").is_empty());
        assert!(lines(&mut teller, 2, "step-done", "preflight", "").is_empty());
        assert_eq!(teller.last_sequence(), 3);
    }

    #[test]
    fn preflight_is_asked_for_when_it_is_over() {
        let mut teller = Teller::new(Paint::plain());
        let mut over = |sequence, kind: &str| {
            teller
                .take(&Update::Event(job_event(sequence, kind, "preflight", "")))
                .preflight_is_there
        };
        assert!(!over(1, "step-started"));
        assert!(over(2, "step-done"));
        assert!(over(3, "step-failed"));
    }

    #[test]
    fn waiting_is_explained_once_and_the_end_is_seen() {
        let mut teller = Teller::new(Paint::plain());
        let mut job = job_list().jobs[0].clone();
        job.state = JobState::Waiting;
        job.reason = "web-2/shop-db/live is locked by job 41".to_owned();
        let update = Update::Job(job.clone());
        assert_eq!(
            teller.take(&update).lines,
            ["! waiting: web-2/shop-db/live is locked by job 41"]
        );
        assert_eq!(teller.take(&update), Told::default());
        assert!(!teller.has_ended());
        job.state = JobState::Succeeded;
        teller.take(&Update::Job(job));
        assert!(teller.has_ended());
    }
}
