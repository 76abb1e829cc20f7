//! Which findings are one incident, when it is over, and what is told of it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::guard::GuardRefusal;

use super::{
    report::{Report, markdown},
    *,
};
use crate::{
    audit,
    catalog::{Counted, HostRefusal},
    data_store,
    job::{JobState, JobSummary},
    objective::{Recovery, Scenario},
};

const SERVICE: u64 = 12;

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minutes)
}

fn finding(id: u64, code: &str, severity: Severity, subject: &str) -> Finding {
    Finding {
        id,
        code: code.to_owned(),
        kind: format!("kind-{code}"),
        key: id.to_string(),
        severity,
        subject: subject.to_owned(),
        message: format!("{code} of {subject}"),
        evidence: vec![],
        advice: format!("do what {code} says"),
        opened_at: at(0),
        closed_at: None,
        incident: None,
    }
}

fn swapped() -> Finding {
    finding(1, "HF0102", Severity::Critical, "web-1/manual-db")
}

fn count_drop() -> Finding {
    finding(2, "HF0301", Severity::Critical, "web-1/manual-db/shop")
}

/// One service that was called otherwise before.
fn services() -> Services {
    let names = ["manual-db", "meaningful-db", "meaningful_data"];
    let rows = names.map(|name| ("web-1".to_owned(), name.to_owned(), SERVICE));
    rows.into_iter().collect()
}

fn incident(findings: &[&Finding]) -> Incident {
    Incident {
        id: 5,
        about: format!("service {SERVICE}"),
        lead: Lead::from(findings[0]),
        opened_at: at(0),
        opened_by: String::new(),
        assigned_to: String::new(),
        resolved_at: None,
        closed_at: None,
        closed_by: String::new(),
        cause: String::new(),
        handled: false,
    }
}

fn look(incidents: &[Incident], findings: &[Finding], minutes: i64) -> Vec<Step> {
    settle(incidents, findings, &services(), at(minutes))
}

fn about(code: &str, subject: &str) -> String {
    let found = finding(1, code, Severity::Critical, subject);
    About::of(&found, &services()).to_string()
}

#[test]
fn what_is_about_the_same_is_told_by_chapter_and_name() {
    for subject in [
        "web-1/manual-db",
        "web-1/meaningful-db/shop",
        "web-1/meaningful_data",
    ] {
        assert_eq!(about("HF0102", subject), "service 12", "{subject}");
        assert_eq!(about("HF0301", subject), "service 12", "{subject}");
    }
    assert_eq!(
        about("HF0102", "web-2/manual-db"),
        "instance web-2/manual-db"
    );
    assert_eq!(about("HF0401", "web-1"), "host web-1");
    assert_eq!(about("HF0403", "web-1/manual-db"), "host web-1");
    assert_eq!(about("HF0505", "web-1/manual-db/shop"), "backups web-1");
    assert_eq!(about("HF0602", "web-1"), "backups web-1");
    assert_eq!(about("HF0604", "web-1"), "backups web-1");
    for subject in ["job 12", "the controller", "the repositories"] {
        assert_eq!(about("HF0601", subject), "controller");
    }
}

#[test]
fn a_swap_and_its_missing_users_are_one_incident_that_the_swap_leads() {
    let steps = look(&[], &[count_drop(), swapped()], 0);
    let [step] = steps.as_slice() else {
        panic!("{steps:?}");
    };
    assert_eq!(step.of, Joining::New(About::Service(SERVICE)));
    assert_eq!(step.join, [2, 1]);
    assert_eq!(step.lead, Some(Lead::from(&swapped())));
}

#[test]
fn what_is_no_danger_opens_none_and_joins_what_is_open() {
    let warning = finding(3, "HF0206", Severity::Warning, "web-1/meaningful-db");
    assert_eq!(look(&[], std::slice::from_ref(&warning), 0), []);
    let mut known = swapped();
    known.incident = Some(5);
    let steps = look(&[incident(&[&known])], &[known, warning], 1);
    let [step] = steps.as_slice() else {
        panic!("{steps:?}");
    };
    assert_eq!(
        (&step.of, step.join.as_slice()),
        (&Joining::Known(5), [3].as_slice())
    );
    // The worst goes on leading.
    assert_eq!((&step.lead, step.becomes), (&None, None));
}

#[test]
fn what_opened_it_by_another_word_leads_when_it_tells_more() {
    let mut known = count_drop();
    known.incident = Some(5);
    let steps = look(&[incident(&[&known])], &[known, swapped()], 1);
    assert_eq!(steps[0].lead, Some(Lead::from(&swapped())));
}

#[test]
fn what_was_opened_before_the_service_was_known_is_joined_by_what_is_about_it() {
    let mut known = swapped();
    known.incident = Some(5);
    let mut early = incident(&[&known]);
    early.about = "instance web-1/manual-db".to_owned();
    let findings = [known, count_drop()];
    let steps = look(std::slice::from_ref(&early), &findings, 1);
    let joins = |of: u64| (Joining::Known(of), vec![2]);
    assert_eq!(steps.len(), 1);
    assert_eq!((steps[0].of.clone(), steps[0].join.clone()), joins(5));
    // One about the service itself goes before.
    let mut own = early.clone();
    (own.id, own.about) = (6, format!("service {SERVICE}"));
    own.lead = Lead::from(&findings[1]);
    let steps = look(&[early, own], &findings, 1);
    let joined: Vec<_> = steps.iter().filter(|step| !step.join.is_empty()).collect();
    assert_eq!(joined.len(), 1);
    assert_eq!((joined[0].of.clone(), joined[0].join.clone()), joins(6));
}

#[test]
fn a_restart_is_no_incident() {
    let mut down = finding(1, "HF0201", Severity::Critical, "web-1/manual-db");
    down.kind = "instance-down".to_owned();
    let at_second = |seconds| {
        settle(
            &[],
            std::slice::from_ref(&down),
            &services(),
            at(0) + TimeDelta::seconds(seconds),
        )
    };
    assert_eq!(at_second(29), []);
    assert_eq!(at_second(30).len(), 1);
    // Something else is wrong too, and it belongs to that.
    let steps = look(&[], &[down.clone(), swapped()], 0);
    assert_eq!(steps[0].join.len(), 2);
}

#[test]
fn it_is_over_with_its_last_finding_and_opens_again_with_the_next() {
    let mut one = swapped();
    one.incident = Some(5);
    let mut other = count_drop();
    other.incident = Some(5);
    one.closed_at = Some(at(1));
    let open = incident(&[&one]);
    let known = [one.clone(), other.clone()];
    assert_eq!(look(std::slice::from_ref(&open), &known, 1), []);
    other.closed_at = Some(at(2));
    let steps = look(
        std::slice::from_ref(&open),
        &[one.clone(), other.clone()],
        2,
    );
    assert_eq!(steps[0].becomes, Some(State::Resolved));

    let mut resolved = open;
    resolved.resolved_at = Some(at(2));
    let mut again = swapped();
    again.id = 9;
    let steps = look(&[resolved], &[one, other, again], 10);
    assert_eq!(steps.len(), 1);
    assert_eq!(
        (steps[0].becomes, steps[0].join.as_slice()),
        (Some(State::Open), [9].as_slice())
    );
}

#[test]
fn one_that_nobody_cared_about_closes_a_day_later_by_itself() {
    let mut over = swapped();
    (over.incident, over.closed_at) = (Some(5), Some(at(1)));
    let mut resolved = incident(&[&over]);
    resolved.resolved_at = Some(at(0));
    let day = 24 * 60;
    let findings = [over];
    assert_eq!(look(std::slice::from_ref(&resolved), &findings, day), []);
    let steps = look(std::slice::from_ref(&resolved), &findings, day + 1);
    assert_eq!(steps[0].becomes, Some(State::Closed));
    resolved.handled = true;
    assert_eq!(look(&[resolved], &findings, day + 1), []);
}

#[test]
fn what_is_found_of_a_closed_incident_opens_no_other() {
    let mut accepted = swapped();
    accepted.incident = Some(4);
    assert_eq!(look(&[], &[accepted], 1), []);
}

fn sources() -> Sources {
    let mut over = swapped();
    over.closed_at = Some(at(8));
    let entry = |action: &str, outcome| {
        audit::Entry::after(
            0,
            audit::Hash::START,
            audit::NewEntry {
                at: at(4),
                actor: "operator/ann".to_owned(),
                action: action.to_owned(),
                subject: "web-1/manual-db/shop".to_owned(),
                outcome,
                detail: "how".to_owned(),
            },
        )
    };
    let job = JobSummary {
        id: 7,
        kind: "restore-database".to_owned(),
        state: JobState::Succeeded,
        title: "backup 3 → web-1/manual-db/shop".to_owned(),
        requested_by: "operator/ann".to_owned(),
        created_at: at(5),
        started_at: Some(at(5)),
        ended_at: Some(at(6)),
        step: String::new(),
        step_number: 0,
        step_count: 0,
        reason: String::new(),
        advice: String::new(),
        trace_id: String::new(),
        undo_until: None,
    };
    let data = |minutes| data_store::Event {
        at: at(minutes),
        host: "web-1".parse().unwrap(),
        service: "manual/db".to_owned(),
        instance: "manual-db".to_owned(),
        kind: data_store::EventKind::Swapped,
        changes: vec!["volume a → b".to_owned()],
        by: String::new(),
        reason: String::new(),
        store: None,
    };
    Sources {
        events: vec![Event {
            at: at(3),
            kind: EventKind::Note,
            by: "operator/ann".to_owned(),
            text: "somebody renamed it".to_owned(),
        }],
        findings: vec![over],
        jobs: vec![job],
        audit: vec![
            entry("job.restore", audit::Outcome::Ok),
            entry("job.restore", audit::Outcome::Refused),
            entry("instance.accept", audit::Outcome::Ok),
        ],
        data: vec![data(-1), data(-1), data(-16)],
        guarded: vec![HostRefusal {
            host: "web-1".parse().unwrap(),
            refusal: GuardRefusal {
                at: at(7),
                rule: "loss".to_owned(),
                place: "manual_data".to_owned(),
                call: "DELETE volumes/manual_data".to_owned(),
                sentence: "volume manual_data holds database shop".to_owned(),
            },
        }],
    }
}

#[test]
fn the_timeline_has_everything_in_order_and_once() {
    let lines = timeline(&incident(&[&swapped()]), sources());
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                (line.at - at(0)).num_minutes(),
                line.kind.as_str(),
                line.reference.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            // What was before that is none of its business; what was seen twice is told once.
            (-1, "data", ""),
            (0, "finding", "finding 1"),
            (3, "note", ""),
            (4, "command", ""),
            (4, "refused", ""),
            (5, "job", "job 7"),
            (6, "job", "job 7"),
            (7, "guard", ""),
            (8, "over", "finding 1"),
        ]
    );
    assert!(
        lines[0].text.ends_with("swapped: volume a → b"),
        "{}",
        lines[0].text
    );
    assert!(
        lines[3].text.starts_with("instance.accept"),
        "{}",
        lines[3].text
    );
    assert!(
        lines[6].text.starts_with("succeeded: restore-database"),
        "{}",
        lines[6].text
    );
}

#[test]
fn the_timeline_of_a_closed_one_ends_with_it() {
    let mut closed = incident(&[&swapped()]);
    closed.closed_at = Some(at(5));
    let mut sources = sources();
    sources.events[0].at = at(9);
    let lines = timeline(&closed, sources);
    let after: Vec<_> = lines.iter().filter(|line| line.at > at(5)).collect();
    // But for its findings, whenever they were over, and what was said afterwards.
    let kinds: Vec<_> = after.iter().map(|line| line.kind.as_str()).collect();
    assert_eq!(kinds, ["over", "note"]);
}

#[test]
fn it_concerns_every_name_of_the_service_and_nothing_beside() {
    let found = swapped();
    let concern = Concern::of(
        &incident(&[&found]),
        std::slice::from_ref(&found),
        &services(),
    );
    for name in [
        "web-1/manual-db",
        "web-1/meaningful-db/shop",
        "web-1/meaningful_data",
    ] {
        assert!(concern.covers(name), "{name}");
    }
    assert!(concern.covers_resource("database:web-1/manual-db/shop"));
    for name in ["web-1", "web-1/manual-db2", "web-2/manual-db"] {
        assert!(!concern.covers(name), "{name}");
    }
    assert!(!concern.covers_resource("backup:12"));
}

fn report() -> Report {
    let sources = sources();
    let mut incident = incident(&[&swapped()]);
    incident.resolved_at = Some(at(8));
    Report {
        timeline: timeline(&incident, sources.clone()),
        incident,
        findings: sources.findings,
        counted: vec![Counted {
            database: "web-1/manual-db/shop".to_owned(),
            name: "users".to_owned(),
            before: Some(14),
            lowest: Some(1),
            last: Some(15),
        }],
        recoveries: vec![Recovery {
            database: "web-1/manual-db/shop".parse().unwrap(),
            scenario: Scenario::Restore,
            at: at(6),
            passed: true,
            backup: Some(3),
            job: Some(7),
            took: Duration::from_secs(95),
            fetch: Duration::ZERO,
            restore: Duration::ZERO,
            index: Duration::ZERO,
            check: Duration::ZERO,
            rpo: Some(Duration::from_hours(5)),
        }],
        now: at(20),
    }
}

#[test]
fn the_report_tells_users_times_and_what_is_left_to_do() {
    let text = markdown(&report());
    for told in [
        "# Incident 5: HF0102 of web-1/manual-db",
        "resolved, over at 2024-10-04 00:08:00 UTC after 8m",
        "| web-1/manual-db/shop users | 14 | 1 | 15 |",
        "| 2024-10-04 00:03:00 UTC | note: somebody renamed it | operator/ann |",
        "Not said yet: `ctl incident close 5 --cause \"…\"`",
        "restored in 1m 35s (RTO), proven; the backup was 5h old (RPO)",
        "the guard of web-1 refused DELETE volumes/manual_data: volume manual_data holds",
        "refused to operator/ann: job.restore web-1/manual-db/shop: how",
        "* [ ] read what is known of it: `ctl finding explain HF0102`",
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    assert!(!text.contains("still found"), "{text}");
}

#[test]
fn a_report_does_not_say_more_than_is_known() {
    let mut report = report();
    report.findings[0].closed_at = None;
    report.findings[0].message = "a | b\nc".to_owned();
    report.incident.resolved_at = None;
    report.incident.lead.title = "a".to_owned();
    (report.counted, report.recoveries) = (vec![], vec![]);
    report.timeline.clear();
    let text = markdown(&report);
    for told in [
        "open, open for 20m now",
        "how many users were concerned is not known",
        "nothing was restored from a backup",
        "Nobody did anything here by command.",
        "Nothing is known of that.",
        "[ ] still found: kind-HF0102 on web-1/manual-db: do what HF0102 says",
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    report.counted = vec![Counted {
        database: "a|b".to_owned(),
        name: "users".to_owned(),
        before: None,
        lowest: None,
        last: None,
    }];
    let text = markdown(&report);
    assert!(
        text.contains("| a\\|b users | not counted | not counted | not counted |"),
        "{text}"
    );
}
