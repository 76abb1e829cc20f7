//! A drill that found its backup damaged.

use holdfast_proto::{
    drill::{
        DrillKind, DrillReport, DrillTargets, DrillTimes, DrilledBackup, DrilledPart,
        DrilledServer, Rung, RungName, RungOutcome, Verdict,
    },
    task::SandboxLimits,
};

use super::{at, text};
use crate::view::drill::{DrillDetail, DrillLine, SignedReport, State};

pub(crate) fn line(state: State) -> DrillLine {
    let running = state == State::Running;
    DrillLine {
        id: 3,
        job: 42,
        kind: DrillKind::Backup,
        subject: text("web-1/shop-db/shop"),
        backup: Some(12),
        taken_at: Some(at("2026-11-20T10:00:00Z")),
        host: Some(text("web-2")),
        started_at: at("2026-11-20T11:00:00Z"),
        ended_at: (!running).then(|| at("2026-11-20T11:01:00Z")),
        state,
        broken: if running {
            String::new()
        } else {
            text("row counts are equal")
        },
        reason: if running {
            String::new()
        } else {
            text("public.users has 4 999 rows instead of 5 000")
        },
        took_seconds: (!running).then_some(12.0),
        rpo_seconds: (!running).then_some(3_600.0),
    }
}

fn rung(name: RungName, outcome: RungOutcome, detail: &str, findings: &[&str]) -> Rung {
    Rung {
        name,
        outcome,
        detail: text(detail),
        findings: findings.iter().copied().map(text).collect(),
    }
}

pub(crate) fn report() -> DrillReport {
    let wrong = "public.users has 4 999 rows instead of 5 000";
    DrillReport {
        format: 2,
        kind: DrillKind::Backup,
        drill: 3,
        job: 42,
        subject: text("web-1/shop-db/shop"),
        backup: Some(DrilledBackup {
            id: 12,
            kind: text("full"),
            taken_at: at("2026-11-20T10:00:00Z"),
            stored_at: at("2026-11-20T10:00:09Z"),
            snapshot: text("5a01"),
            lsn: text("0/15D68C8"),
            tables: 2,
            rows: 5_003,
            bytes: 400_000,
            schema_hash: text("00ff"),
            files: 0,
            fingerprint: String::new(),
        }),
        host: Some(text("web-2")),
        server: Some(server()),
        started_at: at("2026-11-20T11:00:00Z"),
        ended_at: at("2026-11-20T11:01:00Z"),
        verdict: Verdict::Damaged,
        broken: Some(RungName::Rows),
        reason: text(wrong),
        rungs: vec![
            rung(
                RungName::Repository,
                RungOutcome::Passed,
                "381 KiB in 5 entries read and authentic",
                &[],
            ),
            rung(
                RungName::Rows,
                RungOutcome::Failed,
                wrong,
                &[wrong, "public.orders has 2 rows instead of 3"],
            ),
            rung(
                RungName::Structure,
                RungOutcome::CouldNotRun,
                "amcheck cannot be used",
                &[],
            ),
        ],
        times: DrillTimes {
            read_ms: Some(900),
            took_ms: Some(12_000),
            fetch_ms: Some(1_000),
            restore_ms: Some(5_000),
            index_ms: Some(3_000),
            check_ms: Some(1_000),
            rpo_ms: Some(3_600_000),
        },
        targets: DrillTargets {
            rto_ms: Some(30_000),
            rpo_ms: Some(86_400_000),
        },
        parts: vec![],
        controller: text("0.1.0"),
    }
}

fn server() -> DrilledServer {
    DrilledServer {
        image: text("postgres:17"),
        image_id: text("sha256:ab"),
        limits: SandboxLimits {
            cpu_millis: 1_000,
            memory_bytes: 1 << 30,
        },
        source_version: text("17.1"),
        version: text("17.1"),
    }
}

/// Of the off-site kind: one of two backups is hit.
pub(crate) fn offsite() -> DrillReport {
    let gone = "table orders: data/ab12 is missing or not what was stored";
    let named = format!("backup 12 of web-1/shop-db/shop, taken 2026-11-20 10:00:00 UTC: {gone}");
    let part = |backup, subject: &str, outcome, detail: &str| DrilledPart {
        subject: text(subject),
        backup,
        kind: text("full"),
        taken_at: at("2026-11-20T10:00:00Z"),
        snapshot: text("5a01"),
        bytes: 400_000,
        outcome,
        detail: text(detail),
        server: None,
        rungs: vec![],
        times: DrillTimes::default(),
    };
    DrillReport {
        kind: DrillKind::Offsite,
        subject: text("web-1"),
        backup: None,
        host: None,
        server: None,
        broken: Some(RungName::Repository),
        reason: text("data/ab12 is gone"),
        rungs: vec![
            rung(
                RungName::Repository,
                RungOutcome::Failed,
                "data/ab12 is gone",
                &["data/ab12 is gone"],
            ),
            rung(RungName::Snapshots, RungOutcome::Failed, &named, &[&named]),
        ],
        parts: vec![
            part(12, "web-1/shop-db/shop", RungOutcome::Failed, gone),
            part(
                13,
                "web-1/crm-db/crm",
                RungOutcome::Passed,
                "whole and as it was stored",
            ),
        ],
        times: DrillTimes {
            read_ms: Some(900),
            ..DrillTimes::default()
        },
        targets: DrillTargets::default(),
        ..report()
    }
}

/// A rebuild that leaves something behind.
pub(crate) fn rebuilt() -> DrillDetail {
    let none = "web-1/shop-db/crm: there is no backup of it";
    let report = DrillReport {
        kind: DrillKind::Rebuild,
        host: Some(text("web-2")),
        verdict: Verdict::Incomplete,
        broken: Some(RungName::Covered),
        reason: text(none),
        rungs: vec![
            rung(RungName::Covered, RungOutcome::Failed, none, &[none]),
            rung(RungName::Databases, RungOutcome::Passed, "1 database", &[]),
        ],
        parts: vec![DrilledPart {
            subject: text("web-1/shop-db/shop"),
            backup: 12,
            kind: text("full"),
            taken_at: at("2026-11-20T10:00:00Z"),
            snapshot: text("5a01"),
            bytes: 400_000,
            outcome: RungOutcome::Passed,
            detail: text("back, and as it was backed up"),
            server: Some(server()),
            rungs: vec![rung(RungName::Rows, RungOutcome::Passed, "5 003 rows", &[])],
            times: DrillTimes {
                took_ms: Some(12_000),
                ..DrillTimes::default()
            },
        }],
        times: report().times,
        ..offsite()
    };
    let drill = DrillLine {
        kind: DrillKind::Rebuild,
        host: Some(text("web-2")),
        state: State::Incomplete,
        broken: text("everything has a backup"),
        reason: text(none),
        ..offsite_line()
    };
    DrillDetail {
        drill,
        report: Some(report),
    }
}

pub(crate) fn offsite_line() -> DrillLine {
    DrillLine {
        kind: DrillKind::Offsite,
        subject: text("web-1"),
        backup: None,
        taken_at: None,
        host: None,
        broken: text("repository data intact"),
        reason: text("data/ab12 is gone"),
        took_seconds: None,
        rpo_seconds: None,
        ..line(State::Damaged)
    }
}

pub(crate) fn detail() -> DrillDetail {
    DrillDetail {
        drill: line(State::Damaged),
        report: Some(report()),
    }
}

pub(crate) fn signed() -> SignedReport {
    let statement = serde_json::to_string_pretty(&report()).expect("JSON");
    SignedReport::read(statement, b"signed", text("-----BEGIN CERTIFICATE-----")).expect("a report")
}
