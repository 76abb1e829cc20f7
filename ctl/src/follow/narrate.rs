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
        let step = &event.step;
        let again = if event.attempt > 1 {
            format!(", try {}", event.attempt)
        } else {
            String::new()
        };
        let (mark, tone, what) = match event.kind.as_str() {
            // What waits is told by the job's state, how it ended by the summary.
            "created" | "started" | "ended" => return None,
            "step-started" => ("…", Tone::Dim, format!("{step}{again}")),
            "step-undo-started" => ("↺", Tone::Warn, format!("undoing {step}{again}")),
            "step-done" => ("✓", Tone::Good, told(step, &event.message)),
            "step-undone" => (
                "✓",
                Tone::Warn,
                told(&format!("{step} undone"), &event.message),
            ),
            "step-failed" => (
                "✗",
                Tone::Bad,
                told(&format!("{step} failed{again}"), &event.message),
            ),
            "step-undo-failed" => (
                "✗",
                Tone::Bad,
                told(&format!("undoing {step} failed{again}"), &event.message),
            ),
            "undo-started" => ("↺", Tone::Warn, event.message.clone()),
            // Kinds of later versions.
            kind => {
                let kind = kind.replace('-', " ");
                let what = if step.is_empty() {
                    kind
                } else {
                    format!("{step} ({kind})")
                };
                (
                    "·",
                    Tone::Plain,
                    told(&format!("{what}{again}"), &event.message),
                )
            }
        };
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

fn told(what: &str, message: &str) -> String {
    if message.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {message}")
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
        let cases = [
            ("created", "", "waits for its turn", ""),
            ("started", "", "has its locks and begins", ""),
            ("step-started", "stage", "attempt 1", "… stage"),
            ("step-done", "stage", "2 roles", "✓ stage: 2 roles"),
            (
                "step-failed",
                "transfer",
                "no route",
                "✗ transfer failed: no route",
            ),
            (
                "undo-started",
                "",
                "cancelled by bob: undoing what was done",
                "↺ cancelled by bob: undoing what was done",
            ),
            ("step-undo-started", "stage", "", "↺ undoing stage"),
            (
                "step-undo-failed",
                "stage",
                "in use",
                "✗ undoing stage failed: in use",
            ),
            ("step-undone", "stage", "", "✓ stage undone"),
            ("resumed", "", "continued by b", "· resumed: continued by b"),
            ("swept", "", "dropped x", "· swept: dropped x"),
            ("ended", "", "cancelled", ""),
        ];
        for (sequence, (kind, step, message, line)) in (1..).zip(cases) {
            let told = lines(&mut teller, sequence, kind, step, message);
            assert_eq!(told.first().map_or("", String::as_str), line);
        }
        let mut again = job_event(99, "step-started", "transfer", "attempt 2");
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
