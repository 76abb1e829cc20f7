//! Incidents as operators read and change them.

use holdfast_chassis::identity::Role;
use holdfast_proto::wire::{self, operator_client::OperatorClient};
use tonic::{Code, transport::Channel};

use super::house::House;
use crate::{
    detect::{self, Seen, Severity},
    reconcile::incidents::bring_up_to_date,
};

async fn find(house: &House, key: &str, severity: Severity) -> u64 {
    let seen = Seen {
        kind: detect::disk::KIND,
        key: key.to_owned(),
        severity,
        subject: key.to_owned(),
        message: format!("{key} is full"),
        evidence: vec![],
        advice: "look".to_owned(),
    };
    let now = house.services.clock.now();
    house.catalog.put_finding(&seen, now).await.unwrap();
    bring_up_to_date(&house.catalog, now).await.unwrap();
    let all = house.catalog.findings(false).await.unwrap();
    all.into_iter().find(|one| one.key == key).unwrap().id
}

async fn end(house: &House, key: &str) {
    let now = house.services.clock.now();
    let kind = detect::disk::KIND.name;
    house.catalog.close_finding(kind, key, now).await.unwrap();
    bring_up_to_date(&house.catalog, now).await.unwrap();
}

async fn get(client: &mut OperatorClient<Channel>, id: u64) -> wire::GetIncidentResponse {
    let request = wire::GetIncidentRequest { id };
    client.get_incident(request).await.unwrap().into_inner()
}

fn close(id: u64, still_found: bool) -> wire::CloseIncidentRequest {
    wire::CloseIncidentRequest {
        id,
        cause: "logs".to_owned(),
        still_found,
    }
}

#[tokio::test]
async fn an_incident_from_its_finding_to_its_report() {
    let house = House::open().await;
    let mut alice = house.operator("alice", Role::Operator).await;
    find(&house, "web-1", Severity::Critical).await;
    let request = wire::ListIncidentsRequest::default();
    let list = alice.list_incidents(request).await.unwrap().into_inner();
    assert_eq!(list.incidents.len(), 1);
    let id = list.incidents[0].id;
    assert_eq!(list.incidents[0].title, "web-1 is full");

    let note = wire::NoteIncidentRequest {
        id,
        text: " the logs of yesterday ".to_owned(),
    };
    alice.note_incident(note).await.unwrap();
    // Nobody named: whoever asks.
    let request = wire::AssignIncidentRequest {
        id,
        ..Default::default()
    };
    let assigned = alice.assign_incident(request).await.unwrap().into_inner();
    assert_eq!(assigned.incident.unwrap().assigned_to, "alice");
    let refused = alice.close_incident(close(id, false)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused
            .message()
            .contains("disk-filling on web-1 is still found"),
        "{refused}"
    );

    end(&house, "web-1").await;
    let shown = get(&mut alice, id).await;
    assert_eq!(
        shown.incident.unwrap().state(),
        wire::IncidentState::Resolved
    );
    let closed = alice
        .close_incident(close(id, false))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(closed.incident.unwrap().closed_by, "operator/alice");
    let shown = get(&mut alice, id).await;
    let kinds: Vec<_> = shown
        .timeline
        .iter()
        .map(|line| line.kind.as_str())
        .collect();
    for kind in [
        "opened", "finding", "note", "assigned", "refused", "over", "resolved", "closed",
    ] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    assert!(
        shown
            .timeline
            .iter()
            .any(|line| line.text == "the logs of yesterday")
    );
    let again = alice.close_incident(close(id, false)).await.unwrap_err();
    assert!(again.message().contains("is closed"), "{again}");

    let report = alice
        .report_incident(wire::ReportIncidentRequest { id })
        .await;
    let report = report.unwrap().into_inner().markdown;
    assert!(
        report.starts_with(&format!("# Incident {id}: web-1 is full\n")),
        "{report}"
    );
    assert!(report.contains("## Cause\n\nlogs\n"), "{report}");
}

#[tokio::test]
async fn a_warning_becomes_one_by_an_operators_word() {
    let house = House::open().await;
    let mut alice = house.operator("alice", Role::Operator).await;
    let finding = find(&house, "web-1", Severity::Warning).await;
    let request = wire::ListIncidentsRequest::default();
    let none = alice.list_incidents(request).await.unwrap().into_inner();
    assert_eq!(none.incidents, []);
    let request = wire::OpenIncidentRequest { finding };
    let opened = alice.open_incident(request).await.unwrap().into_inner();
    let opened = opened.incident.unwrap();
    assert_eq!(opened.opened_by, "operator/alice");
    let again = alice.open_incident(request).await.unwrap_err();
    assert!(
        again
            .message()
            .contains(&format!("belongs to incident {}", opened.id)),
        "{again}"
    );

    // Closed with what is found, and nothing is opened for it again.
    alice.close_incident(close(opened.id, true)).await.unwrap();
    let now = house.services.clock.now();
    bring_up_to_date(&house.catalog, now).await.unwrap();
    assert_eq!(house.catalog.incidents(false).await.unwrap(), []);
    house
        .audited(|line| line.action == "incident.close" && line.detail == "logs")
        .await;
}

#[tokio::test]
async fn a_runbook_that_does_not_fit_is_not_begun() {
    let house = House::open().await;
    let mut alice = house.operator("alice", Role::Operator).await;
    find(&house, "web-1", Severity::Critical).await;
    let request = wire::ListIncidentsRequest::default();
    let list = alice.list_incidents(request).await.unwrap().into_inner();
    let incident = list.incidents[0].id;
    for (name, code, words) in [
        ("", Code::NotFound, "no runbook for disk-filling"),
        (
            "volume-swaped",
            Code::NotFound,
            "no runbook \"volume-swaped\"",
        ),
        (
            "volume-swapped",
            Code::FailedPrecondition,
            "lies on other data",
        ),
        ("volume-lost", Code::FailedPrecondition, "no volume"),
        ("count-drop", Code::FailedPrecondition, "lacks anything"),
    ] {
        let request = wire::GetRunbookRequest {
            incident,
            name: name.to_owned(),
        };
        let refused = alice.get_runbook(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(words), "{refused}");
        for leave_out in ["", "why not"] {
            let request = wire::TakeRunbookStepRequest {
                incident,
                name: name.to_owned(),
                step: "accept".to_owned(),
                word: String::new(),
                leave_out: leave_out.to_owned(),
            };
            let refused = alice.take_runbook_step(request).await.unwrap_err();
            assert!(refused.message().contains(words), "{refused}");
        }
    }
    assert_eq!(house.catalog.runbook_run(incident).await.unwrap(), None);
    end(&house, "web-1").await;
    alice.close_incident(close(incident, false)).await.unwrap();
    let request = wire::TakeRunbookStepRequest {
        incident,
        ..Default::default()
    };
    let refused = alice.take_runbook_step(request).await.unwrap_err();
    assert!(refused.message().contains("is closed"), "{refused}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let house = House::open().await;
    let mut alice = house.operator("alice", Role::Operator).await;
    find(&house, "web-1", Severity::Critical).await;
    let id = house.catalog.incidents(false).await.unwrap()[0].id;
    let before = house.catalog.incident_events(id).await.unwrap();
    let note = |id, text: &str| wire::NoteIncidentRequest {
        id,
        text: text.to_owned(),
    };
    let refused = alice.note_incident(note(id, "  ")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = alice.note_incident(note(99, "x")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let to = wire::AssignIncidentRequest {
        id,
        to: "nobody-known".to_owned(),
        nobody: false,
    };
    let refused = alice.assign_incident(to).await.unwrap_err();
    assert!(
        refused.message().contains("there is no operator"),
        "{refused}"
    );
    let mut without = close(id, true);
    without.cause.clear();
    let refused = alice.close_incident(without).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let request = wire::OpenIncidentRequest { finding: 99 };
    let refused = alice.open_incident(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(house.catalog.incident_events(id).await.unwrap(), before);
}
