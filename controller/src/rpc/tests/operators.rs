//! What operators read, change, and are told when it does not work.

use holdfast_chassis::identity::Role;
use holdfast_proto::wire::{
    self, operator_client::OperatorClient, session_request::Message as Said,
    session_response::Message as Heard, task_result, task_spec,
};
use tonic::{Code, Status, transport::Channel};

use super::house::{Agent, House, eventually};
use crate::{audit::Outcome, rpc::status::ADVICE};

fn advice(status: &Status) -> &str {
    let value = status.metadata().get(ADVICE).expect("no advice");
    value.to_str().unwrap()
}

fn database(name: &str) -> wire::Database {
    wire::Database {
        name: name.to_owned(),
        owner: "postgres".to_owned(),
        allows_connections: true,
        ..wire::Database::default()
    }
}

/// An agent that reports one instance with one database.
async fn reporting(house: &House, host: &str) -> Agent {
    let mut agent = house.agent(host).await;
    let instance = wire::Instance {
        name: "shop-db".to_owned(),
        engine: wire::Engine::Postgres.into(),
        container: "shop-db".to_owned(),
        reached_by: "socket /run/postgresql".to_owned(),
        health: Some(wire::InstanceHealth {
            version: "17.2".to_owned(),
            databases: vec![database("shop")],
            archiver: Some(wire::Archiver::default()),
            ..wire::InstanceHealth::default()
        }),
        ..wire::Instance::default()
    };
    let snapshot = wire::HostSnapshot {
        instances: vec![instance],
        ..wire::HostSnapshot::default()
    };
    agent.says(Said::Snapshot(snapshot)).await;
    is_heard(&mut agent).await;
    agent
}

/// Everything that the agent said so far is taken in: messages are, one by one.
async fn is_heard(agent: &mut Agent) {
    let beat = wire::Heartbeat {
        at: Some(prost_types::Timestamp::default()),
        ..wire::Heartbeat::default()
    };
    agent.says(Said::Heartbeat(beat)).await;
    assert!(matches!(agent.hears().await, Heard::Heartbeat(_)));
}

async fn alice(house: &House) -> OperatorClient<Channel> {
    house.operator("alice", Role::Operator).await
}

fn name(text: &str) -> Option<wire::DatabaseName> {
    let name: holdfast_proto::names::DatabaseName = text.parse().unwrap();
    Some(name.into())
}

#[tokio::test]
async fn status_shows_the_fleet() {
    let house = House::open().await;
    let _agent = reporting(&house, "web-1").await;
    house.host("web-2").await;
    let mut alice = alice(&house).await;
    let status = alice.get_status(wire::GetStatusRequest {}).await.unwrap();
    let status = status.into_inner();
    let hosts: Vec<_> = status
        .hosts
        .iter()
        .map(|h| {
            (
                h.name.as_str(),
                h.connected,
                h.certificate_expires_at.is_some(),
            )
        })
        .collect();
    assert_eq!(hosts, [("web-1", true, true), ("web-2", false, true)]);
    assert_eq!(status.hosts[1].last_seen_at, None);
    assert_eq!(status.instances[0].host, "web-1");
    assert!(status.instances[0].reported_at.is_some());
    assert_eq!(status.databases, 1);
}

#[tokio::test]
async fn a_mistyped_host_is_told_with_the_nearest() {
    let house = House::open().await;
    house.host("web-1").await;
    let mut alice = alice(&house).await;
    let host = "wbe-1".to_owned();
    let request = wire::ListContainersRequest { host };
    let status = alice.list_containers(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(advice(&status).starts_with("did you mean web-1?"));
    let host = "Web 1".to_owned();
    let status = alice.list_volumes(wire::ListVolumesRequest { host }).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_added_instance_is_told_to_the_agent_and_probed() {
    let house = House::open().await;
    let mut agent = reporting(&house, "web-1").await;
    let mut alice = alice(&house).await;
    let request = wire::AddInstanceRequest {
        host: "web-1".to_owned(),
        name: "rds".to_owned(),
        engine: wire::Engine::Postgres.into(),
        address: "db.example.com".to_owned(),
        user: "holdfast".to_owned(),
        ..wire::AddInstanceRequest::default()
    };
    let mut asking = alice.clone();
    let again = request.clone();
    let adding = tokio::spawn(async move { asking.add_instance(again).await });
    let Heard::Registered(registered) = agent.hears().await else {
        panic!("not told of the instance");
    };
    let told = &registered.instances[0];
    assert_eq!(
        (
            told.name.as_str(),
            told.port,
            told.database.as_str(),
            told.tls_mode.as_str()
        ),
        ("rds", 5432, "postgres", "prefer")
    );
    let task = agent.is_told_to_start().await;
    assert!(matches!(
        task.spec.as_ref().unwrap().verb,
        Some(task_spec::Verb::ProbeInstance(_))
    ));
    let probed = wire::ProbedInstance {
        up: false,
        reached_by: String::new(),
        down_reason: "password authentication failed".to_owned(),
    };
    agent
        .ends(&task, task_result::Result::ProbedInstance(probed))
        .await;
    let added = adding.await.unwrap().unwrap().into_inner();
    assert_eq!(added.down_reason, "password authentication failed");
    assert!(
        added
            .password_hint
            .contains("holdfast-agent credential set rds")
    );
    assert!(matches!(agent.hears().await, Heard::ForgetTask(_)));
    let line = house.audited(|line| line.action == "instance.add").await;
    assert_eq!(
        (
            line.actor.as_str(),
            line.subject.as_str(),
            line.detail.as_str()
        ),
        (
            "operator/alice",
            "web-1/rds",
            "holdfast@db.example.com:5432"
        )
    );

    let clash = wire::AddInstanceRequest {
        name: "shop-db".to_owned(),
        ..request
    };
    let status = alice.add_instance(clash).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    let refused = house.refused("found by its agent").await;
    assert_eq!(refused.subject, "web-1/shop-db");

    let remove = |name: &str| wire::RemoveInstanceRequest {
        host: "web-1".to_owned(),
        name: name.to_owned(),
    };
    let status = alice.remove_instance(remove("shop-db")).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let status = alice.remove_instance(remove("shop-dbb")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    alice.remove_instance(remove("rds")).await.unwrap();
    let Heard::Registered(registered) = agent.hears().await else {
        panic!("not told of the removal");
    };
    assert!(registered.instances.is_empty());
}

#[tokio::test]
async fn an_instance_on_a_host_that_is_away_is_registered_all_the_same() {
    let house = House::open().await;
    let channel = house.host("web-1").await;
    let mut alice = alice(&house).await;
    let request = wire::AddInstanceRequest {
        host: "web-1".to_owned(),
        name: "rds".to_owned(),
        engine: wire::Engine::Postgres.into(),
        address: "db.example.com".to_owned(),
        ..wire::AddInstanceRequest::default()
    };
    let added = alice.add_instance(request).await.unwrap().into_inner();
    assert_eq!(
        added.down_reason,
        "host web-1 is not connected; it has never been connected"
    );
    let mut agent = Agent::dial(channel, "web-1").await.unwrap();
    let (_, registered) = agent.greeted().await;
    assert_eq!(registered.instances[0].name, "rds");
}

#[tokio::test]
async fn a_volume_is_measured_by_its_agent() {
    let house = House::open().await;
    let mut agent = house.agent("web-1").await;
    let volume = wire::Volume {
        name: "data".to_owned(),
        ..wire::Volume::default()
    };
    agent
        .says(Said::Snapshot(wire::HostSnapshot {
            volumes: vec![volume],
            ..wire::HostSnapshot::default()
        }))
        .await;
    let host = "web-1".parse().unwrap();
    let fleet = &house.services.fleet;
    eventually("the volume is known", async || {
        fleet.host(&host).unwrap().volume("data").is_ok()
    })
    .await;
    let mut alice = alice(&house).await;
    let request = |volume: &str| wire::MeasureVolumeRequest {
        host: "web-1".to_owned(),
        volume: volume.to_owned(),
    };
    let status = alice.measure_volume(request("dta")).await.unwrap_err();
    assert!(advice(&status).starts_with("did you mean web-1/data?"));
    let mut asking = alice.clone();
    let asked = request("data");
    let measuring = tokio::spawn(async move { asking.measure_volume(asked).await });
    let task = agent.is_told_to_start().await;
    let measured = wire::MeasuredVolume {
        bytes: 4096,
        files: 2,
    };
    agent
        .ends(&task, task_result::Result::MeasuredVolume(measured))
        .await;
    let measured = measuring.await.unwrap().unwrap().into_inner();
    assert_eq!((measured.bytes, measured.files), (4096, 2));
    assert!(matches!(agent.hears().await, Heard::ForgetTask(_)));

    // Whoever goes away ends what was asked for.
    let mut asking = alice.clone();
    let asked = request("data");
    let measuring = tokio::spawn(async move { asking.measure_volume(asked).await });
    agent.is_told_to_start().await;
    measuring.abort();
    assert!(matches!(agent.hears().await, Heard::CancelTask(_)));
}

#[tokio::test]
async fn what_the_container_engines_told_is_listed_newest_first() {
    let house = House::open().await;
    let mut agents = [house.agent("web-1").await, house.agent("web-2").await];
    let event = |second: i64, action: &str, subject: &str| wire::EngineEvent {
        at: Some(prost_types::Timestamp {
            seconds: second,
            nanos: 0,
        }),
        kind: "container".to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
    };
    let delta = |events| {
        Said::Delta(wire::HostDelta {
            events,
            ..wire::HostDelta::default()
        })
    };
    let first = vec![event(1, "start", "shop-db"), event(4, "die", "shop-db")];
    agents[0].says(delta(first)).await;
    agents[1]
        .says(delta(vec![event(3, "start", "test-db")]))
        .await;
    agents[0]
        .says(delta(vec![event(5, "start", "shop-db")]))
        .await;

    let mut alice = alice(&house).await;
    let mut listed = async |host: &str, limit| {
        let host = host.to_owned();
        let request = wire::ListEngineEventsRequest { host, limit };
        let answer = alice.list_engine_events(request).await.unwrap();
        let events = answer.into_inner().events.into_iter().map(|told| {
            let event = told.event.unwrap();
            format!("{} {} {}", told.host, event.subject, event.action)
        });
        events.collect::<Vec<_>>()
    };
    let all = [
        "web-1 shop-db start",
        "web-1 shop-db die",
        "web-2 test-db start",
        "web-1 shop-db start",
    ];
    for agent in &mut agents {
        is_heard(agent).await;
    }
    assert_eq!(listed("", 0).await, all);
    assert_eq!(listed("", 1).await, [all[0], all[2]]);
    assert_eq!(listed("web-1", 2).await, all[..2]);

    // A whole report says nothing of what happened: the events stay.
    agents[1]
        .says(Said::Snapshot(wire::HostSnapshot::default()))
        .await;
    is_heard(&mut agents[1]).await;
    assert_eq!(listed("web-2", 0).await, [all[2]]);
}

#[tokio::test]
async fn a_copy_becomes_a_job_and_mistyped_names_do_not() {
    let house = House::open().await;
    let _agents = [
        reporting(&house, "web-1").await,
        reporting(&house, "web-2").await,
    ];
    let mut alice = alice(&house).await;
    let copy = |source: &str, target: &str| wire::CopyDatabaseRequest {
        source: name(source),
        target: name(target),
        ..wire::CopyDatabaseRequest::default()
    };
    let mistyped = copy("web-1/shop-bd/shop", "web-2/shop-db/test");
    let status = alice.copy_database(mistyped).await.unwrap_err();
    assert!(advice(&status).starts_with("did you mean web-1/shop-db?"));
    let same = copy("web-1/shop-db/shop", "web-1/shop-db/shop");
    let status = alice.copy_database(same).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);

    let good = copy("web-1/shop-db/shop", "web-2/shop-db/test");
    let job = alice.copy_database(good).await.unwrap().into_inner().job;
    let got = alice
        .get_job(wire::GetJobRequest { id: job })
        .await
        .unwrap();
    let got = got.into_inner().job.unwrap();
    assert_eq!(got.title, "web-1/shop-db/shop → web-2/shop-db/test");
    assert_eq!(got.requested_by, "operator/alice");
    let line = house
        .audited(|line| line.action == "job.copy" && line.outcome == Outcome::Ok)
        .await;
    assert_eq!(line.detail, "from web-1/shop-db/shop");

    let cancelled = alice.cancel_job(wire::CancelJobRequest { id: job }).await;
    cancelled.unwrap();
    house
        .audited(|line| line.subject == format!("job/{job}"))
        .await;
    let status = alice.get_job(wire::GetJobRequest { id: 999 }).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(advice(&status), "`ctl job list` shows the jobs");
}

/// Ctrl-C, or an answer that took too long for `ctl`: nobody can tell what has begun, but the audit log.
#[tokio::test]
async fn a_change_is_done_and_audited_when_whoever_asked_has_gone() {
    let house = House::open().await;
    let mut agent = reporting(&house, "web-1").await;
    let mut alice = alice(&house).await;
    let request = wire::SetCheckRequest {
        check: Some(wire::Check {
            database: name("web-1/shop-db/shop"),
            name: "users".to_owned(),
            count_sql: "select count(*) from users".to_owned(),
            ..wire::Check::default()
        }),
    };
    let setting = tokio::spawn(async move { alice.set_check(request).await });
    let task = agent.is_told_to_start().await;
    setting.abort();
    assert!(setting.await.is_err(), "she has gone");
    let outcome = wire::CheckOutcome {
        at: crate::rpc::convert::time(chrono::Utc::now()),
        count: Some(14),
        ..wire::CheckOutcome::default()
    };
    agent
        .ends(&task, task_result::Result::CheckOutcome(outcome))
        .await;
    let line = house.audited(|entry| entry.action == "check.set").await;
    assert_eq!(line.outcome, crate::audit::Outcome::Ok);
    let kept = house.catalog.check_states().await.unwrap();
    assert_eq!(kept.len(), 1);
}

#[tokio::test]
async fn a_check_is_run_once_before_it_is_kept() {
    let house = House::open().await;
    let mut agent = reporting(&house, "web-1").await;
    let mut alice = alice(&house).await;
    let request = wire::SetCheckRequest {
        check: Some(wire::Check {
            database: name("web-1/shop-db/shop"),
            name: "users".to_owned(),
            count_sql: "select count(*) from users".to_owned(),
            ..wire::Check::default()
        }),
    };
    let mut asking = alice.clone();
    let setting = tokio::spawn(async move { asking.set_check(request).await });
    let task = agent.is_told_to_start().await;
    let outcome = wire::CheckOutcome {
        at: crate::rpc::convert::time(chrono::Utc::now()),
        count: Some(14),
        newest: None,
        error: String::new(),
    };
    agent
        .ends(&task, task_result::Result::CheckOutcome(outcome))
        .await;
    let set = setting.await.unwrap().unwrap().into_inner();
    assert!(!set.replaced);
    eventually("the agent has the schedule", async || {
        matches!(agent.hears().await, Heard::Checks(schedule) if schedule.checks.len() == 1)
    })
    .await;
    let mistyped = wire::SetCheckRequest {
        check: Some(wire::Check {
            database: name("web-1/shop-db/shpo"),
            name: "users".to_owned(),
            count_sql: "select 1".to_owned(),
            ..wire::Check::default()
        }),
    };
    let mut asking = alice.clone();
    let setting = tokio::spawn(async move { asking.set_check(mistyped).await });
    let task = loop {
        // What is said of the check before does not matter here.
        if let Heard::StartTask(task) = agent.hears().await {
            break task;
        }
    };
    let outcome = wire::CheckOutcome {
        at: crate::rpc::convert::time(chrono::Utc::now()),
        error: "database \"shpo\" does not exist".to_owned(),
        ..wire::CheckOutcome::default()
    };
    agent
        .ends(&task, task_result::Result::CheckOutcome(outcome))
        .await;
    let status = setting.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(advice(&status).starts_with("did you mean web-1/shop-db/shop?"));

    let listed = alice.list_checks(wire::ListChecksRequest {}).await.unwrap();
    let listed = listed.into_inner().checks;
    let last = listed[0].last.clone().unwrap();
    assert_eq!(last.verdict(), wire::CheckVerdict::Ok);
    let of = |check: &str| wire::GetCheckHistoryRequest {
        database: name("web-1/shop-db/shop"),
        name: check.to_owned(),
        limit: 0,
    };
    let history = alice.get_check_history(of("users")).await.unwrap();
    assert_eq!(history.into_inner().runs.len(), 1);
    let status = alice.get_check_history(of("usres")).await.unwrap_err();
    assert!(advice(&status).starts_with("did you mean users?"));
    let remove = wire::RemoveCheckRequest {
        database: name("web-1/shop-db/shop"),
        name: "users".to_owned(),
    };
    alice.remove_check(remove).await.unwrap();
    eventually("the agent has no check any more", async || {
        matches!(agent.hears().await, Heard::Checks(schedule) if schedule.checks.is_empty())
    })
    .await;
}

#[tokio::test]
async fn who_am_i_and_the_audit_log_are_read_by_viewers() {
    let house = House::open().await;
    let mut eve = house.operator("eve", Role::Viewer).await;
    let me = eve.who_am_i(wire::WhoAmIRequest {}).await.unwrap();
    let me = me.into_inner();
    assert_eq!(
        (me.name.as_str(), me.role()),
        ("eve", wire::OperatorRole::Viewer)
    );
    assert!(me.certificate_expires_at.is_some());
    let audit = eve.list_audit(wire::ListAuditRequest { limit: 1 }).await;
    assert_eq!(audit.unwrap().into_inner().entries.len(), 1);
    let verified = eve.verify_audit(wire::VerifyAuditRequest {}).await.unwrap();
    let verified = verified.into_inner();
    assert_eq!(verified.first_broken_sequence, None);
    assert!(verified.entries > 0);
}
