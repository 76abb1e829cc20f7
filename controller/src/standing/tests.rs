//! How volumes stand: covered or not, held up or not, kept or not, and who sees to them.

use holdfast_proto::{
    fleet::{Container, ContainerHealth, ContainerState, Engine, Mount, MountKind, Volume},
    names::VolumeName,
};

use super::*;
use crate::{
    catalog::BackupState,
    policy::file::read,
    schedule::{Verdict, Waits},
};

const STOPPING: &str = "policies: [{name: files, select: {volume: 'shop_*'}, backup: {schedule: daily, stop: true}, rpo: 10h}]";
const NOT_STOPPING: &str = "policies: [{name: files, select: {volume: [shop_uploads, pgdata]}, backup: daily, retention: {last: 1}}]";

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn subject(name: &str, holds: &[&str]) -> Subject {
    let volume = name.parse::<VolumeName>().map(DatabaseName::from);
    let is_volume = volume.is_ok();
    Subject {
        database: volume.unwrap_or_else(|_| name.parse().unwrap()),
        engine: (!is_volume).then_some(Engine::Postgres),
        project: String::new(),
        labels: BTreeMap::new(),
        holds: holds.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn backup(id: u64, name: &str, hours: i64) -> Backup {
    let taken_at = now() - TimeDelta::hours(hours);
    Backup {
        id,
        database: subject(name, &[]).database,
        engine: None,
        kind: BackupKind::Volume,
        state: BackupState::Stored,
        pinned: false,
        taken_at,
        stored_at: taken_at,
        proven_at: None,
        logical_bytes: 1,
        stored_bytes: 1,
        snapshot_id: id.to_string(),
        job: None,
        marked_at: None,
        removed_at: None,
        deletion: None,
    }
}

/// Known for a month, the policies for an hour.
fn gathered(file: &str, subjects: Vec<Subject>) -> Gathered {
    let known = subjects.into_iter().map(|subject| Known {
        subject,
        since: now() - TimeDelta::days(30),
    });
    Gathered {
        applied: Applied {
            version: 1,
            at: Some(now() - TimeDelta::hours(1)),
            set: read(file).unwrap(),
        },
        known: known.collect(),
        backups: vec![],
        runs: vec![],
        recoveries: vec![],
        readers: vec![],
        host_drills: vec![],
    }
}

fn volume(name: &str) -> Volume {
    Volume {
        device: String::new(),
        name: name.to_owned(),
        driver: "local".to_owned(),
        labels: BTreeMap::new(),
        created_at: None,
        mountpoint: String::new(),
        anonymous: false,
        used_by: vec![],
    }
}

/// With a container that has both volumes.
fn host(state: ContainerState, read_only: bool) -> HostFacts {
    let mount = |source: &str| Mount {
        host_path: String::new(),
        kind: MountKind::Volume,
        source: source.to_owned(),
        destination: "/x".to_owned(),
        read_only,
    };
    HostFacts {
        name: "web-1".parse().unwrap(),
        connected: true,
        enrolled_at: None,
        last_seen_at: None,
        clock_ahead: chrono::TimeDelta::zero(),
        engine_error: String::new(),
        containers: vec![Container {
            config_hash: String::new(),
            working_directory: String::new(),
            restart_count: 0,
            id: "1".to_owned(),
            name: "shop-web".to_owned(),
            image: String::new(),
            image_digest: String::new(),
            state,
            health: ContainerHealth::None,
            project: String::new(),
            service: String::new(),
            ports: vec![],
            mounts: vec![mount("shop_uploads"), mount("pgdata")],
            created_at: None,
            started_at: None,
            exit_code: 0,
            labels: BTreeMap::new(),
        }],
        volumes: vec![volume("shop_uploads"), volume("pgdata")],
        instances: vec![],
    }
}

fn backup_of(standing: &Standing, name: &str) -> Verdict {
    let name = subject(name, &[]).database;
    let work = &standing.database(&name).unwrap().work;
    let backup = work.iter().find(|decision| decision.work == Work::Backup);
    backup.unwrap().verdict.clone()
}

#[test]
fn a_covered_volume_is_due_from_when_its_policy_was_applied_and_an_uncovered_one_never() {
    let all = vec![
        subject("web-1/mail", &[]),
        subject("web-1/shop_uploads", &[]),
    ];
    let gathered = gathered(STOPPING, all);
    let hosts = [host(ContainerState::Running, false)];
    let standing = stand(&gathered, &hosts, now());
    let mail = &standing.databases[0];
    assert_eq!((mail.policy.as_str(), mail.work.len()), ("", 0));
    assert_eq!(mail.unprotected(), None);
    let uploads = &standing.databases[1];
    assert_eq!(uploads.policy, "files");
    assert_eq!(uploads.since, now() - TimeDelta::hours(1));
    let first = backup_of(&standing, "web-1/shop_uploads");
    assert!(
        matches!(first, Verdict::Start { why: Waits::First, slot } if slot > uploads.since),
        "{first:?}"
    );
    assert_eq!(
        uploads.backup_command(),
        "ctl backup create --volume web-1/shop_uploads --stop"
    );
}

#[test]
fn who_writes_holds_a_backup_up_unless_he_may_be_stopped() {
    let held = |file: &str, name: &str, holds: &[&str], host: HostFacts| {
        let gathered = gathered(file, vec![subject(name, holds)]);
        match backup_of(&stand(&gathered, &[host], now()), name) {
            Verdict::Held { by, .. } => by,
            Verdict::Start { .. } => String::new(),
            other => panic!("{other:?}"),
        }
    };
    let (running, exited) = (ContainerState::Running, ContainerState::Exited);
    let uploads = "web-1/shop_uploads";
    let says = "shop-web runs with it, and policy files does not say stop: true";
    assert_eq!(held(STOPPING, uploads, &[], host(running, false)), "");
    assert_eq!(held(NOT_STOPPING, uploads, &[], host(running, false)), says);
    assert_eq!(held(NOT_STOPPING, uploads, &[], host(running, true)), "");
    assert_eq!(held(NOT_STOPPING, uploads, &[], host(exited, false)), "");
    // A server in it need not even write.
    assert_eq!(
        held(NOT_STOPPING, "web-1/pgdata", &["db"], host(running, true)),
        says
    );
    let mut gone = host(running, false);
    gone.volumes.clear();
    assert_eq!(
        held(STOPPING, uploads, &[], gone),
        "web-1/shop_uploads is not reported"
    );
    let mut away = host(running, false);
    away.connected = false;
    assert_eq!(held(STOPPING, uploads, &[], away), "web-1 is not connected");
}

#[test]
fn the_rules_of_its_policy_hold_for_the_backups_of_a_volume_and_without_one_all_stay() {
    let both = vec![
        subject("web-1/mail", &[]),
        subject("web-1/shop_uploads", &[]),
    ];
    let mut gathered = gathered(NOT_STOPPING, both);
    gathered.backups = vec![
        backup(4, "web-1/shop_uploads", 1),
        backup(3, "web-1/shop_uploads", 50),
        backup(2, "web-1/mail", 1),
        backup(1, "web-1/mail", 50),
    ];
    let kept: BTreeMap<_, _> = retain(&gathered, now())
        .into_iter()
        .map(|(backup, decision, policy)| (backup.id, (decision.keep, policy)))
        .collect();
    let said = |id: u64| (kept[&id].0, kept[&id].1.as_str());
    assert_eq!((said(4), said(3)), ((true, "files"), (false, "files")));
    assert_eq!((said(2), said(1)), ((true, ""), (true, "")));
}

#[test]
fn findings_and_objectives_of_a_covered_volume_are_those_of_a_database() {
    let mut gathered = gathered(STOPPING, vec![subject("web-1/shop_uploads", &[])]);
    gathered.applied.at = Some(now() - TimeDelta::days(9));
    let hosts = [host(ContainerState::Running, false)];
    let seen = |gathered: &Gathered| {
        let protection = stand(gathered, &hosts, now()).databases;
        let facts = crate::detect::Facts {
            protection,
            ..Default::default()
        };
        let all = crate::detect::look(&crate::detect::Facts::default(), &facts, now());
        let all = all.into_iter().map(|seen| (seen.kind.name, seen.advice));
        all.collect::<BTreeMap<_, _>>()
    };
    let none = seen(&gathered);
    assert_eq!(
        none["rpo-broken"],
        "make one now: ctl backup create --volume web-1/shop_uploads --stop"
    );
    for kind in ["no-fresh-backup", "schedule-late"] {
        assert!(none.contains_key(kind), "{kind} in {none:?}");
    }
    gathered.backups = vec![backup(1, "web-1/shop_uploads", 15)];
    let old = seen(&gathered);
    assert_eq!(old.keys().collect::<Vec<_>>(), [&"rpo-broken"]);
    gathered.backups[0].state = BackupState::Damaged;
    assert!(seen(&gathered).contains_key("damaged-backup"));
    gathered.backups = vec![backup(1, "web-1/shop_uploads", 2)];
    let standing = stand(&gathered, &hosts, now());
    let objectives = standing.databases[0].objectives(now());
    assert_eq!(objectives[0].verdict, crate::objective::Verdict::Holds);
    assert!(seen(&gathered).is_empty());
}

#[test]
fn every_volume_is_told_who_sees_to_it() {
    let file = "policies: [{name: files, select: {volume: 'shop_*'}}, \
        {name: none, select: {volume: tmp}, protect: false, reason: made anew}]";
    let all = vec![
        subject("web-1/db/shop", &[]),
        subject("web-1/shop_uploads", &[]),
        subject("web-1/tmp", &[]),
        subject("web-1/shop_pgdata", &["db"]),
        subject("web-1/other_pgdata", &["gone-db"]),
        subject("web-1/mail", &[]),
    ];
    let standing = stand(&gathered(file, all), &[], now());
    let care = |name: &str, anonymous| {
        let name = VolumeName {
            host: "web-1".parse().unwrap(),
            volume: name.to_owned(),
        };
        let volume = Volume {
            anonymous,
            ..volume(&name.volume)
        };
        standing.care(&name, &volume)
    };
    assert_eq!(care("shop_uploads", false), Care::Policy);
    assert_eq!(care("tmp", false), Care::NotProtected);
    // A pattern does not stop servers: what is in them is their databases'.
    assert_eq!(care("shop_pgdata", false), Care::Databases);
    assert_eq!(care("other_pgdata", false), Care::Nobody);
    assert_eq!(care("mail", false), Care::Nobody);
    assert_eq!(care("found-just-now", false), Care::Nobody);
    assert_eq!(care("0123", true), Care::NotAsked);
    assert_eq!(care("holdfast-drill-4", false), Care::NotAsked);
    assert_eq!(care("mail__swap_4", false), Care::NotAsked);
}
