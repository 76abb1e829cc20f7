//! Jobs: where they stand, what they did, how they ended.

use std::time::Duration;

use comfy_table::Cell;
use holdfast_proto::task::MergedRows;
use serde::Serialize;

use super::{
    Time,
    aftermath::{Aftermath, aftermath_text},
    merge::{leaves_some, merged_text},
    proof::{CopyProof, PreflightLine, preflight_text, proof_text},
    prune::Pruned,
};
use crate::{
    exit::Exit,
    output::{
        Page, View,
        grid::{Grid, plain, toned},
        paint::Tone,
        units,
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    Waiting,
    Running,
    Undoing,
    Succeeded,
    Failed,
    Cancelled,
    Undone,
    Stuck,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    pub id: u64,
    pub kind: String,
    pub state: JobState,
    pub title: String,
    pub requested_by: String,
    pub created_at: Option<Time>,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub step: String,
    pub step_number: u32,
    pub step_count: u32,
    pub reason: String,
    pub advice: String,
    pub trace_id: String,
    pub undo_until: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobList {
    pub jobs: Vec<Job>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobEvent {
    pub sequence: u64,
    pub at: Option<Time>,
    pub kind: String,
    pub step: String,
    pub attempt: u32,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobDetail {
    pub job: Job,
    pub events: Vec<JobEvent>,
    pub preflight: Vec<PreflightLine>,
    pub proof: Option<CopyProof>,
    #[serde(flatten)]
    pub after: Aftermath,
    pub pruned: Option<Pruned>,
    pub merged: Option<MergedRows>,
    /// Of a restore: what was looked at when the database stood in its place.
    pub checklist: Vec<PreflightLine>,
}

/// What a cancel or undo was answered with, or a job that was submitted and left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobTaken {
    pub job: Job,
}

impl JobState {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Undoing => "undoing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Undone => "undone",
            Self::Stuck => "stuck",
        }
    }

    #[must_use]
    pub fn tone(self) -> Tone {
        match self {
            Self::Waiting | Self::Undoing => Tone::Warn,
            Self::Running => Tone::Plain,
            Self::Succeeded => Tone::Good,
            Self::Failed | Self::Stuck => Tone::Bad,
            Self::Cancelled | Self::Undone => Tone::Dim,
        }
    }

    /// Nothing more happens by itself.
    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Waiting | Self::Running | Self::Undoing => false,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Undone | Self::Stuck => true,
        }
    }
}

impl Job {
    /// From the start of the work to its end, or until now.
    #[must_use]
    pub fn took(&self, now: Time) -> Option<Duration> {
        let until = self.ended_at.unwrap_or(now);
        (until - self.started_at?).to_std().ok()
    }

    /// "3/6 transfer".
    #[must_use]
    pub fn position(&self) -> String {
        match (self.state.has_ended(), self.step_count) {
            (true, _) => String::new(),
            (false, 0) => self.step.clone(),
            (false, count) => format!("{}/{count} {}", self.step_number, self.step),
        }
    }
}

impl JobDetail {
    /// What a script is told about a job that ended; pure, from the evidence that stays with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let proof = self.proof.as_ref().map_or(Exit::Ok, CopyProof::exit);
        match self.job.state {
            JobState::Succeeded if self.merged.as_ref().is_some_and(leaves_some) => {
                Exit::Incomplete
            }
            JobState::Succeeded => proof,
            JobState::Failed if self.preflight.iter().any(PreflightLine::failed) => Exit::Conflict,
            JobState::Failed if proof == Exit::NotProven => Exit::NotProven,
            JobState::Failed => Exit::JobFailed,
            JobState::Cancelled | JobState::Undone => Exit::Cancelled,
            JobState::Stuck => Exit::Stuck,
            JobState::Waiting | JobState::Running | JobState::Undoing => Exit::Interrupted,
        }
    }
}

impl View for JobList {
    fn text(&self, page: &Page) -> String {
        let head = ["JOB", "STATE", "WHAT", "STEP", "TOOK", "BY", "WHEN"];
        let mut grid = Grid::new(page, &head, "no jobs").right(&[0]);
        for job in &self.jobs {
            grid.row(row(job, page));
        }
        grid.render()
    }
}

impl View for JobTaken {
    fn text(&self, page: &Page) -> String {
        let job = &self.job;
        format!(
            "job {} ({}) is {}\n",
            job.id,
            job.title,
            page.paint.tone(job.state.tone(), job.state.word())
        )
    }
}

impl View for JobDetail {
    fn text(&self, page: &Page) -> String {
        let mut out = head(&self.job, page);
        out.push_str(&aftermath_text(&self.after));
        if !self.preflight.is_empty() {
            out.push_str("\nPREFLIGHT\n");
            out.push_str(&preflight_text(&self.preflight, page.paint));
        }
        if let Some(proof) = &self.proof {
            out.push_str("\nPROOF\n");
            out.push_str(&proof_text(proof, &self.job, page));
        }
        if let Some(merged) = &self.merged {
            out.push_str("\nMERGED\n");
            out.push_str(&merged_text(merged, page));
        }
        if !self.checklist.is_empty() {
            out.push_str("\nCHECKLIST\n");
            out.push_str(&preflight_text(&self.checklist, page.paint));
        }
        out.push_str("\nEVENTS\n");
        out.push_str(&events(&self.events, page));
        out
    }
}

/// One row of a list of jobs.
pub(crate) fn row(job: &Job, page: &Page) -> Vec<Cell> {
    let step = if job.state == JobState::Waiting && !job.reason.is_empty() {
        job.reason.clone()
    } else {
        job.position()
    };
    vec![
        toned(Tone::Strong, job.id),
        toned(job.state.tone(), job.state.word()),
        plain(format!("{} {}", job.kind, job.title)),
        plain(step),
        plain(job.took(page.now).map(units::span).unwrap_or_default()),
        plain(&job.requested_by),
        plain(units::ago(page.now, job.created_at)),
    ]
}

fn head(job: &Job, page: &Page) -> String {
    let mut out = format!(
        "job {}  {}  {} {}\n",
        job.id,
        page.paint.tone(job.state.tone(), job.state.word()),
        job.kind,
        job.title
    );
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            out.push_str(&format!("  {label:<10} {value}\n"));
        }
    };
    line(
        "requested",
        &format!(
            "by {} {}",
            job.requested_by,
            units::ago(page.now, job.created_at)
        ),
    );
    line("step", &job.position());
    line(
        "took",
        &job.took(page.now).map(units::span).unwrap_or_default(),
    );
    line("reason", &job.reason);
    line("next", &job.advice);
    if let Some(until) = job.undo_until {
        line(
            "undo",
            &format!("ctl job undo {}  (until {})", job.id, moment(until)),
        );
    }
    line("trace", &job.trace_id);
    out
}

fn events(events: &[JobEvent], page: &Page) -> String {
    let mut grid = Grid::new(page, &["AT", "EVENT", "STEP", "TRY", "WHAT"], "no events");
    for event in events {
        let at = event.at.map(|at| at.format("%H:%M:%S%.3f").to_string());
        let tone = match event.kind.as_str() {
            kind if kind.contains("fail") || kind.contains("stuck") => Tone::Bad,
            kind if kind.contains("undo") || kind.contains("cancel") => Tone::Warn,
            kind if kind.contains("done") || kind.contains("succeeded") => Tone::Good,
            _ => Tone::Plain,
        };
        grid.row(vec![
            plain(at.unwrap_or_default()),
            toned(tone, &event.kind),
            plain(&event.step),
            plain(if event.attempt > 1 {
                event.attempt.to_string()
            } else {
                String::new()
            }),
            plain(&event.message),
        ]);
    }
    grid.render()
}

/// A point in time that somebody may have to write down.
pub(crate) fn moment(at: Time) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::JobState;
    use crate::{
        exit::Exit,
        output::{View as _, testing::page},
        view::{proof::Answer, samples},
    };

    #[test]
    fn a_list_tells_where_each_stands() {
        assert_eq!(
            samples::job_list().text(&page()),
            "JOB  STATE      WHAT                                                        STEP          TOOK  BY     WHEN\n \
             43  running    copy-database web-1/shop-db/shop → web-2/shop-db/live       3/6 transfer  20 s  alice  30 s ago\n \
             42  succeeded  copy-database web-1/shop-db/shop → web-2/shop-db/shop_test                12 s  alice  10 m ago\n"
        );
    }

    #[test]
    fn detail_holds_preflight_proof_and_events() {
        let text = samples::job_detail().text(&page());
        for part in [
            "job 42  succeeded  copy-database web-1/shop-db/shop → web-2/shop-db/shop_test\n",
            "  requested  by alice 10 m ago\n",
            "  undo       ctl job undo 42  (until 2026-11-21 11:50:14 UTC)\n",
            "  kept       web-2/shop-db/shop_test__before_42, what stood there before, until ",
            "\nPREFLIGHT\n✓ source is readable",
            "\nPROOF\n",
            "11:50:02.000  step-done",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    }

    #[test]
    fn the_exit_code_follows_the_evidence() {
        let with = |state, change: fn(&mut super::JobDetail)| {
            let mut detail = samples::job_detail();
            detail.job.state = state;
            change(&mut detail);
            detail.exit()
        };
        let red = |detail: &mut super::JobDetail| {
            if let Some(proof) = &mut detail.proof {
                proof.green = false;
            }
        };
        assert_eq!(with(JobState::Succeeded, |_| ()), Exit::Ok);
        assert_eq!(with(JobState::Succeeded, red), Exit::NotProven);
        assert_eq!(with(JobState::Failed, red), Exit::NotProven);
        assert_eq!(with(JobState::Failed, |_| ()), Exit::JobFailed);
        assert_eq!(
            with(JobState::Failed, |detail| detail.preflight[0].verdict =
                Answer::Failed),
            Exit::Conflict
        );
        assert_eq!(with(JobState::Stuck, red), Exit::Stuck);
        assert_eq!(with(JobState::Cancelled, |_| ()), Exit::Cancelled);
        assert_eq!(with(JobState::Undone, |_| ()), Exit::Cancelled);
        assert_eq!(with(JobState::Running, |_| ()), Exit::Interrupted);
    }
}
