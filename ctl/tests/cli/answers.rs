//! A small fleet on the wire: web-1 with a database server, web-2 silent.

use std::time::{Duration, SystemTime};

use holdfast_proto::{
    time::{to_duration, to_timestamp},
    wire::{self, watch_job_response::Update},
};

use crate::scripted::Answers;

pub const SHOP: &str = "web-1/shop-db/shop";
pub const COPY: &str = "web-2/shop-db/shop_test";
const MIB: u64 = 1024 * 1024;

pub fn ago(seconds: u64) -> prost_types::Timestamp {
    to_timestamp((SystemTime::now() - Duration::from_secs(seconds)).into())
}

pub fn ahead(seconds: u64) -> prost_types::Timestamp {
    to_timestamp((SystemTime::now() + Duration::from_secs(seconds)).into())
}

fn text(of: &str) -> String {
    of.to_owned()
}

/// Everything that lists.
pub fn fleet(answers: &mut Answers) {
    let hosts = vec![host("web-1", true), host("web-2", false)];
    let instances = vec![instance()];
    answers.who_am_i = Some(wire::WhoAmIResponse {
        name: text("alice"),
        role: wire::OperatorRole::Admin.into(),
        certificate_expires_at: Some(ahead(86_400)),
        controller_version: text("0.1.0-test"),
    });
    answers.get_status = Some(wire::GetStatusResponse {
        hosts: hosts.clone(),
        instances: instances.clone(),
        findings: vec![finding()],
        jobs: vec![job(wire::JobState::Running)],
        containers: 1,
        volumes: 1,
        databases: 1,
        unprotected: 0,
        unprotected_by_choice: 0,
        volumes_without_policy: 1,
        now: Some(ago(0)),
    });
    answers.list_hosts = Some(wire::ListHostsResponse { hosts });
    answers.list_containers = Some(wire::ListContainersResponse {
        containers: vec![container()],
    });
    answers.list_engine_events = Some(wire::ListEngineEventsResponse {
        events: vec![wire::HostEvent {
            host: text("web-1"),
            event: Some(wire::EngineEvent {
                at: Some(ago(40)),
                kind: text("container"),
                action: text("die"),
                subject: text("shop-db"),
            }),
        }],
    });
    answers.list_volumes = Some(wire::ListVolumesResponse {
        volumes: vec![volume()],
    });
    answers.list_instances = Some(wire::ListInstancesResponse { instances });
    answers.get_finding = Some(wire::GetFindingResponse {
        finding: Some(finding()),
    });
    answers.explain_finding = Some(wire::ExplainFindingResponse {
        code: text("HF0401"),
        kind: text("host-silent"),
        page: text("# HF0401 host-silent\n"),
    });
    answers.list_guard_refusals = Some(wire::ListGuardRefusalsResponse {
        refusals: vec![wire::HostRefusal {
            host: text("web-1"),
            refusal: Some(wire::GuardRefusal {
                at: Some(ago(540)),
                rule: text("loss"),
                place: text("shop_db"),
                call: text("DELETE volumes/shop_db"),
                sentence: text("volume shop_db holds database shop"),
            }),
        }],
    });
    answers.list_incidents = Some(wire::ListIncidentsResponse {
        incidents: vec![incident()],
    });
    answers.get_incident = Some(wire::GetIncidentResponse {
        incident: Some(incident()),
        findings: vec![finding()],
        timeline: vec![wire::IncidentLine {
            at: Some(ago(540)),
            kind: text("finding"),
            text: text("critical host-silent: no sign of life"),
            reference: text("finding 3"),
            ..wire::IncidentLine::default()
        }],
    });
    answers.report_incident = Some(wire::ReportIncidentResponse {
        markdown: text("# Incident 5: no sign of life\n"),
    });
    answers.open_incident = Some(wire::OpenIncidentResponse {
        incident: Some(incident()),
    });
    answers.note_incident = Some(wire::NoteIncidentResponse {
        incident: Some(incident()),
    });
    answers.assign_incident = Some(wire::AssignIncidentResponse {
        incident: Some(wire::Incident {
            assigned_to: text("ann"),
            ..incident()
        }),
    });
    answers.close_incident = Some(wire::CloseIncidentResponse {
        incident: Some(incident()),
    });
    answers.get_instance_history = Some(wire::GetInstanceHistoryResponse {
        events: vec![swapped()],
    });
    answers.get_volume_history = Some(wire::GetVolumeHistoryResponse {
        events: vec![swapped()],
    });
    answers.accept_instance = Some(wire::AcceptInstanceResponse {
        event: Some(swapped()),
    });
    answers.list_findings = Some(wire::ListFindingsResponse {
        findings: vec![finding()],
    });
    answers.list_jobs = Some(wire::ListJobsResponse {
        jobs: vec![job(wire::JobState::Running)],
    });
    answers.get_job = Some(ended(wire::JobState::Succeeded));
    answers.list_checks = Some(wire::ListChecksResponse {
        checks: vec![check(run(wire::CheckVerdict::Ok, Some(5000)))],
    });
    answers.list_operators = Some(wire::ListOperatorsResponse {
        operators: vec![wire::OperatorAccount {
            name: text("alice"),
            role: wire::OperatorRole::Admin.into(),
            certificate_expires_at: Some(ahead(86_400)),
        }],
    });
    answers.list_audit = Some(wire::ListAuditResponse {
        entries: vec![wire::AuditEntry {
            sequence: 7,
            at: Some(ago(60)),
            actor: text("operator/alice"),
            action: text("host.enrol"),
            subject: text("web-2"),
            outcome: text("ok"),
            detail: String::new(),
            hash: "0".repeat(64),
        }],
    });
    answers.verify_audit = Some(wire::VerifyAuditResponse {
        entries: 7,
        first_broken_sequence: None,
        problem: String::new(),
    });
    let repository = wire::Repository {
        host: text("web-1"),
        location: text("/var/lib/holdfast/repositories/web-1"),
        created_at: Some(ago(86_400)),
        ready: true,
    };
    answers.list_repositories = Some(wire::ListRepositoriesResponse {
        repositories: vec![repository.clone()],
    });
    answers.check_repository = Some(wire::CheckRepositoryResponse::default());
    answers.get_repository_stats = Some(wire::GetRepositoryStatsResponse {
        location: repository.location.clone(),
        stored_bytes: 100 * MIB,
        objects: 12,
        series: vec![wire::RepositorySeries {
            label: text("web-1/shop-db/shop"),
            snapshots: 3,
            logical_bytes: 600 * MIB,
            added_bytes: 99 * MIB,
        }],
    });
    answers.export_repository_key = Some(wire::ExportRepositoryKeyResponse {
        recovery_password: text("tell-nobody"),
        repositories: vec![repository],
    });
}

pub fn host(name: &str, connected: bool) -> wire::Host {
    wire::Host {
        name: text(name),
        connected,
        enrolled_at: Some(ago(86_400)),
        last_seen_at: Some(ago(if connected { 2 } else { 540 })),
        agent_version: text("0.1.0"),
        operating_system: text("Debian GNU/Linux 12"),
        container_engine: text("Docker 28.5.2"),
        engine_error: String::new(),
        cpus: 2,
        memory_bytes: 8192 * MIB,
        agent_rss_bytes: 19 * MIB,
        certificate_expires_at: Some(ahead(86_400)),
        peer_addresses: vec![text("10.77.0.1:7444")],
    }
}

fn container() -> wire::HostContainer {
    wire::HostContainer {
        host: text("web-1"),
        container: Some(wire::Container {
            id: "ab".repeat(32),
            name: text("shop-db"),
            image: text("postgres:15"),
            state: wire::ContainerState::Running.into(),
            health: wire::ContainerHealth::None.into(),
            mounts: vec![wire::Mount {
                kind: wire::MountKind::Volume.into(),
                source: text("shop_data"),
                destination: text("/var/lib/postgresql/data"),
                read_only: false,
                host_path: String::new(),
            }],
            started_at: Some(ago(7200)),
            ..wire::Container::default()
        }),
    }
}

fn volume() -> wire::HostVolume {
    wire::HostVolume {
        host: text("web-1"),
        volume: Some(wire::Volume {
            name: text("shop_data"),
            driver: text("local"),
            mountpoint: text("/var/lib/docker/volumes/shop_data/_data"),
            used_by: vec![text("shop-db")],
            ..wire::Volume::default()
        }),
        care: wire::VolumeCare::Nobody.into(),
        policy: String::new(),
        holds: vec![],
        last_backup_at: None,
    }
}

pub fn instance() -> wire::HostInstance {
    let shop = wire::Database {
        name: text("shop"),
        owner: text("shop"),
        size_bytes: 340 * MIB,
        encoding: text("UTF8"),
        collation: text("C.UTF-8"),
        allows_connections: true,
        is_template: false,
    };
    wire::HostInstance {
        host: text("web-1"),
        reported_at: Some(ago(2)),
        instance: Some(wire::Instance {
            name: text("shop-db"),
            engine: wire::Engine::Postgres.into(),
            container: text("shop-db"),
            reached_by: text("socket /run/postgresql"),
            down_reason: String::new(),
            registered: false,
            data: None,
            health: Some(wire::InstanceHealth {
                version: text("15.20 (Debian 15.20-1)"),
                version_num: 150_020,
                connections_used: 7,
                connections_max: 100,
                archiver: Some(wire::Archiver::default()),
                databases: vec![shop],
                ..wire::InstanceHealth::default()
            }),
        }),
    }
}

pub fn swapped() -> wire::DataStoreEvent {
    wire::DataStoreEvent {
        at: Some(ago(60)),
        host: text("web-1"),
        service: text("shop/db"),
        instance: text("shop-db"),
        kind: wire::DataStoreEventKind::Swapped.into(),
        changes: vec![text("volume shop_data → shop2_data")],
        store: Some(wire::DataStore {
            engine: wire::Engine::Postgres.into(),
            volume: text("shop2_data"),
            ..wire::DataStore::default()
        }),
        ..wire::DataStoreEvent::default()
    }
}

pub fn finding() -> wire::Finding {
    wire::Finding {
        id: 3,
        code: text("HF0401"),
        kind: text("host-silent"),
        severity: wire::Severity::Critical.into(),
        subject: text("web-2"),
        message: text("no sign of life"),
        evidence: vec![wire::Evidence {
            what: text("last heard of"),
            value: text("yesterday"),
        }],
        advice: text("systemctl status holdfast-agent"),
        opened_at: Some(ago(540)),
        closed_at: None,
        incident: 5,
    }
}

pub fn incident() -> wire::Incident {
    wire::Incident {
        id: 5,
        state: wire::IncidentState::Open.into(),
        code: text("HF0401"),
        kind: text("host-silent"),
        severity: wire::Severity::Critical.into(),
        subject: text("web-2"),
        title: text("no sign of life"),
        advice: text("systemctl status holdfast-agent"),
        opened_at: Some(ago(540)),
        ..wire::Incident::default()
    }
}

pub fn job(state: wire::JobState) -> wire::Job {
    let ended = !matches!(
        state,
        wire::JobState::Waiting | wire::JobState::Running | wire::JobState::Undoing
    );
    wire::Job {
        id: 42,
        kind: text("copy-database"),
        state: state.into(),
        title: format!("{SHOP} → {COPY}"),
        requested_by: text("alice"),
        created_at: Some(ago(20)),
        started_at: Some(ago(15)),
        ended_at: ended.then(|| ago(3)),
        step: text("transfer"),
        step_number: 3,
        step_count: 6,
        reason: String::new(),
        advice: String::new(),
        trace_id: "4b".repeat(16),
        undo_until: (state == wire::JobState::Succeeded).then(|| ahead(86_400)),
    }
}

pub fn preflight(verdict: wire::PreflightVerdict) -> Vec<wire::PreflightLine> {
    vec![
        wire::PreflightLine {
            question: text("source is readable"),
            verdict: wire::PreflightVerdict::Passed.into(),
            detail: text("15.20, 340 MiB"),
            advice: String::new(),
        },
        wire::PreflightLine {
            question: text("target name is free"),
            verdict: verdict.into(),
            detail: text("shop_test"),
            advice: if verdict == wire::PreflightVerdict::Failed {
                text("give --replace")
            } else {
                String::new()
            },
        },
    ]
}

pub fn proof(green: bool) -> wire::CopyProof {
    let relation = |name: &str, rows| wire::ProvenRelation {
        schema: text("public"),
        name: text(name),
        source_rows: rows,
        target_rows: if green { rows } else { rows - 1 },
        source_fingerprint: "1".repeat(32),
        target_fingerprint: if green {
            "1".repeat(32)
        } else {
            "2".repeat(32)
        },
        equal: green,
    };
    wire::CopyProof {
        level: wire::ProofLevel::Full.into(),
        relations: vec![relation("users", 5000), relation("orders", 10_000)],
        checks: vec![wire::ProvenCheck {
            name: text("users"),
            verdict: wire::CheckVerdict::Ok.into(),
            outcome: run(wire::CheckVerdict::Ok, Some(5000)).outcome,
            reasons: Vec::new(),
        }],
        path: wire::DataPath::Direct.into(),
        resent_parts: 0,
        rows: 15_000,
        bytes: 340 * MIB,
        green,
        snapshot_at: Some(ago(10)),
        lsn: text("0/1A2B3C4D"),
        created_roles: vec![text("shop")],
        notices: Vec::new(),
    }
}

/// A job that ended, with all its evidence.
pub fn ended(state: wire::JobState) -> wire::GetJobResponse {
    wire::GetJobResponse {
        job: Some(job(state)),
        events: vec![event(1, "created", ""), event(2, "step-done", "preflight")],
        report: Some(wire::JobReport {
            preflight: preflight(wire::PreflightVerdict::Passed),
            proof: Some(proof(true)),
            ..wire::JobReport::default()
        }),
    }
}

pub fn event(sequence: u64, kind: &str, step: &str) -> wire::JobEvent {
    wire::JobEvent {
        sequence,
        at: Some(ago(10)),
        kind: text(kind),
        step: text(step),
        attempt: 1,
        message: String::new(),
    }
}

pub fn progress(done: u64) -> Update {
    Update::Progress(wire::JobProgress {
        step: text("transfer"),
        host: text("web-2"),
        progress: Some(wire::TaskProgress {
            phase: wire::TaskPhase::Data.into(),
            bytes_done: done * MIB,
            bytes_total: 340 * MIB,
            rows_done: done * 1000,
            verified_rows: 4000,
            current: text("public.orders"),
            path: wire::DataPath::Direct.into(),
            ..wire::TaskProgress::default()
        }),
        bytes_per_second: 85 * MIB,
        remaining: Some(to_duration(Duration::from_secs(3))),
    })
}

pub fn run(verdict: wire::CheckVerdict, count: Option<i64>) -> wire::CheckRun {
    wire::CheckRun {
        outcome: Some(wire::CheckOutcome {
            at: Some(ago(5)),
            count,
            newest: None,
            error: if count.is_none() {
                text("connection refused")
            } else {
                String::new()
            },
        }),
        verdict: verdict.into(),
        reasons: match verdict {
            wire::CheckVerdict::Suspicious => vec![text("12 is fewer than 100")],
            _ => Vec::new(),
        },
    }
}

pub fn check(last: wire::CheckRun) -> wire::Check {
    wire::Check {
        id: 1,
        database: Some(wire::DatabaseName {
            host: text("web-1"),
            instance: text("shop-db"),
            database: text("shop"),
        }),
        name: text("users"),
        count_sql: text("select count(*) from users"),
        newest_sql: String::new(),
        limits: Some(wire::CheckLimits {
            min: Some(100),
            ..wire::CheckLimits::default()
        }),
        every: Some(to_duration(Duration::from_secs(60))),
        timeout: Some(to_duration(Duration::from_secs(10))),
        last: Some(last),
    }
}
