//! How a copy ended: the few numbers first, the evidence behind them.

use std::fmt::Write as _;

use holdfast_proto::image::{DataPath, ProofLevel};
use serde::Serialize;

use super::{
    aftermath::{Aftermath, aftermath_text},
    job::{Job, JobDetail, JobState, moment},
    kind::words,
    merge::merged_text,
    proof::{CopyProof, PreflightLine, preflight_text, proof_text},
    prune::Pruned,
};
use crate::output::{Page, View, paint::Tone};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CopyResult {
    pub source: String,
    pub target: String,
    pub dry_run: bool,
    pub tables: u64,
    pub rows: u64,
    pub bytes: u64,
    pub seconds: f64,
    pub path: Option<DataPath>,
    pub proof_level: Option<ProofLevel>,
    pub green: bool,
    pub job: Job,
    pub preflight: Vec<PreflightLine>,
    pub proof: Option<CopyProof>,
    #[serde(flatten)]
    pub after: Aftermath,
    /// Of a restore: what was looked at when the database stood in its place.
    pub checklist: Vec<PreflightLine>,
}

/// A job that was watched to its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct JobEnded(pub JobDetail);

/// What the last words are made of.
struct End<'a> {
    job: &'a Job,
    preflight: &'a [PreflightLine],
    proof: Option<&'a CopyProof>,
    after: &'a Aftermath,
    checklist: &'a [PreflightLine],
    /// What it removed and nobody brings back; empty when nothing.
    removed: String,
}

impl CopyResult {
    #[must_use]
    pub fn of(source: String, target: String, dry_run: bool, detail: JobDetail) -> Self {
        let JobDetail {
            job,
            preflight,
            proof,
            after,
            checklist,
            ..
        } = detail;
        let took = match (job.started_at, job.ended_at) {
            (Some(start), Some(end)) => (end - start).to_std().unwrap_or_default(),
            _ => std::time::Duration::ZERO,
        };
        let of_proof = |get: fn(&CopyProof) -> u64| proof.as_ref().map_or(0, get);
        Self {
            source,
            target,
            dry_run,
            tables: of_proof(|proof| proof.relations.len() as u64),
            rows: of_proof(|proof| proof.rows),
            bytes: of_proof(|proof| proof.bytes),
            seconds: took.as_secs_f64(),
            path: proof.as_ref().and_then(|proof| proof.path),
            proof_level: proof.as_ref().map(|proof| proof.level),
            green: job.state == JobState::Succeeded
                && proof.as_ref().is_some_and(|proof| proof.green),
            job,
            preflight,
            proof,
            after,
            checklist,
        }
    }

    fn end(&self) -> End<'_> {
        End {
            job: &self.job,
            preflight: &self.preflight,
            proof: self.proof.as_ref(),
            after: &self.after,
            checklist: &self.checklist,
            removed: String::new(),
        }
    }
}

impl CopyResult {
    /// The last words about `what`.
    pub(super) fn text_of(&self, what: &str, page: &Page) -> String {
        let end = self.end();
        if !self.dry_run {
            return end.text(what, page);
        }
        // Of a dry run the answers are the result.
        let answers = preflight_text(&self.preflight, page.paint);
        match self.job.state {
            JobState::Succeeded => {
                let possible = words(&self.job.kind).possible;
                let good = format!("✓ {what}: {possible}; nothing was touched");
                format!("{answers}{}\n", page.paint.tone(Tone::Good, &good))
            }
            _ => format!("{answers}{}", end.text(what, page)),
        }
    }
}

impl View for CopyResult {
    fn text(&self, page: &Page) -> String {
        let both = format!("{} → {}", self.source, self.target);
        self.text_of(&both, page)
    }
}

impl View for JobEnded {
    fn text(&self, page: &Page) -> String {
        let JobDetail {
            job,
            preflight,
            proof,
            after,
            pruned,
            merged,
            checklist,
            ..
        } = &self.0;
        let end = End {
            job,
            preflight,
            proof: proof.as_ref(),
            after,
            checklist,
            removed: pruned
                .as_ref()
                .map(Pruned::stay_removed)
                .unwrap_or_default(),
        };
        let mut text = end.text(&job.title, page);
        if let Some(merged) = merged {
            text.push_str(&merged_text(merged, page));
        }
        text
    }
}

impl End<'_> {
    fn text(&self, what: &str, page: &Page) -> String {
        let (tone, headline) = self.headline(what);
        let mut out = format!("{}\n", page.paint.tone(tone, &headline));
        if !self.job.reason.is_empty() {
            let _ = writeln!(out, "  reason     {}", self.job.reason);
        }
        if !self.job.advice.is_empty() {
            let _ = writeln!(out, "  advice     {}", self.job.advice);
        }
        if let Some(proof) = self.proof {
            out.push_str(&proof_text(proof, self.job, page));
        }
        out.push_str(&aftermath_text(self.after));
        if !self.checklist.is_empty() {
            out.push_str("checklist:\n");
            out.push_str(&preflight_text(self.checklist, page.paint));
        }
        out.push_str("next:\n");
        if let Some(until) = self.job.undo_until {
            let _ = writeln!(
                out,
                "  ctl job undo {:<5} takes the {} back, until {}",
                self.job.id,
                words(&self.job.kind).noun,
                moment(until)
            );
        }
        let _ = writeln!(
            out,
            "  ctl job show {:<5} every step, every comparison",
            self.job.id
        );
        out
    }

    fn headline(&self, what: &str) -> (Tone, String) {
        let of_kind = words(&self.job.kind);
        let done = of_kind.done;
        let (proven, unproven) = (
            format!("{done} and proven"),
            format!("{done}, but not proven"),
        );
        // "Else": the line below says what.
        let some_stays = !self.after.roles_left.is_empty() || !self.removed.is_empty();
        let (tone, words) = match (self.job.state, self.proof) {
            (JobState::Succeeded, Some(proof)) if proof.green => (Tone::Good, proven.as_str()),
            (JobState::Succeeded, Some(_)) => (Tone::Warn, unproven.as_str()),
            (JobState::Succeeded, None) => (Tone::Good, of_kind.without_proof),
            (JobState::Failed, _) if self.preflight.iter().any(PreflightLine::failed) => {
                (Tone::Bad, "preflight failed; nothing was touched")
            }
            (JobState::Failed, _) if some_stays => {
                (Tone::Bad, "failed; everything else it had done is undone")
            }
            (JobState::Failed, _) => (Tone::Bad, "failed; everything it had done is undone"),
            (JobState::Cancelled, _) if some_stays => (
                Tone::Warn,
                "cancelled; everything else it had done is undone",
            ),
            (JobState::Cancelled, _) => (Tone::Warn, "cancelled; everything it had done is undone"),
            (JobState::Undone, _) => (Tone::Warn, of_kind.undone),
            (JobState::Stuck, _) => (Tone::Bad, "STUCK: its undo failed, a person must look"),
            (state, _) => (Tone::Plain, state.word()),
        };
        let mark = match tone {
            Tone::Good => "✓ ",
            Tone::Warn => "! ",
            Tone::Bad => "✗ ",
            _ => "",
        };
        let removed = match self.job.state {
            JobState::Succeeded => "",
            _ => &self.removed,
        };
        (tone, format!("{mark}{what}: {words}{removed}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{CopyResult, JobState};
    use crate::{
        output::{View as _, testing::page},
        view::{proof::Answer, samples},
    };

    fn result(dry_run: bool, change: impl Fn(&mut crate::view::job::JobDetail)) -> CopyResult {
        let mut detail = samples::job_detail();
        change(&mut detail);
        CopyResult::of(
            "web-1/shop-db/shop".to_owned(),
            "web-2/shop-db/shop_test".to_owned(),
            dry_run,
            detail,
        )
    }

    #[test]
    fn a_copy_ends_with_its_evidence_and_the_way_back() {
        // A copy has no checklist: it comes with a restore.
        let text = result(false, |detail| detail.checklist.clear()).text(&page());
        assert!(
            text.starts_with("✓ web-1/shop-db/shop → web-2/shop-db/shop_test: copied and proven\n  carried    2 tables"),
            "{text}"
        );
        assert!(
            text.ends_with(
                "  undoing    gives shop_test__before_42 the name shop_test again\nnext:\n  ctl job undo 42    takes the copy back, until 2026-11-21 11:50:14 UTC\n  \
                 ctl job show 42    every step, every comparison\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn every_end_has_its_own_words() {
        let head = |dry_run, change: fn(&mut crate::view::job::JobDetail)| {
            let text = result(dry_run, change).text(&page());
            let line = text.lines().next().unwrap_or_default().to_owned();
            line.replace("web-1/shop-db/shop → web-2/shop-db/shop_test", "A → B")
        };
        assert_eq!(
            head(false, |d| d.proof = None),
            "✓ A → B: succeeded; it carried no data"
        );
        assert_eq!(
            head(false, |d| {
                d.proof = None;
                d.job.kind = "back-up-database".to_owned();
            }),
            "✓ A → B: backed up; `ctl backup list` shows it"
        );
        assert_eq!(
            head(false, |d| d
                .proof
                .iter_mut()
                .for_each(|proof| proof.green = false)),
            "! A → B: copied, but not proven"
        );
        assert_eq!(
            head(false, |d| {
                d.job.state = JobState::Failed;
                d.preflight[0].verdict = Answer::Failed;
            }),
            "✗ A → B: preflight failed; nothing was touched"
        );
        assert_eq!(
            head(false, |d| d.job.state = JobState::Failed),
            "✗ A → B: failed; everything it had done is undone"
        );
        assert_eq!(
            head(false, |d| {
                d.job.state = JobState::Failed;
                d.after.roles_left = vec!["app".to_owned()];
            }),
            "✗ A → B: failed; everything else it had done is undone"
        );
        assert_eq!(
            head(false, |d| d.job.state = JobState::Stuck),
            "✗ A → B: STUCK: its undo failed, a person must look"
        );
    }

    #[test]
    fn of_a_dry_run_the_answers_are_the_result() {
        let text = result(true, |d| d.proof = None).text(&page());
        assert!(
            text.starts_with("✓ source is readable: 15.20, 340 MiB\n"),
            "{text}"
        );
        assert!(
            text.ends_with(": this copy can be made; nothing was touched\n"),
            "{text}"
        );
    }

    #[test]
    fn green_needs_a_success() {
        assert!(result(false, |_| ()).green);
        assert!(!result(false, |d| d.job.state = JobState::Failed).green);
        assert!((result(false, |_| ()).seconds - 12.4).abs() < 0.01);
    }
}
