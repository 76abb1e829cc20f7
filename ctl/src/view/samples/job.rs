//! Jobs, and what they found out.

use holdfast_proto::{
    check::CheckVerdict,
    image::{DataPath, ProofLevel},
};

use super::{MIB, outcome, policy::retention, text};
use crate::{
    output::testing::at,
    view::{
        aftermath::{Aftermath, KeptDatabase, KeptReason},
        job::{Job, JobDetail, JobEvent, JobList, JobState},
        proof::{Answer, CopyProof, PreflightLine, ProvenCheck, ProvenRelation},
        prune::{FreedSpace, Pruned, RepositoryPruned},
    },
};

pub(super) fn job() -> Job {
    Job {
        id: 42,
        kind: text("copy-database"),
        state: JobState::Succeeded,
        title: text("web-1/shop-db/shop → web-2/shop-db/shop_test"),
        requested_by: text("alice"),
        created_at: Some(at("2026-11-20T11:50:00Z")),
        started_at: Some(at("2026-11-20T11:50:01.6Z")),
        ended_at: Some(at("2026-11-20T11:50:14Z")),
        step: text("keep"),
        step_number: 6,
        step_count: 6,
        reason: String::new(),
        advice: String::new(),
        trace_id: text("4bf92f3577b34da6a3ce929d0e0e4736"),
        undo_until: Some(at("2026-11-21T11:50:14Z")),
    }
}

pub(crate) fn job_list() -> JobList {
    let running = Job {
        id: 43,
        state: JobState::Running,
        title: text("web-1/shop-db/shop → web-2/shop-db/live"),
        created_at: Some(at("2026-11-20T11:59:30Z")),
        started_at: Some(at("2026-11-20T11:59:40Z")),
        ended_at: None,
        step: text("transfer"),
        step_number: 3,
        ..job()
    };
    JobList {
        jobs: vec![running, job()],
    }
}

pub(crate) fn job_event(sequence: u64, kind: &str, step: &str, message: &str) -> JobEvent {
    JobEvent {
        sequence,
        at: Some(at("2026-11-20T11:50:02Z")),
        kind: text(kind),
        step: text(step),
        attempt: 1,
        message: text(message),
    }
}

pub(crate) fn proof() -> CopyProof {
    let relation = |name: &str, rows| ProvenRelation {
        schema: text("public"),
        name: text(name),
        source_rows: rows,
        target_rows: rows,
        source_fingerprint: "1".repeat(32),
        target_fingerprint: "1".repeat(32),
        equal: true,
    };
    CopyProof {
        level: ProofLevel::Full,
        green: true,
        relations: vec![relation("users", 5000), relation("orders", 10_000)],
        checks: vec![ProvenCheck {
            name: text("users"),
            verdict: CheckVerdict::Ok,
            outcome: Some(outcome(Some(5000))),
            reasons: Vec::new(),
        }],
        path: Some(DataPath::Direct),
        resent_parts: 1,
        rows: 15_000,
        bytes: 340 * MIB,
        snapshot_at: Some(at("2026-11-20T11:50:03Z")),
        lsn: text("0/1A2B3C4D"),
        created_roles: vec![text("shop"), text("reader")],
        notices: vec![text("collation version differs")],
    }
}

pub(crate) fn job_detail() -> JobDetail {
    let line = |question: &str, verdict, detail: &str| PreflightLine {
        question: text(question),
        verdict,
        detail: text(detail),
        advice: String::new(),
    };
    JobDetail {
        job: job(),
        events: vec![
            job_event(1, "created", "", "requested by alice"),
            job_event(2, "step-done", "preflight", ""),
        ],
        preflight: vec![
            line("source is readable", Answer::Passed, "15.20, 340 MiB"),
            line("target name is free", Answer::Passed, ""),
            line(
                "extensions are available",
                Answer::Warning,
                "pg_trgm 1.6 instead of 1.5",
            ),
        ],
        proof: Some(proof()),
        after: aftermath(),
        pruned: pruned().pruned,
        merged: Some(super::merge::all_came()),
        checklist: vec![PreflightLine {
            question: "applications are connected".to_owned(),
            verdict: Answer::Warning,
            detail: "nobody is".to_owned(),
            advice: "start what uses it, or see why it does not come back".to_owned(),
        }],
    }
}

pub(crate) fn pruned() -> RepositoryPruned {
    let pruned = Pruned {
        backups: vec![1, 2],
        unknown_snapshots: 1,
        missing_backups: vec![],
        freed: Some(FreedSpace {
            marked_packs: 3,
            waiting_packs: 0,
            removed_packs: 0,
            recovered_packs: 0,
            bytes_before: 2 << 20,
            bytes_after: 2 << 20,
        }),
    };
    RepositoryPruned {
        pruned: Some(pruned),
        ..RepositoryPruned::left(text("web-1"), retention().backups, job())
    }
}

pub(crate) fn aftermath() -> Aftermath {
    Aftermath {
        roles_left: Vec::new(),
        roles_left_uncertain: false,
        kept: vec![KeptDatabase {
            database: text("web-2/shop-db/shop_test__before_42"),
            until: Some(at("2026-11-21T11:50:14Z")),
            reason: KeptReason::Replaced,
        }],
        undo: text("gives shop_test__before_42 the name shop_test again"),
    }
}
