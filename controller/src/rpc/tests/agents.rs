//! What agents can do, and what they cannot.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use holdfast_chassis::identity::Role;
use holdfast_proto::{
    check::CheckLimits,
    wire::{
        self, agent_link_client::AgentLinkClient, session_request::Message as Said,
        session_response::Message as Heard,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::house::{Agent, House, eventually};
use crate::check::Check;

fn volume(name: &str) -> wire::Volume {
    wire::Volume {
        name: name.to_owned(),
        driver: "local".to_owned(),
        ..wire::Volume::default()
    }
}

fn heartbeat(sequence: u64) -> Said {
    Said::Heartbeat(wire::Heartbeat {
        sequence,
        at: Some(prost_types::Timestamp::default()),
        rss_bytes: 20 << 20,
    })
}

#[tokio::test]
async fn a_session_greets_takes_reports_and_answers_heartbeats() {
    let house = House::open().await;
    let mut agent = Agent::dial(house.host("web-1").await, "web-1")
        .await
        .unwrap();
    let (welcome, registered) = agent.greeted().await;
    assert_eq!(welcome.heartbeat_interval.unwrap().seconds, 10);
    assert!(registered.instances.is_empty());
    let host = "web-1".parse().unwrap();
    let fleet = &house.services.fleet;
    assert_eq!(fleet.peer_addresses(&host), ["10.77.0.1:7444"]);

    agent
        .says(Said::Snapshot(wire::HostSnapshot {
            volumes: vec![volume("data"), volume("old")],
            ..wire::HostSnapshot::default()
        }))
        .await;
    agent
        .says(Said::Delta(wire::HostDelta {
            volumes: vec![volume("new")],
            removed_volumes: vec!["old".to_owned()],
            ..wire::HostDelta::default()
        }))
        .await;
    agent.says(heartbeat(7)).await;
    // Answered in order: what was said before has been taken.
    assert_eq!(
        agent.hears().await,
        Heard::Heartbeat(wire::HeartbeatAck { sequence: 7 })
    );
    let state = fleet.host(&host).unwrap();
    let names: Vec<_> = state.report.volumes.keys().map(String::as_str).collect();
    assert_eq!(names, ["data", "new"]);
    assert_eq!(state.agent_rss_bytes, 20 << 20);
    assert!(state.connected);
    drop(agent);
    house.is_away("web-1").await;
    assert!(!fleet.host(&host).unwrap().report.volumes.is_empty());
}

#[tokio::test]
async fn an_agent_that_claims_another_name_is_refused() {
    let house = House::open().await;
    let refused = Agent::dial(house.host("web-1").await, "web-2").await;
    let status = refused.err().unwrap();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("host/web-1, not of host/web-2"));
    let line = house.refused("not of host/web-2").await;
    assert_eq!(
        (line.actor.as_str(), line.action.as_str()),
        ("host/web-1", "rpc.refused")
    );
}

#[tokio::test]
async fn what_an_agent_refused_at_its_own_port_is_audited_with_its_name() {
    let house = House::open().await;
    let mut agent = house.agent("web-2").await;
    let refused = |times| {
        Said::Refused(wire::PeerRefused {
            actor: "host/web-3".to_owned(),
            what: "to bring an image".to_owned(),
            reason: "this image is expected from web-1, not from web-3".to_owned(),
            times,
        })
    };
    agent.says(refused(5)).await;
    let line = house.refused("not from web-3").await;
    assert_eq!(
        (
            line.actor.as_str(),
            line.action.as_str(),
            line.subject.as_str()
        ),
        ("host/web-3", "peer.refused", "host/web-2")
    );
    assert!(line.detail.contains("web-2 reports"), "{}", line.detail);
    assert!(line.detail.contains("and 4 times more"), "{}", line.detail);

    // A flood of different ones is cut off; what it says last is one line.
    for n in 0..200 {
        let Said::Refused(mut one) = refused(1) else {
            unreachable!()
        };
        one.actor = format!("10.0.0.{n}");
        agent.says(Said::Refused(one)).await;
    }
    house
        .refused("more different refusals than are written")
        .await;
    agent.says(heartbeat(9)).await;
    while !matches!(agent.hears().await, Heard::Heartbeat(_)) {}
    let lines = house.services.catalog.list_audit(1000).await.unwrap();
    let lines = lines
        .iter()
        .filter(|line| line.content.action == "peer.refused");
    assert!(lines.count() <= 31);
}

#[tokio::test]
async fn an_operator_is_no_agent() {
    let house = House::open().await;
    let channel = house.operator_channel("alice", Role::Admin).await;
    let status = Agent::dial(channel, "web-1").await.err().unwrap();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().starts_with("operator/alice is not a host"));
    house.refused("operator/alice is not a host").await;
}

#[tokio::test]
async fn a_session_that_does_not_begin_with_a_hello_is_refused() {
    let house = House::open().await;
    let mut link = AgentLinkClient::new(house.host("web-1").await);
    let (say, said) = mpsc::channel(1);
    let message = Some(heartbeat(1));
    say.send(wire::SessionRequest { message }).await.unwrap();
    let refused = link.session(ReceiverStream::new(said)).await;
    assert_eq!(refused.err().unwrap().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn nonsense_in_the_middle_ends_the_session() {
    let house = House::open().await;
    let mut agent = house.agent("web-1").await;
    agent
        .says(Said::Task(wire::TaskEvent {
            task_id: "7/x/do/1".to_owned(),
            epoch: 1,
            event: None,
        }))
        .await;
    let status = agent.next().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    house.is_away("web-1").await;
}

#[tokio::test]
async fn a_silent_agent_is_away_after_three_intervals() {
    let interval = Duration::from_millis(100);
    let house = House::with_heartbeat(interval).await;
    let mut agent = house.agent("web-1").await;
    let began = Instant::now();
    let status = agent.next().await.unwrap_err();
    assert!(began.elapsed() >= interval * 2, "{:?}", began.elapsed());
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("three heartbeats"));
    house.is_away("web-1").await;
}

#[tokio::test]
async fn a_newer_session_takes_the_place_of_the_older() {
    let house = House::open().await;
    let channel = house.host("web-1").await;
    let mut older = Agent::dial(channel.clone(), "web-1").await.unwrap();
    older.greeted().await;
    let mut newer = Agent::dial(channel, "web-1").await.unwrap();
    newer.greeted().await;
    let status = older.next().await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    newer.says(heartbeat(1)).await;
    newer.hears().await;
    assert!(house.services.fleet.is_connected(&"web-1".parse().unwrap()));
}

#[tokio::test]
async fn removing_a_host_ends_its_session_at_once() {
    let house = House::open().await;
    let mut agent = house.agent("web-1").await;
    let mut admin = house.operator("alice", Role::Admin).await;
    let name = "web-1".to_owned();
    let removed = admin.remove_host(wire::RemoveHostRequest { name }).await;
    let removed = removed.unwrap().into_inner();
    assert_eq!(
        (removed.revoked_certificates, removed.was_connected),
        (1, true)
    );
    let status = agent.next().await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let listed = admin.list_hosts(wire::ListHostsRequest {}).await.unwrap();
    assert!(listed.into_inner().hosts.is_empty());
    house.audited(|line| line.action == "host.remove").await;
}

#[tokio::test]
async fn a_changed_check_reaches_the_agent_and_its_report_the_catalog() {
    let house = House::open().await;
    let mut agent = house.agent("web-1").await;
    let check = Check {
        id: 0,
        database: "web-1/shop-db/shop".parse().unwrap(),
        name: "users".to_owned(),
        count_sql: "select count(*) from users".to_owned(),
        newest_sql: String::new(),
        limits: CheckLimits::default(),
        every: Duration::from_secs(60),
        timeout: Duration::from_secs(5),
    };
    let catalog = &house.catalog;
    let put = catalog
        .put_check(&check, "operator/alice", Utc::now())
        .await;
    let (id, _) = put.unwrap();
    house.services.push.pass().await.unwrap();
    let Heard::Checks(schedule) = agent.hears().await else {
        panic!("no checks");
    };
    assert_eq!(schedule.checks[0].id, id);
    // Told once, also when there are none: the agent may have kept some.
    let Heard::Protections(protections) = agent.hears().await else {
        panic!("no protections");
    };
    assert_eq!(protections.protections, []);
    // Nothing changed: nothing is sent again.
    house.services.push.pass().await.unwrap();
    house
        .services
        .push
        .host(&"web-1".parse().unwrap())
        .await
        .unwrap();
    agent.says(heartbeat(1)).await;
    assert!(matches!(agent.hears().await, Heard::Heartbeat(_)));

    let at = Utc::now() - TimeDelta::seconds(1);
    agent
        .says(Said::Check(wire::CheckReport {
            check_id: id,
            outcome: Some(wire::CheckOutcome {
                at: crate::rpc::convert::time(at),
                count: Some(42),
                newest: None,
                error: String::new(),
            }),
        }))
        .await;
    eventually("the report is stored", async || {
        let runs = catalog.check_runs(id, 10).await.unwrap();
        runs.first()
            .is_some_and(|run| run.outcome.count == Some(42))
    })
    .await;
}

fn guard_refused(minutes: &[i64]) -> Said {
    let refusal = |minute: &i64| wire::GuardRefusal {
        at: Some(prost_types::Timestamp {
            seconds: 1_790_000_000 + minute * 60,
            nanos: 7,
        }),
        rule: "loss".to_owned(),
        place: "shop_db".to_owned(),
        call: "DELETE volumes/shop_db".to_owned(),
        sentence: "volume shop_db holds database shop".to_owned(),
    };
    Said::GuardRefused(wire::GuardRefused {
        refusals: minutes.iter().map(refusal).collect(),
    })
}

#[tokio::test]
async fn what_a_guard_has_refused_is_stored_once_and_its_agent_hears_so() {
    let house = House::open().await;
    let mut agent = house.agent("web-1").await;
    for (minutes, until) in [([1, 2].as_slice(), 2), (&[2, 3], 3)] {
        agent.says(guard_refused(minutes)).await;
        let Heard::RefusalsStored(stored) = agent.hears().await else {
            panic!("something else was heard");
        };
        // To the nanosecond: the agent looks for this very one.
        let expected = guard_refused(&[until]);
        let Said::GuardRefused(expected) = expected else {
            unreachable!()
        };
        assert_eq!(stored.until, expected.refusals[0].at);
    }
    let mut eve = house.operator("eve", Role::Viewer).await;
    let mut list = async |host: &str, limit| {
        let request = wire::ListGuardRefusalsRequest {
            host: host.to_owned(),
            limit,
        };
        eve.list_guard_refusals(request).await
    };
    let all = list("", 0).await.unwrap().into_inner().refusals;
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].host, "web-1");
    let newest = list("web-1", 1).await.unwrap().into_inner().refusals;
    assert_eq!(newest, all[..1]);
    let wrong = list("wbe-1", 0).await.unwrap_err();
    assert_eq!(wrong.code(), Code::NotFound);
}
