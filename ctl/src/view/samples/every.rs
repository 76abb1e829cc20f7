//! All of them with their section in the docs.

use super::{
    added_instance, audit_list, audit_verdict, check_history, check_list, check_set,
    container_list, context_list, database_list, event_list, finding_list, host_detail, host_list,
    instance_detail, instance_list, job, job_detail, job_list, operator_list, policy, pruned,
    removed_host, status, text, volume_list, volume_size,
};
use crate::view::{
    account::{Invitation, RemovedOperator},
    check::CheckRemoved,
    context::{ContextChanged, LoggedIn},
    copy::CopyResult,
    drill::{DrillList, State},
    finding::Page,
    host::EnrolledHost,
    incident::{IncidentChanged, IncidentReport, Timeline},
    instance::RemovedInstance,
    job::JobTaken,
    repository::{
        ExportedKey, Repository, RepositoryCheck, RepositoryList, RepositorySeries, RepositoryStats,
    },
    triage::{TriageReport, tests::triaged},
    version::Versions,
};

fn repository() -> Repository {
    Repository {
        host: text("web-1"),
        location: text("/var/lib/holdfast/repositories/web-1"),
        created_at: Some(crate::output::testing::at("2026-11-20T12:00:00Z")),
        ready: true,
    }
}

/// Name in the docs, and an example with every list filled.
pub(crate) fn every() -> Vec<(&'static str, serde_json::Value)> {
    fn json(view: &impl serde::Serialize) -> serde_json::Value {
        serde_json::to_value(view).expect("a view becomes JSON")
    }
    let job = job();
    vec![
        ("ctl status", json(&status())),
        ("ctl host list", json(&host_list())),
        ("ctl host show", json(&host_detail())),
        (
            "ctl host enrol",
            json(&EnrolledHost {
                name: text("web-3"),
                command: text("holdfast-agent join …"),
                expires_at: job.created_at,
            }),
        ),
        ("ctl host remove", json(&removed_host())),
        ("ctl container list", json(&container_list())),
        ("ctl container events", json(&event_list())),
        (
            "ctl repository list",
            json(&RepositoryList {
                repositories: vec![repository()],
            }),
        ),
        (
            "ctl repository check",
            json(&RepositoryCheck {
                host: text("web-1"),
                sound: false,
                errors: vec![text("a pack is missing")],
                warnings: vec![text("a pack is not referenced")],
            }),
        ),
        (
            "ctl repository stats",
            json(&RepositoryStats {
                host: text("web-1"),
                location: repository().location,
                stored_bytes: 300,
                logical_bytes: 1000,
                ratio: Some(3.33),
                objects: 7,
                series: vec![RepositorySeries {
                    label: text("web-1/shop-db/shop"),
                    snapshots: 2,
                    logical_bytes: 1000,
                    added_bytes: 290,
                    ratio: Some(3.45),
                }],
            }),
        ),
        ("ctl repository prune", json(&pruned())),
        (
            "ctl repository key export",
            json(&ExportedKey {
                file: text("holdfast-recovery.json"),
                repositories: vec![repository()],
            }),
        ),
        ("ctl volume list", json(&volume_list())),
        ("ctl volume size", json(&volume_size())),
        (
            "ctl instance history, ctl volume history",
            json(&super::data_store::history()),
        ),
        ("ctl instance accept", json(&super::data_store::accepted())),
        ("ctl compose check", json(&super::compose::report())),
        ("ctl compose check --patch", json(&super::compose::patch())),
        ("ctl guard status", json(&super::guard::list())),
        ("ctl guard status HOST", json(&super::guard::detail())),
        ("ctl guard refusals", json(&super::guard::refusals())),
        (
            "ctl guard allow, ctl guard revoke",
            json(&super::guard::allowed()),
        ),
        ("ctl instance list", json(&instance_list())),
        ("ctl instance show", json(&instance_detail())),
        ("ctl instance add", json(&added_instance())),
        (
            "ctl instance remove",
            json(&RemovedInstance {
                host: text("web-1"),
                name: text("legacy"),
            }),
        ),
        ("ctl database list", json(&database_list())),
        (
            "ctl copy database",
            json(&CopyResult::of(
                text("a/b/c"),
                text("d/e/f"),
                false,
                job_detail(),
            )),
        ),
        ("ctl restore", json(&super::restored())),
        ("ctl restore merge", json(&super::merged())),
        (
            "ctl drill run, ctl drill show",
            json(&super::drill::detail()),
        ),
        (
            "ctl drill run, ctl drill show",
            json(&super::drill::rebuilt()),
        ),
        (
            "ctl drill list",
            json(&DrillList {
                drills: vec![
                    super::drill::line(State::Damaged),
                    super::drill::offsite_line(),
                ],
            }),
        ),
        ("ctl drill report", json(&super::drill::signed())),
        ("ctl job list", json(&job_list())),
        ("ctl job show, ctl job watch", json(&job_detail())),
        (
            "ctl job cancel, ctl job undo, --detach",
            json(&JobTaken { job: job.clone() }),
        ),
        ("ctl backup create", json(&super::backup::backups_made())),
        (
            "ctl backup before-deploy",
            json(&super::backup::before_deploy()),
        ),
        (
            "ctl backup before-deploy --after",
            json(&super::backup::deployment_diff()),
        ),
        ("ctl backup list", json(&super::backup::list())),
        ("ctl backup show", json(&super::backup::everything())),
        ("ctl backup diff", json(&super::backup::diff())),
        (
            "ctl backup pin, ctl backup unpin, ctl backup delete",
            json(&super::backup::deleted()),
        ),
        ("ctl apply", json(&policy::applied())),
        ("ctl diff", json(&policy::diff())),
        ("ctl export", json(&policy::exported())),
        ("ctl policy list", json(&policy::list())),
        ("ctl policy show", json(&policy::coverage())),
        ("ctl policy show HOST", json(&policy::host_plan())),
        ("ctl retention preview", json(&policy::retention())),
        ("ctl objectives", json(&policy::objectives())),
        ("ctl check list", json(&check_list())),
        ("ctl check set", json(&check_set())),
        (
            "ctl check remove",
            json(&CheckRemoved {
                database: text("a/b/c"),
                name: text("users"),
            }),
        ),
        ("ctl check history", json(&check_history())),
        ("ctl finding list", json(&finding_list())),
        ("ctl finding show", json(&finding_list().findings[0])),
        (
            "ctl finding explain",
            json(&Page {
                code: text("HF0101"),
                kind: text("double-mount"),
                page: text("# HF0101 double-mount"),
            }),
        ),
        ("ctl incident list", json(&super::incident::list())),
        ("ctl incident show", json(&super::incident::detail())),
        (
            "ctl incident timeline",
            json(&Timeline {
                incident: 3,
                timeline: super::incident::detail().timeline,
            }),
        ),
        (
            "ctl incident open, note, assign, close",
            json(&IncidentChanged::of(
                "noted",
                super::incident::detail().incident,
            )),
        ),
        ("ctl incident run", json(&super::runbook::begun())),
        (
            "ctl incident report",
            json(&IncidentReport {
                incident: 3,
                markdown: text("# Incident 3"),
            }),
        ),
        ("ctl operator list", json(&operator_list())),
        (
            "ctl operator invite",
            json(&Invitation {
                name: text("bob"),
                command: text("ctl login …"),
                expires_at: job.created_at,
            }),
        ),
        (
            "ctl operator remove",
            json(&RemovedOperator {
                name: text("bob"),
                revoked_certificates: 1,
            }),
        ),
        (
            "ctl instance triage, ctl volume triage",
            json(&TriageReport::of(text("web-1/shop-db"), triaged())),
        ),
        ("ctl audit list", json(&audit_list())),
        ("ctl audit verify", json(&audit_verdict())),
        ("ctl context list", json(&context_list())),
        (
            "ctl context use, ctl context remove",
            json(&ContextChanged {
                context: text("prod"),
                change: "current",
            }),
        ),
        (
            "ctl login",
            json(&LoggedIn {
                context: text("prod"),
                controller: text("10.0.0.1:7443"),
                operator: text("alice"),
                role: text("admin"),
                certificate_expires_at: job.created_at,
                file: text("contexts.toml"),
            }),
        ),
        (
            "ctl version",
            json(&Versions {
                ctl: text("0.1.0"),
                controller: None,
                controller_error: String::new(),
            }),
        ),
    ]
}
