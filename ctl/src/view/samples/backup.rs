//! Samples of backups and deployments.

use holdfast_proto::check::CheckVerdict;

use super::{MIB, job_detail, text};
use crate::{
    output::testing::at,
    view::{
        backup::{
            Backup, BackupChanged, BackupCheck, BackupDetail, BackupDiff, BackupList, BackupMade,
            BackupsMade, ChangeKind, Compared, RelationChange, StoredRelation, VolumeContents,
        },
        check::{CheckRun, Outcome},
        deployment::{BeforeDeploy, Count, Deployment, DeploymentDiff, Line, Verdict, Volume},
        job::JobState,
    },
};

pub(crate) fn backup() -> Backup {
    Backup {
        id: 17,
        database: text("web-1/shop-db/shop"),
        engine: text("postgres"),
        kind: text("full"),
        state: text("proven"),
        pinned: true,
        taken_at: Some(at("2026-11-20T06:00:00Z")),
        stored_at: Some(at("2026-11-20T06:01:00Z")),
        proven_at: Some(at("2026-11-20T09:00:00Z")),
        logical_bytes: 340 * MIB,
        stored_bytes: 12 * MIB,
        snapshot: text("4f2a"),
        job: Some(42),
        marked_at: None,
        goes_at: None,
        removed_at: None,
        deleted_by: String::new(),
    }
}

fn going() -> Backup {
    Backup {
        id: 16,
        kind: text("schema-only"),
        state: text("stored"),
        pinned: false,
        proven_at: None,
        marked_at: Some(at("2026-11-20T10:00:00Z")),
        goes_at: Some(at("2026-11-21T10:00:00Z")),
        deleted_by: text("operator/ann"),
        ..backup()
    }
}

pub(crate) fn list() -> BackupList {
    BackupList {
        backups: vec![backup(), going()],
    }
}

fn outcome() -> Outcome {
    Outcome {
        at: Some(at("2026-11-20T06:01:00Z")),
        count: Some(14),
        newest: Some(at("2026-11-20T05:00:00Z")),
        error: String::new(),
    }
}

pub(crate) fn detail() -> BackupDetail {
    BackupDetail {
        backup: backup(),
        server_version: text("15.20"),
        lsn: text("0/1A2B3C4"),
        tables: vec![StoredRelation {
            schema: text("public"),
            name: text("orders"),
            rows: 510,
            bytes: 320 * MIB,
            fingerprint: text("00"),
        }],
        checks: vec![BackupCheck {
            name: text("users"),
            outcome: outcome(),
        }],
        only_tables: vec![text("orders")],
        keep: true,
        reasons: vec![text("the newest proven one")],
        volume: None,
    }
}

/// With the tables of a database and the files of a volume: every field is there.
pub(crate) fn everything() -> BackupDetail {
    BackupDetail {
        volume: Some(VolumeContents {
            files: 1204,
            folders: 31,
            others: 2,
            bytes: 320 * MIB,
            fingerprint: text("00"),
            left_out: vec![text("app.sock")],
            databases: vec![text("PostgreSQL 16 in pgdata")],
        }),
        ..detail()
    }
}

pub(crate) fn diff() -> BackupDiff {
    BackupDiff {
        older: Compared::of(&going()),
        newer: Compared::of(&backup()),
        changes: vec![RelationChange {
            schema: text("public"),
            name: text("orders"),
            kind: ChangeKind::Grew,
            rows_before: 10,
            rows_after: 510,
            bytes_before: MIB,
            bytes_after: 320 * MIB,
        }],
        unchanged: 3,
        schema_changed: true,
    }
}

pub(crate) fn deleted() -> BackupChanged {
    BackupChanged { backup: going() }
}

pub(crate) fn pinned() -> BackupChanged {
    BackupChanged { backup: backup() }
}

fn made() -> BackupMade {
    let mut detail = job_detail();
    detail.job.state = JobState::Succeeded;
    detail.proof = None;
    BackupMade::ended(text("web-1/shop-db/shop"), detail, Some(backup()))
}

pub(crate) fn backups_made() -> BackupsMade {
    BackupsMade {
        backups: vec![made()],
    }
}

fn deployment() -> Deployment {
    Deployment {
        project: text("shop"),
        host: text("web-1"),
        at: Some(at("2026-11-20T06:02:00Z")),
        volumes: vec![Volume {
            host: text("web-1"),
            service: text("db"),
            path: text("/data"),
            name: text("shop_db_data"),
            created_at: Some(at("2026-01-01T00:00:00Z")),
        }],
        counts: vec![Count {
            database: text("web-1/shop-db/shop"),
            check: text("users"),
            run: CheckRun {
                verdict: CheckVerdict::Ok,
                reasons: vec![text("-")],
                outcome: outcome(),
            },
        }],
    }
}

pub(crate) fn before_deploy() -> BeforeDeploy {
    BeforeDeploy {
        backups: vec![made()],
        deployment: Some(deployment()),
    }
}

pub(crate) fn deployment_diff() -> DeploymentDiff {
    DeploymentDiff {
        before: deployment(),
        now: deployment(),
        lines: vec![Line {
            subject: text("web-1 db /data"),
            verdict: Verdict::Wrong,
            message: text("was a, is b: another volume"),
        }],
    }
}
