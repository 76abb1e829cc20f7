//! A drill that found its backup damaged.

use holdfast_proto::{
    drill::{
        DrillReport, DrillTargets, DrillTimes, DrillVersions, DrilledBackup, Rung, RungName,
        RungOutcome, Verdict,
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
        database: text("web-1/shop-db/shop"),
        backup: 12,
        taken_at: at("2026-11-20T10:00:00Z"),
        host: text("web-2"),
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
        format: 1,
        drill: 3,
        job: 42,
        database: text("web-1/shop-db/shop"),
        backup: DrilledBackup {
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
        },
        host: text("web-2"),
        image: text("postgres:17"),
        image_id: text("sha256:ab"),
        limits: SandboxLimits {
            cpu_millis: 1_000,
            memory_bytes: 1 << 30,
        },
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
            rpo_ms: 3_600_000,
        },
        targets: DrillTargets {
            rto_ms: Some(30_000),
            rpo_ms: Some(86_400_000),
        },
        versions: DrillVersions {
            controller: text("0.1.0"),
            source_server: text("17.1"),
            server: text("17.1"),
        },
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
