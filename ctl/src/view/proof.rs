//! Evidence of a copy: what was asked before, what was compared after.

use std::fmt::Write as _;

use holdfast_proto::{
    check::CheckVerdict,
    image::{DataPath, ProofLevel},
};
use serde::Serialize;

use super::{
    Time,
    check::{Outcome, outcome_text, verdict_word},
    job::{Job, moment},
};
use crate::{
    exit::Exit,
    output::{
        Page,
        paint::{Paint, Tone},
        units,
    },
};

/// How many relations that differ are named.
const NAMED: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Passed,
    Warning,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreflightLine {
    pub question: String,
    pub verdict: Answer,
    pub detail: String,
    pub advice: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CopyProof {
    pub level: ProofLevel,
    pub green: bool,
    pub relations: Vec<ProvenRelation>,
    pub checks: Vec<ProvenCheck>,
    pub path: Option<DataPath>,
    pub resent_parts: u32,
    pub rows: u64,
    pub bytes: u64,
    pub snapshot_at: Option<Time>,
    pub lsn: String,
    pub created_roles: Vec<String>,
    pub notices: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProvenRelation {
    pub schema: String,
    pub name: String,
    pub source_rows: u64,
    pub target_rows: u64,
    pub source_fingerprint: String,
    pub target_fingerprint: String,
    pub equal: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProvenCheck {
    pub name: String,
    pub verdict: CheckVerdict,
    pub outcome: Option<Outcome>,
    pub reasons: Vec<String>,
}

impl PreflightLine {
    #[must_use]
    pub fn failed(&self) -> bool {
        self.verdict == Answer::Failed
    }
}

impl CopyProof {
    /// A check that breaks a limit is excused by a green proof (the source breaks it too, or rows were left
    /// out). One that could not run tells nothing, excused or not.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let mut verdicts = self.checks.iter().map(|check| check.verdict);
        if !self.green {
            Exit::NotProven
        } else if verdicts.any(|verdict| verdict == CheckVerdict::CouldNotRun) {
            Exit::CouldNotCheck
        } else {
            Exit::Ok
        }
    }

    #[must_use]
    pub fn equal_relations(&self) -> usize {
        self.relations
            .iter()
            .filter(|relation| relation.equal)
            .count()
    }
}

/// A line an answer, with detail, and advice where something is to do.
#[must_use]
pub fn preflight_text(lines: &[PreflightLine], paint: Paint) -> String {
    let mut out = String::new();
    for line in lines {
        let (mark, tone) = match line.verdict {
            Answer::Passed => ("✓", Tone::Good),
            Answer::Warning => ("!", Tone::Warn),
            Answer::Failed => ("✗", Tone::Bad),
        };
        let _ = write!(out, "{} {}", paint.tone(tone, mark), line.question);
        if !line.detail.is_empty() {
            let _ = write!(out, ": {}", line.detail);
        }
        out.push('\n');
        if !line.advice.is_empty() {
            let _ = writeln!(out, "    → {}", line.advice);
        }
    }
    out
}

/// What was carried and how it was compared.
#[must_use]
pub fn proof_text(proof: &CopyProof, job: &Job, page: &Page) -> String {
    let mut out = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(out, "  {label:<10} {value}");
    };
    line("carried", carried(proof, job, page.now));
    line("proof", verdict(proof, page.paint));
    for relation in proof
        .relations
        .iter()
        .filter(|relation| !relation.equal)
        .take(NAMED)
    {
        line("", difference(relation));
    }
    if let Some(at) = proof.snapshot_at {
        line("snapshot", format!("{}, lsn {}", moment(at), proof.lsn));
    }
    for check in &proof.checks {
        line("check", check_text(check, page));
    }
    if !proof.created_roles.is_empty() {
        line(
            "roles",
            format!(
                "created without a password: {}",
                proof.created_roles.join(", ")
            ),
        );
    }
    for notice in &proof.notices {
        line("notice", notice.clone());
    }
    out
}

fn carried(proof: &CopyProof, job: &Job, now: Time) -> String {
    let mut text = format!(
        "{}, {}, {}",
        units::plural(proof.relations.len() as u64, "table"),
        units::plural(proof.rows, "row"),
        units::size(proof.bytes)
    );
    if let Some(took) = job.took(now) {
        let _ = write!(text, " in {}", units::span(took));
    }
    match proof.path {
        Some(DataPath::Direct) => text.push_str(", direct from agent to agent"),
        Some(DataPath::Relay) => text.push_str(", through the controller"),
        Some(DataPath::Repository) => text.push_str(", from a repository"),
        None => {}
    }
    if proof.resent_parts > 0 {
        let _ = write!(
            text,
            ", {} sent again",
            units::plural(proof.resent_parts.into(), "part")
        );
    }
    text
}

fn verdict(proof: &CopyProof, paint: Paint) -> String {
    let (level, how) = match proof.level {
        ProofLevel::Full => ("full", "read back and equal in rows and fingerprint"),
        ProofLevel::Transit => (
            "transit",
            "equal in bytes hashed at both ends and in the servers' row counts",
        ),
    };
    let colour = if proof.green {
        paint.tone(Tone::Good, "green")
    } else {
        paint.tone(Tone::Bad, "NOT GREEN")
    };
    format!(
        "{colour} ({level}): {} of {} tables {how}",
        proof.equal_relations(),
        proof.relations.len()
    )
}

fn difference(relation: &ProvenRelation) -> String {
    let name = format!("{}.{}", relation.schema, relation.name);
    if relation.source_rows == relation.target_rows {
        format!(
            "✗ {name}: {} on both sides, but the content differs",
            units::plural(relation.source_rows, "row")
        )
    } else {
        format!(
            "✗ {name}: {} left the source, {} arrived",
            units::plural(relation.source_rows, "row"),
            units::count(relation.target_rows)
        )
    }
}

fn check_text(check: &ProvenCheck, page: &Page) -> String {
    let (word, tone) = verdict_word(check.verdict);
    let mut text = format!("{}: {}", check.name, page.paint.tone(tone, word));
    if let Some(outcome) = &check.outcome {
        let _ = write!(text, ", {}", outcome_text(outcome, page.now));
    }
    if !check.reasons.is_empty() {
        let _ = write!(text, " ({})", check.reasons.join("; "));
    }
    text
}

#[cfg(test)]
mod tests {
    use holdfast_proto::check::CheckVerdict;

    use super::{Answer, preflight_text, proof_text};
    use crate::{
        exit::Exit,
        output::{paint::Paint, testing::page},
        view::samples,
    };

    #[test]
    fn preflight_shows_detail_and_advice() {
        let mut lines = samples::job_detail().preflight;
        lines[1].verdict = Answer::Failed;
        lines[1].advice = "give --replace".to_owned();
        assert_eq!(
            preflight_text(&lines, Paint::plain()),
            "✓ source is readable: 15.20, 340 MiB\n\
             ✗ target name is free\n    → give --replace\n\
             ! extensions are available: pg_trgm 1.6 instead of 1.5\n"
        );
    }

    #[test]
    fn a_green_proof_in_words() {
        let detail = samples::job_detail();
        let proof = samples::proof();
        assert_eq!(
            proof_text(&proof, &detail.job, &page()),
            "  carried    2 tables, 15 000 rows, 340 MiB in 12 s, direct from agent to agent, 1 part sent again\n\
             \x20 proof      green (full): 2 of 2 tables read back and equal in rows and fingerprint\n\
             \x20 snapshot   2026-11-20 11:50:03 UTC, lsn 0/1A2B3C4D\n\
             \x20 check      users: ok, 5 000 rows, newest 1 h ago\n\
             \x20 roles      created without a password: shop, reader\n\
             \x20 notice     collation version differs\n"
        );
    }

    #[test]
    fn what_differs_is_named() {
        let detail = samples::job_detail();
        let mut proof = samples::proof();
        proof.green = false;
        proof.relations[0].equal = false;
        proof.relations[1].equal = false;
        proof.relations[1].target_rows = 9_999;
        let text = proof_text(&proof, &detail.job, &page());
        assert!(text.contains("NOT GREEN (full): 0 of 2 tables"), "{text}");
        assert!(
            text.contains("✗ public.users: 5 000 rows on both sides, but the content differs"),
            "{text}"
        );
        assert!(
            text.contains("✗ public.orders: 10 000 rows left the source, 9 999 arrived"),
            "{text}"
        );
    }

    #[test]
    fn could_not_run_is_never_good() {
        let mut proof = samples::proof();
        assert_eq!(proof.exit(), Exit::Ok);
        proof.checks[0].verdict = CheckVerdict::CouldNotRun;
        assert_eq!(proof.exit(), Exit::CouldNotCheck);
        proof.checks[0].verdict = CheckVerdict::Suspicious;
        assert_eq!(proof.exit(), Exit::Ok, "the controller has excused it");
        proof.green = false;
        assert_eq!(proof.exit(), Exit::NotProven);
    }
}
