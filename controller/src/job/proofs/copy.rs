//! Samples of the copy job, and its verbs on scripted agents.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_proto::{
    check::CheckOutcome,
    image::{DataPath, Hash128, Manifest, ProofLevel, Relation, RelationKind},
    link::StartTask,
    names::HostName,
    task::{
        DatabaseFacts, DatabaseTarget, DropRoles, DroppedDatabase, DroppedRoles, FailureKind,
        PublishedDatabase, ReceivedImage, Role, RoleLeft, Selection, SentImage, StagedDatabase,
        TaskFailure, TaskResult, TaskSpec, UnpublishedDatabase,
    },
};

use super::{
    agents::{Databases, failure},
    harness::Sample,
};
use crate::job::{CopyDatabase, JobId, JobSpec};

const SOURCE: &str = "web-1/shop-db/shop";
const TARGET: &str = "web-2/shop-db/shop_test";
const ROWS: &str = "5000 users";
/// Missing on the target.
pub const ROLE: &str = "web-2/shop-db role shop";
pub const ORDINARY: &str = "an ordinary role";

pub fn samples() -> Vec<Sample> {
    let source = (SOURCE.to_owned(), ROWS.to_owned());
    let old = (TARGET.to_owned(), "what stood there".to_owned());
    let copied = (TARGET.to_owned(), ROWS.to_owned());
    let role = (ROLE.to_owned(), ORDINARY.to_owned());
    vec![
        Sample {
            name: "copy to a free name",
            spec: spec(|_| {}),
            before: Databases::from([source.clone()]),
            after: |_| {
                Databases::from([
                    (SOURCE.into(), ROWS.into()),
                    (TARGET.into(), ROWS.into()),
                    (ROLE.into(), ORDINARY.into()),
                ])
            },
            swept: Databases::from([source.clone(), copied.clone(), role.clone()]),
            undone: |job| {
                Databases::from([
                    (SOURCE.into(), ROWS.into()),
                    (beside("undone", job), ROWS.into()),
                    (ROLE.into(), ORDINARY.into()),
                ])
            },
            forgotten: Databases::from([source.clone(), role.clone()]),
        },
        Sample {
            name: "copy in the place of another",
            spec: spec(|copy| copy.replace = true),
            before: Databases::from([source.clone(), old.clone()]),
            after: |job| {
                Databases::from([
                    (SOURCE.into(), ROWS.into()),
                    (TARGET.into(), ROWS.into()),
                    (beside("before", job), "what stood there".into()),
                    (ROLE.into(), ORDINARY.into()),
                ])
            },
            swept: Databases::from([source.clone(), copied, role.clone()]),
            undone: |job| {
                Databases::from([
                    (SOURCE.into(), ROWS.into()),
                    (TARGET.into(), "what stood there".into()),
                    (beside("undone", job), ROWS.into()),
                    (ROLE.into(), ORDINARY.into()),
                ])
            },
            forgotten: Databases::from([source.clone(), old, role]),
        },
        Sample {
            name: "dry run",
            spec: spec(|copy| copy.dry_run = true),
            before: Databases::from([source.clone()]),
            after: |_| Databases::from([(SOURCE.into(), ROWS.into())]),
            swept: Databases::from([source.clone()]),
            undone: |_| unreachable!("it changes nothing"),
            forgotten: Databases::from([source]),
        },
    ]
}

pub fn spec(change: fn(&mut CopyDatabase)) -> JobSpec {
    let mut copy = CopyDatabase {
        source: SOURCE.parse().unwrap(),
        target: TARGET.parse().unwrap(),
        replace: false,
        keep: Duration::from_hours(24),
        proof: ProofLevel::Full,
        dry_run: false,
        selection: Selection::default(),
        jobs: 0,
        bandwidth: 0,
    };
    change(&mut copy);
    JobSpec::CopyDatabase(copy)
}

fn beside(mark: &str, job: JobId) -> String {
    format!("{TARGET}__{mark}_{job}")
}

/// What agents do, on names instead of bytes.
pub fn verbs(
    databases: &mut Databases,
    host: &HostName,
    task: &StartTask,
) -> Result<TaskResult, TaskFailure> {
    let full = |target: &DatabaseTarget| format!("{host}/{}/{}", target.instance, target.database);
    let named = |instance: &str, name: &str| format!("{host}/{instance}/{name}");
    match &task.spec {
        TaskSpec::DescribeDatabase(describe) => Ok(TaskResult::DatabaseFacts(facts(
            host,
            databases.contains_key(&full(&describe.target)),
        ))),
        TaskSpec::StageDatabase(stage) => {
            let names = stage.roles.iter().map(|role| role.name.clone());
            let mark = mark(stage.job);
            let created = names.filter(|name| {
                let role = role(host, &stage.staging.instance, name);
                databases.entry(role).or_insert_with(|| mark.clone()) == &mark
            });
            let created_roles = created.collect();
            databases.insert(full(&stage.staging), String::new());
            Ok(TaskResult::StagedDatabase(StagedDatabase { created_roles }))
        }
        TaskSpec::SendImage(send) => match databases.get(&full(&send.source)) {
            Some(content) => Ok(TaskResult::SentImage(SentImage {
                manifest: manifest(content),
                path: DataPath::Direct,
                resent_parts: 0,
            })),
            None => Err(failure(FailureKind::Invalid, false, "no source")),
        },
        TaskSpec::ReceiveImage(receive) => {
            let staging = databases.get_mut(&full(&receive.staging));
            let Some(staging) = staging else {
                return Err(failure(FailureKind::Invalid, false, "no staging database"));
            };
            ROWS.clone_into(staging);
            let manifest = manifest(ROWS);
            Ok(TaskResult::ReceivedImage(ReceivedImage {
                relations: manifest.relations,
                sequences: vec![],
                indexes: 0,
                constraints: 0,
                schema_hash: manifest.schema_hash,
                notices: vec![],
            }))
        }
        TaskSpec::RunCheck(check) => Ok(TaskResult::CheckOutcome(CheckOutcome {
            at: DateTime::<Utc>::UNIX_EPOCH,
            count: databases.get(&full(&check.target)).map(|_| 5000),
            newest: None,
            error: String::new(),
        })),
        TaskSpec::PublishDatabase(publish) => {
            let staging = named(&publish.instance, &publish.staging);
            let name = named(&publish.instance, &publish.name);
            let Some(copy) = databases.remove(&staging) else {
                // Done before, by an attempt whose outcome was lost.
                return Ok(published(&publish.keep_as));
            };
            if let Some(old) = databases.remove(&name) {
                if publish.keep_as.is_empty() {
                    databases.insert(name, old);
                    databases.insert(staging, copy);
                    return Err(failure(FailureKind::Conflict, false, "the name is taken"));
                }
                databases.insert(named(&publish.instance, &publish.keep_as), old);
            }
            databases.insert(name, copy);
            change(databases, &mark(publish.job), ORDINARY);
            Ok(published(&publish.keep_as))
        }
        TaskSpec::UnpublishDatabase(back) => {
            let name = named(&back.instance, &back.name);
            let published = !databases.contains_key(&named(&back.instance, &back.staging))
                && !databases.contains_key(&named(&back.instance, &back.set_aside_as));
            if published && let Some(copy) = databases.remove(&name) {
                databases.insert(named(&back.instance, &back.set_aside_as), copy);
                let kept = databases.remove(&named(&back.instance, &back.kept_as));
                databases.extend(kept.map(|old| (name, old)));
                if back.job != 0 {
                    change(databases, ORDINARY, &mark(back.job));
                }
            }
            Ok(TaskResult::UnpublishedDatabase(UnpublishedDatabase {
                restored: published,
                ended_sessions: 0,
            }))
        }
        TaskSpec::DropDatabase(drop) => Ok(TaskResult::DroppedDatabase(DroppedDatabase {
            existed: databases.remove(&full(&drop.target)).is_some(),
        })),
        TaskSpec::DropRoles(drop) => {
            Ok(TaskResult::DroppedRoles(drop_roles(databases, host, drop)))
        }
        TaskSpec::MeasureVolume(_)
        | TaskSpec::ProbeInstance(_)
        | TaskSpec::BackUpDatabase(_)
        | TaskSpec::RestoreImage(_)
        | TaskSpec::StartSandbox(_)
        | TaskSpec::RemoveSandbox(_)
        | TaskSpec::ExamineDatabase(_)
        | TaskSpec::MergeRows(_)
        | TaskSpec::UnmergeRows(_)
        | TaskSpec::DescribeVolume(_)
        | TaskSpec::HoldContainers(_)
        | TaskSpec::ReleaseContainers(_)
        | TaskSpec::BackUpVolume(_)
        | TaskSpec::RestoreVolume(_)
        | TaskSpec::SwapVolume(_)
        | TaskSpec::RemoveVolume(_)
        | TaskSpec::TriageData(_)
        | TaskSpec::AskGuard(_) => Err(failure(FailureKind::Invalid, false, "no verb of a copy")),
    }
}

/// One that a database of the instance is owned by stays.
fn drop_roles(databases: &mut Databases, host: &HostName, drop: &DropRoles) -> DroppedRoles {
    let mut dropped = DroppedRoles::default();
    for name in &drop.roles {
        let role = role(host, &drop.instance, name);
        let owned = format!("owned by {name}");
        match databases.get(&role) {
            Some(found) if *found != mark(drop.job) => continue,
            Some(_) if databases.values().any(|content| *content == owned) => {
                dropped.left.push(RoleLeft {
                    role: name.clone(),
                    reason: "owner of database other".to_owned(),
                });
                continue;
            }
            _ => {}
        }
        databases.remove(&role);
        dropped.gone.push(name.clone());
    }
    dropped
}

fn role(host: &HostName, instance: &str, name: &str) -> String {
    format!("{host}/{instance} role {name}")
}

fn mark(job: JobId) -> String {
    format!("a role of job {job}")
}

/// Every role that is the one becomes the other.
fn change(databases: &mut Databases, from: &str, to: &str) {
    for content in databases.values_mut().filter(|content| *content == from) {
        to.clone_into(content);
    }
}

fn published(kept_as: &str) -> TaskResult {
    TaskResult::PublishedDatabase(PublishedDatabase {
        kept_as: kept_as.to_owned(),
        ended_sessions: 0,
    })
}

pub fn facts(host: &HostName, exists: bool) -> DatabaseFacts {
    DatabaseFacts {
        system_identifier: format!("71{host}"),
        server_version: "17.6".to_owned(),
        version_num: 170_006,
        is_superuser: true,
        exists,
        owner: "shop".to_owned(),
        encoding: "UTF8".to_owned(),
        collate: "C".to_owned(),
        ctype: "C".to_owned(),
        locale_provider: "libc".to_owned(),
        locales: vec!["C".to_owned()],
        size_bytes: 1 << 20,
        disk_free_bytes: Some(1 << 40),
        tools: "pg_dump 17.6".to_owned(),
        cpus: 2,
        roles: if host.as_str() == "web-1" {
            vec![Role {
                name: "shop".to_owned(),
                ..Role::default()
            }]
        } else {
            Vec::new()
        },
        ..DatabaseFacts::default()
    }
}

pub fn manifest(content: &str) -> Manifest {
    let rows = content.len() as u64;
    Manifest {
        format: 1,
        taken_at: DateTime::<Utc>::UNIX_EPOCH,
        lsn: "0/1".to_owned(),
        system_identifier: "71".to_owned(),
        server_version: "17.6".to_owned(),
        database: "shop".to_owned(),
        relations: vec![Relation {
            schema: "public".to_owned(),
            name: "users".to_owned(),
            kind: RelationKind::Table,
            rows,
            fingerprint: Hash128(content.bytes().map(u128::from).sum()),
            bytes: rows,
            parts: vec![],
            server_rows: rows,
        }],
        sequences: vec![],
        schema_hash: Hash128(1),
        schema_bytes: 1,
    }
}
