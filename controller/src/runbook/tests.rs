//! What runbooks tell to do, step by step.

mod refusals;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use holdfast_proto::fleet::{ContainerState, Database};

use super::{
    situation::{Begun, JobOfStep},
    *,
};
use crate::{
    catalog::{Backup, BackupKind, BackupState},
    data_store::{Contents, Known, Swapped, VolumeIdentity, advance, observe},
    detect::{Finding, Severity, tests::facts},
    incident::{Incident, Lead},
    job::JobState,
};

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn volume(name: &str) -> VolumeIdentity {
    VolumeIdentity {
        name: name.to_owned(),
        created_at: None,
        driver: "local".to_owned(),
    }
}

fn contents() -> Contents {
    Contents {
        databases: [("shop".to_owned(), 1 << 30)].into(),
        counts: BTreeMap::new(),
    }
}

/// Incident 4: "meaningful_data" before, "manualmode_data" now, an hour ago.
fn service() -> Known {
    let observed = observe(&facts().hosts, &[]).remove(0);
    let mut known = advance(None, &observed, now()).unwrap().known;
    known.instance = "shop-db".to_owned();
    known.accepted.volume = Some(volume("meaningful_data"));
    known.contents = contents();
    let mut store = known.accepted.clone();
    store.volume = Some(volume("manualmode_data"));
    store.container = "shop-db".to_owned();
    store.system_identifier = "8".to_owned();
    known.swapped = Some(Swapped {
        store,
        contents: contents(),
        at: now() - TimeDelta::hours(1),
    });
    known
}

fn situation(old_is_there: bool) -> Situation {
    let mut host = facts().hosts.remove(0);
    let health = host.instances[0].health.as_mut().unwrap();
    health.databases = vec![Database {
        name: "shop".to_owned(),
        owner: "postgres".to_owned(),
        size_bytes: 1 << 20,
        encoding: "UTF8".to_owned(),
        collation: "C".to_owned(),
        allows_connections: true,
        is_template: false,
    }];
    host.containers[0].project = "manualmode".to_owned();
    host.volumes[0].name = if old_is_there {
        "meaningful_data"
    } else {
        "other"
    }
    .to_owned();
    let lead = Lead {
        code: "HF0102".to_owned(),
        kind: "identity-swapped".to_owned(),
        severity: Severity::Critical,
        subject: "web-1/shop-db".to_owned(),
        title: "other data".to_owned(),
        advice: String::new(),
    };
    Situation {
        incident: Incident {
            id: 5,
            about: "service 1".to_owned(),
            lead,
            opened_at: now(),
            opened_by: String::new(),
            assigned_to: String::new(),
            resolved_at: None,
            closed_at: None,
            closed_by: String::new(),
            cause: String::new(),
            handled: false,
        },
        findings: vec![],
        last_ok: BTreeMap::new(),
        service: Some(service()),
        host: Some(host),
        names: vec!["web-1/shop-db".to_owned(), "web-1/before-db".to_owned()],
        history: vec![],
        backups: vec![],
        round: 0,
        begun: BTreeMap::new(),
        now: now(),
    }
}

fn backup(id: u64, instance: &str, hours: i64, job: u64) -> Backup {
    Backup {
        id,
        database: format!("web-1/{instance}/shop").parse().unwrap(),
        engine: None,
        kind: BackupKind::Full,
        state: BackupState::Stored,
        pinned: false,
        taken_at: now() - TimeDelta::hours(hours),
        stored_at: now() - TimeDelta::hours(hours),
        proven_at: None,
        logical_bytes: 1,
        stored_bytes: 1,
        snapshot_id: String::new(),
        job: Some(job),
        marked_at: None,
        removed_at: None,
        deletion: None,
    }
}

fn begun(situation: &mut Situation, step: &str, job: Option<(u64, JobState)>) {
    let job = job.map(|(id, state)| JobOfStep {
        id,
        state,
        reason: "no room".to_owned(),
        replaces: true,
    });
    let begun = Begun {
        by: "operator/ann".to_owned(),
        at: now(),
        left_out: None,
        job,
        attempts: 1,
    };
    situation.begun.insert(step.to_owned(), begun);
}

fn book() -> &'static dyn Runbook {
    answer_to("identity-swapped").expect("a runbook")
}

fn plan(start: &Value, situation: &Situation) -> Vec<Step> {
    steps(book(), start, situation).unwrap()
}

/// What is to be done next: name, command, consent.
fn offered(start: &Value, situation: &Situation) -> (String, String, Consent) {
    let steps = plan(start, situation);
    let step = next(&steps).expect("a step");
    match &step.stage {
        Stage::Ready(offer) => (
            step.name.clone(),
            step.command.clone(),
            offer.consent.clone(),
        ),
        other => panic!("{}: {other:?}", step.name),
    }
}

#[test]
fn the_old_volume_is_put_back_and_the_new_rows_are_merged() {
    let mut now_is = situation(true);
    let start = book().begin(&now_is).unwrap();
    let names: Vec<_> = plan(&start, &now_is)
        .into_iter()
        .map(|step| step.name)
        .collect();
    assert_eq!(
        names,
        [
            "keep-new-rows shop",
            "volume-back",
            "rows-beside shop",
            "merge shop"
        ]
    );
    let (name, command, consent) = offered(&start, &now_is);
    assert_eq!(
        (name.as_str(), command.as_str(), consent),
        (
            "keep-new-rows shop",
            "ctl backup create web-1/shop-db/shop",
            Consent::Automatic
        )
    );
    begun(
        &mut now_is,
        "keep-new-rows shop",
        Some((7, JobState::Running)),
    );
    let steps = plan(&start, &now_is);
    assert!(matches!(
        steps[0].stage,
        Stage::UnderWay { job: Some(7), .. }
    ));
    assert_eq!(steps[1].stage, Stage::Later);

    begun(
        &mut now_is,
        "keep-new-rows shop",
        Some((7, JobState::Succeeded)),
    );
    now_is.backups.push(backup(30, "shop-db", 0, 7));
    let (name, command, consent) = offered(&start, &now_is);
    assert_eq!(
        (name.as_str(), consent),
        ("volume-back", Consent::Confirmed)
    );
    assert!(
        command.contains("docker compose -p manualmode down && docker compose -p meaningful up -d"),
        "{command}"
    );
    begun(&mut now_is, "volume-back", None);
    let steps = plan(&start, &now_is);
    assert!(
        matches!(steps[1].stage, Stage::UnderWay { job: None, .. }),
        "{steps:?}"
    );

    // It came up under its old name.
    let service = now_is.service.as_mut().unwrap();
    service.swapped = None;
    service.instance = "before-db".to_owned();
    now_is.host.as_mut().unwrap().instances[0].name = "before-db".to_owned();
    let (name, command, _) = offered(&start, &now_is);
    assert_eq!(name, "rows-beside shop");
    assert_eq!(
        command,
        "ctl restore 30 --to web-1/before-db/shop__incident_5_0"
    );
    begun(
        &mut now_is,
        "rows-beside shop",
        Some((8, JobState::Succeeded)),
    );
    let (name, command, consent) = offered(&start, &now_is);
    assert_eq!((name.as_str(), consent), ("merge shop", Consent::Confirmed));
    assert!(
        command.ends_with("web-1/before-db/shop --from shop__incident_5_0"),
        "{command}"
    );
    begun(&mut now_is, "merge shop", Some((9, JobState::Succeeded)));
    assert_eq!(next(&plan(&start, &now_is)), None);
}

#[test]
fn without_the_old_volume_the_newest_backup_from_before_comes_back() {
    let mut now_is = situation(false);
    now_is.backups = vec![
        // Of the other data already.
        backup(33, "shop-db", 0, 3),
        // What a runbook of before has kept was not right.
        backup(35, "before-db", 4, 40),
        backup(32, "before-db", 5, 2),
        backup(31, "before-db", 29, 1),
    ];
    now_is.backups[3].proven_at = Some(now());
    now_is.backups[1].kind = BackupKind::BeforeReplace;
    let start = book().begin(&now_is).unwrap();
    begun(
        &mut now_is,
        "keep-new-rows shop",
        Some((3, JobState::Succeeded)),
    );
    let (name, command, consent) = offered(&start, &now_is);
    assert_eq!(
        (name.as_str(), consent),
        ("restore shop", Consent::Typed("shop".to_owned()))
    );
    assert_eq!(command, "ctl restore 32 --to web-1/shop-db/shop --replace");
    // What fails with it is tried with the one that is proven.
    begun(&mut now_is, "restore shop", Some((7, JobState::Failed)));
    let steps = plan(&start, &now_is);
    let step = next(&steps).unwrap();
    assert!(matches!(step.stage, Stage::Failed { .. }), "{step:?}");
    assert_eq!(
        step.command,
        "ctl restore 31 --to web-1/shop-db/shop --replace"
    );
    begun(&mut now_is, "restore shop", Some((8, JobState::Succeeded)));
    let (name, command, _) = offered(&start, &now_is);
    assert_eq!(name, "merge shop");
    assert!(command.ends_with("--from shop__before_8"), "{command}");
    begun(&mut now_is, "merge shop", Some((9, JobState::Succeeded)));
    let (name, _, consent) = offered(&start, &now_is);
    assert_eq!((name.as_str(), consent), ("accept", Consent::Confirmed));
    // On its own data again, there is nothing to accept; on those that it came up on, somebody has.
    let mut returned = now_is.clone();
    returned.service.as_mut().unwrap().swapped = None;
    let steps = plan(&start, &returned);
    assert!(
        matches!(next(&steps).unwrap().stage, Stage::Blocked(_)),
        "{steps:?}"
    );
    let service = now_is.service.as_mut().unwrap();
    service.accepted = service.swapped.take().unwrap().store;
    assert_eq!(next(&plan(&start, &now_is)), None);
}

#[test]
fn what_cannot_be_done_is_said_and_what_failed_can_be_tried_again() {
    let mut now_is = situation(false);
    let start = book().begin(&now_is).unwrap();
    begun(
        &mut now_is,
        "keep-new-rows shop",
        Some((3, JobState::Failed)),
    );
    let steps = plan(&start, &now_is);
    let Stage::Failed { why, again } = &steps[0].stage else {
        panic!("{steps:?}");
    };
    assert_eq!(why, "job 3 failed: no room");
    assert!(matches!(again.act, Act::Job(_)));
    begun(
        &mut now_is,
        "keep-new-rows shop",
        Some((4, JobState::Succeeded)),
    );
    now_is.backups.push(backup(30, "shop-db", 0, 4));
    let steps = plan(&start, &now_is);
    let Some(Stage::Blocked(unfit)) = next(&steps).map(|step| &step.stage) else {
        panic!("{steps:?}");
    };
    assert!(
        unfit.why.contains("no good backup of shop from before"),
        "{}",
        unfit.why
    );
}

#[test]
fn a_volume_of_the_same_name_that_was_made_anew_is_not_the_old_one() {
    let mut now_is = situation(true);
    now_is.backups.push(backup(31, "before-db", 29, 1));
    let swapped = now_is.service.as_mut().unwrap().swapped.as_mut();
    swapped.unwrap().store.volume = Some(volume("meaningful_data"));
    let start = book().begin(&now_is).unwrap();
    let steps = plan(&start, &now_is);
    assert!(
        steps.iter().all(|step| step.name != "volume-back"),
        "{steps:?}"
    );
}

#[test]
fn a_volume_that_is_gone_comes_back_empty_and_is_filled() {
    let book = answer_to("volume-gone").unwrap();
    let mut now_is = situation(false);
    now_is.backups.push(backup(31, "before-db", 29, 1));
    assert!(book.begin(&now_is).is_err(), "it lies on something else");
    now_is.service.as_mut().unwrap().swapped = None;
    let health = now_is.host.as_mut().unwrap().instances[0].health.take();
    let start = book.begin(&now_is).unwrap();
    let offered = |now_is: &Situation| {
        let steps = steps(book, &start, now_is).unwrap();
        let step = next(&steps).expect("a step").clone();
        (step.name.clone(), step)
    };
    let (name, step) = offered(&now_is);
    assert_eq!(name, "start-again");
    assert!(
        step.says.contains("empty volume meaningful_data"),
        "{step:?}"
    );
    begun(&mut now_is, "start-again", None);
    let (_, step) = offered(&now_is);
    assert!(matches!(step.stage, Stage::UnderWay { .. }), "{step:?}");

    // It is up on a new one, and that is found: what brings its data back fits that.
    let mut up = now_is.clone();
    up.service = Some(service());
    up.findings.push(fewer("identity-swapped"));
    assert!(
        next(&steps(book, &start, &up).unwrap()).is_some(),
        "coming up"
    );
    up.host.as_mut().unwrap().instances[0].health = health.clone();
    assert_eq!(next(&steps(book, &start, &up).unwrap()), None);

    // The volume was a name for a folder which was there all the time.
    let host = now_is.host.as_mut().unwrap();
    host.instances[0].health = health;
    host.volumes[0].name = "meaningful_data".to_owned();
    assert_eq!(next(&steps(book, &start, &now_is).unwrap()), None);
}

#[test]
fn into_a_new_volume_comes_what_can_come_and_nothing_is_merged_where_nothing_was() {
    let mut now_is = situation(false);
    now_is.backups.push(backup(31, "before-db", 29, 1));
    let service = now_is.service.as_mut().unwrap();
    let names = ["a", "postgres", "shop__incident_4_0"].map(|name| (name.to_owned(), 1));
    service.contents.databases.extend(names);
    let start = book().begin(&now_is).unwrap();
    let names: Vec<_> = plan(&start, &now_is)
        .into_iter()
        .map(|step| step.name)
        .collect();
    assert_eq!(
        names,
        [
            "keep-new-rows shop",
            "restore shop",
            // There is no backup of these.
            "restore a",
            "rows-beside postgres",
            "merge shop",
            "accept"
        ]
    );
    begun(
        &mut now_is,
        "keep-new-rows shop",
        Some((7, JobState::Succeeded)),
    );
    begun(&mut now_is, "restore shop", Some((8, JobState::Succeeded)));
    let job = now_is.begun.get_mut("restore shop").unwrap().job.as_mut();
    job.unwrap().replaces = false;
    let steps = book().plan(&start, &now_is).unwrap();
    let merge = steps.iter().find(|step| step.name == "merge shop").unwrap();
    assert!(matches!(merge.stage, Stage::Needless(_)), "{merge:?}");
    // What is done stays so when the backup has gone its way.
    now_is.backups.clear();
    let steps = book().plan(&start, &now_is).unwrap();
    assert!(matches!(steps[0].stage, Stage::Done(_)), "{steps:?}");
    assert!(matches!(steps[1].stage, Stage::Done(_)), "{steps:?}");
}

fn fewer(kind: &str) -> Finding {
    Finding {
        id: 1,
        code: "HF0301".to_owned(),
        kind: kind.to_owned(),
        key: "web-1/shop-db/shop users".to_owned(),
        severity: Severity::Critical,
        subject: "web-1/shop-db/shop".to_owned(),
        message: "14 → 1".to_owned(),
        evidence: vec![],
        advice: String::new(),
        opened_at: now() - TimeDelta::hours(1),
        closed_at: None,
        incident: Some(5),
    }
}

#[test]
fn rows_that_are_gone_come_back_from_before_they_went() {
    let book = answer_to("check-suspicious").unwrap();
    let mut now_is = situation(true);
    now_is.service.as_mut().unwrap().swapped = None;
    let unfit = book.begin(&now_is).unwrap_err();
    assert!(unfit.why.contains("lacks anything"), "{}", unfit.why);
    now_is.findings.push(fewer("check-suspicious"));
    // After the check was well for the last time, the rows may have gone already.
    now_is.backups = vec![backup(33, "shop-db", 2, 3), backup(32, "shop-db", 5, 2)];
    let key = now_is.findings[0].key.clone();
    now_is.last_ok.insert(key, now() - TimeDelta::hours(3));
    let start = book.begin(&now_is).unwrap();
    let names = |now_is: &Situation| {
        let steps = steps(book, &start, now_is).unwrap();
        let names = steps.iter().map(|step| step.name.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        names(&now_is),
        [
            "keep-new-rows shop",
            "rows-beside shop",
            "merge shop",
            "over"
        ]
    );
    let next_of = |now_is: &Situation| next(&steps(book, &start, now_is).unwrap()).cloned();
    begun(
        &mut now_is,
        "keep-new-rows shop",
        Some((7, JobState::Succeeded)),
    );
    now_is.backups.insert(0, backup(34, "shop-db", 0, 7));
    let step = next_of(&now_is).unwrap();
    assert_eq!(
        step.command,
        "ctl restore 32 --to web-1/shop-db/shop__incident_5_0"
    );
    begun(
        &mut now_is,
        "rows-beside shop",
        Some((8, JobState::Succeeded)),
    );
    begun(&mut now_is, "merge shop", Some((9, JobState::Succeeded)));
    let step = next_of(&now_is).unwrap();
    assert!(
        matches!(&step.stage, Stage::UnderWay { waits_for, .. } if waits_for.contains("14 → 1")),
        "{step:?}"
    );
    now_is.findings[0].closed_at = Some(now());
    assert_eq!(next_of(&now_is), None);

    // All of it: nothing to keep, nothing to merge into.
    let mut gone = situation(true);
    gone.service.as_mut().unwrap().swapped = None;
    gone.findings.push(fewer("database-gone"));
    let health = gone.host.as_mut().unwrap().instances[0].health.as_mut();
    health.unwrap().databases.clear();
    let start = book.begin(&gone).unwrap();
    let steps = steps(book, &start, &gone).unwrap();
    assert_eq!(steps[0].name, "restore shop");
    assert!(
        matches!(steps[0].stage, Stage::Blocked(_)),
        "there is no backup: {steps:?}"
    );
}

#[test]
fn what_is_left_out_is_over() {
    let mut now_is = situation(false);
    let start = book().begin(&now_is).unwrap();
    begun(&mut now_is, "keep-new-rows shop", None);
    let keep = now_is.begun.get_mut("keep-new-rows shop").unwrap();
    keep.left_out = Some("the application was stopped".to_owned());
    let steps = plan(&start, &now_is);
    let left_out = "left out: the application was stopped".to_owned();
    assert_eq!(steps[0].stage, Stage::Needless(left_out));
    assert!(matches!(steps[1].stage, Stage::Blocked(_)), "{steps:?}");
}

#[test]
fn what_is_right_or_cannot_be_seen_is_not_begun() {
    let mut right = situation(true);
    right.service.as_mut().unwrap().swapped = None;
    assert!(book().begin(&right).is_err());
    let mut unseen = situation(true);
    unseen.host.as_mut().unwrap().connected = false;
    let unfit = book().begin(&unseen).unwrap_err();
    assert!(unfit.why.contains("nobody can see"), "{}", unfit.why);

    // It runs, and what is in it would be forgotten.
    let mut fresh = situation(true);
    fresh.host.as_mut().unwrap().instances[0].health = None;
    let unfit = book().begin(&fresh).unwrap_err();
    assert!(unfit.why.contains("does not answer"), "{}", unfit.why);
    fresh.host.as_mut().unwrap().containers[0].state = ContainerState::Exited;
    assert!(book().begin(&fresh).is_ok(), "what was seen last is known");
}

#[test]
fn every_runbook_has_a_name_of_its_own_and_an_answer() {
    for runbook in RUNBOOKS {
        assert!(named(runbook.name()).is_some_and(|found| found.says() == runbook.says()));
        for kind in runbook.kinds() {
            let known = crate::detect::kinds();
            assert!(known.iter().any(|found| found.name == *kind), "{kind}");
            assert!(answer_to(kind).is_some());
        }
    }
    assert!(answer_to("disk-filling").is_none());
}
