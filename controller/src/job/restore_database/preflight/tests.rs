//! Each question of the preflight of a restore: what passes, warns and fails.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{
    fleet::Engine,
    task::{Extension, Selection},
};

use super::*;
use crate::{
    catalog::{Backup, BackupKind, BackupState},
    job::{
        back_up_database::record::BackupContents,
        copy_database::preflight::PreflightVerdict::{self, Failed, Passed, Warning},
        landing::dependents::Dependents,
        proofs::image_of,
    },
};

struct Facts {
    request: RestoreDatabase,
    backup: Option<Known>,
    held: Result<bool, OutOfReach>,
    target: Result<DatabaseFacts, TaskFailure>,
}

impl Facts {
    fn backup(&mut self) -> &mut Backup {
        &mut self.backup.as_mut().unwrap().backup
    }

    fn noted(&mut self) -> &mut BackupContents {
        let known = self.backup.as_mut().unwrap();
        known.contents.as_mut().unwrap()
    }

    fn target(&mut self) -> &mut DatabaseFacts {
        self.target.as_mut().unwrap()
    }
}

fn moment() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn server(version_num: u32) -> DatabaseFacts {
    DatabaseFacts {
        server_version: format!("{}.6", version_num / 10_000),
        version_num,
        is_superuser: true,
        encoding: "UTF8".to_owned(),
        collate: "C".to_owned(),
        ctype: "C".to_owned(),
        locale_provider: "libc".to_owned(),
        locales: vec!["C".to_owned()],
        size_bytes: 1 << 30,
        disk_free_bytes: Some(1 << 40),
        tools: "pg_restore".to_owned(),
        cpus: 2,
        ..DatabaseFacts::default()
    }
}

fn facts() -> Facts {
    Facts {
        request: RestoreDatabase {
            backup: 12,
            source: "web-1/shop-db/shop".parse().unwrap(),
            target: "web-2/shop-db/shop".parse().unwrap(),
            replace: false,
            keep: Duration::from_hours(24),
            dry_run: false,
            jobs: 0,
            tables: vec![],
            no_safety_backup: false,
            dependents: Dependents::default(),
        },
        backup: Some(Known {
            backup: Backup {
                id: 12,
                database: "web-1/shop-db/shop".parse().unwrap(),
                engine: Some(Engine::Postgres),
                kind: BackupKind::Full,
                state: BackupState::Stored,
                pinned: false,
                taken_at: moment(),
                stored_at: moment(),
                proven_at: None,
                logical_bytes: 5_000,
                stored_bytes: 7,
                snapshot_id: "ab".repeat(32),
                job: None,
                marked_at: None,
                removed_at: None,
                deletion: None,
            },
            contents: Ok(BackupContents {
                format: 1,
                image: image_of("5000 users"),
                source: DatabaseFacts {
                    exists: true,
                    ..server(150_014)
                },
                selection: Selection::default(),
                checks: vec![],
            }),
        }),
        held: Ok(true),
        target: Ok(server(170_006)),
    }
}

fn lines(change: impl FnOnce(&mut Facts)) -> Vec<PreflightLine> {
    let mut facts = facts();
    change(&mut facts);
    examine(&Inputs {
        job: 7,
        request: &facts.request,
        backup: facts.backup.as_ref(),
        held: facts.backup.as_ref().map(|_| &facts.held),
        target: facts.target.as_ref(),
    })
}

/// The only line that is not passed.
#[track_caller]
fn one(verdict: PreflightVerdict, says: &str, change: impl FnOnce(&mut Facts)) {
    let all = lines(change);
    let found: Vec<_> = all.iter().filter(|line| line.verdict != Passed).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].verdict, verdict, "{found:#?}");
    let said = format!("{}: {}", found[0].question, found[0].detail);
    assert!(said.contains(says), "{said}");
    if verdict == Failed {
        assert!(!found[0].advice.is_empty(), "{said}");
    }
}

#[test]
fn a_stored_backup_and_a_server_that_can_take_it_have_no_complaint() {
    let all = lines(|_| {});
    assert!(all.iter().all(|line| line.verdict == Passed), "{all:#?}");
    let asked: Vec<_> = all.iter().map(|line| line.question.as_str()).collect();
    for question in [
        "backup is stored",
        "repository holds it",
        "target is a primary",
        "target is not older",
        "target has room",
        "target has the extensions",
    ] {
        assert!(asked.contains(&question), "{asked:?}");
    }
}

#[test]
fn what_is_not_there_is_not_restored() {
    let all = lines(|facts| facts.backup = None);
    let failed = all.iter().filter(|line| line.verdict == Failed);
    let failed: Vec<_> = failed.map(|line| line.detail.as_str()).collect();
    assert_eq!(failed, ["there is no backup 12"]);
    one(Failed, "it was removed 2024-10-04", |facts| {
        facts.backup().state = BackupState::Expired;
        facts.backup().removed_at = Some(moment());
    });
    one(Failed, "has no snapshot abab", |facts| {
        facts.held = Ok(false)
    });
    let down = OutOfReach {
        why: "the bucket is gone".to_owned(),
        again: true,
    };
    one(Failed, "could not check: the bucket is gone", |facts| {
        facts.held = Err(down)
    });
}

#[test]
fn a_doubtful_backup_is_tried_with_a_warning() {
    one(Warning, "found something broken", |facts| {
        facts.backup().state = BackupState::Damaged
    });
    one(
        Warning,
        "does not want it any more since 2024-10-04",
        |facts| facts.backup().marked_at = Some(moment()),
    );
}

#[test]
fn what_this_version_cannot_read_or_bring_back_is_refused() {
    one(Failed, "one of a volume", |facts| {
        facts.backup().kind = BackupKind::Volume
    });
    one(Failed, "format 9", |facts| {
        facts.backup.as_mut().unwrap().contents = Err("its record has format 9".to_owned());
    });
}

#[test]
fn a_part_never_takes_the_place_of_the_whole() {
    for kind in [BackupKind::Tables, BackupKind::SchemaOnly] {
        one(Failed, "only a part", |facts| {
            facts.backup().kind = kind;
            facts.request.replace = true;
        });
        let beside = lines(|facts| facts.backup().kind = kind);
        assert!(beside.iter().all(|line| line.verdict == Passed));
    }
}

#[test]
fn a_table_that_the_backup_does_not_hold_is_told_before_anything_is_touched() {
    one(Failed, "the backup has no table gone*", |facts| {
        facts.request.tables = vec!["public.users".to_owned(), "gone*".to_owned()];
    });
    let all = lines(|facts| facts.request.tables = vec!["users".to_owned()]);
    assert!(all.iter().all(|line| line.verdict == Passed), "{all:#?}");
    assert!(
        all.iter().any(|line| line.detail == "public.users"),
        "{all:#?}"
    );
}

#[test]
fn the_target_is_asked_as_for_a_copy() {
    one(Failed, "web-2/shop-db/shop exists", |facts| {
        facts.target().exists = true
    });
    one(Failed, "a standby", |facts| {
        facts.target().in_recovery = true
    });
    one(Failed, "PostgreSQL 15, the target 14", |facts| {
        facts.target().version_num = 140_001
    });
    one(Failed, "only 100 MiB free", |facts| {
        facts.target().disk_free_bytes = Some(100 << 20)
    });
    one(Failed, "not available: postgis", |facts| {
        facts.noted().source.extensions = vec![Extension {
            name: "postgis".to_owned(),
            versions: vec!["3.4".to_owned()],
        }];
    });
    one(Failed, "lacks de_DE.UTF-8", |facts| {
        facts.noted().source.collate = "de_DE.UTF-8".to_owned()
    });
    let kept = lines(|facts| {
        facts.target().exists = true;
        facts.request.replace = true;
    });
    let kept = kept
        .iter()
        .find(|line| line.question == "target name is free");
    assert!(kept.unwrap().detail.contains("shop__before_7"), "{kept:?}");
}

/// A server that cannot be asked does not hide what is wrong with the backup.
#[test]
fn both_sides_are_asked_whatever_the_other_says() {
    let all = lines(|facts| {
        facts.held = Ok(false);
        facts.target = Err(TaskFailure {
            kind: FailureKind::Unavailable,
            message: "web-2 is not connected".to_owned(),
            advice: "look at it".to_owned(),
            retryable: true,
        });
    });
    let failed = all.iter().filter(|line| line.verdict == Failed);
    let failed: Vec<_> = failed.map(|line| line.question.as_str()).collect();
    assert_eq!(failed, ["repository holds it", "target answers"]);
}
