//! Every call with every role: who is let in is who the table says.

use holdfast_chassis::identity::Role;
use holdfast_proto::wire::{self, operator_client::OperatorClient};
use tonic::{Code, Status, transport::Channel};

use super::house::House;
use crate::rpc::role::{Call, tests::TABLE};

/// Asks with an empty request; what becomes of it does not matter here.
async fn ask(client: &mut OperatorClient<Channel>, call: Call) -> Result<(), Status> {
    macro_rules! ask {
        ($method:ident, $request:ident) => {
            client.$method(wire::$request::default()).await.map(|_| ())
        };
    }
    match call {
        Call::WhoAmI => ask!(who_am_i, WhoAmIRequest),
        Call::RenewCertificate => ask!(renew_certificate, RenewCertificateRequest),
        Call::GetStatus => ask!(get_status, GetStatusRequest),
        Call::ListHosts => ask!(list_hosts, ListHostsRequest),
        Call::EnrolHost => ask!(enrol_host, EnrolHostRequest),
        Call::RemoveHost => ask!(remove_host, RemoveHostRequest),
        Call::ListContainers => ask!(list_containers, ListContainersRequest),
        Call::ListEngineEvents => ask!(list_engine_events, ListEngineEventsRequest),
        Call::ListVolumes => ask!(list_volumes, ListVolumesRequest),
        Call::MeasureVolume => ask!(measure_volume, MeasureVolumeRequest),
        Call::ListInstances => ask!(list_instances, ListInstancesRequest),
        Call::AddInstance => ask!(add_instance, AddInstanceRequest),
        Call::RemoveInstance => ask!(remove_instance, RemoveInstanceRequest),
        Call::GetInstanceHistory => ask!(get_instance_history, GetInstanceHistoryRequest),
        Call::AcceptInstance => ask!(accept_instance, AcceptInstanceRequest),
        Call::GetVolumeHistory => ask!(get_volume_history, GetVolumeHistoryRequest),
        Call::Triage => ask!(triage, TriageRequest),
        Call::ListGuards => ask!(list_guards, ListGuardsRequest),
        Call::GrantAllowance => ask!(grant_allowance, GrantAllowanceRequest),
        Call::RevokeAllowance => ask!(revoke_allowance, RevokeAllowanceRequest),
        Call::ListGuardRefusals => ask!(list_guard_refusals, ListGuardRefusalsRequest),
        Call::ListFindings => ask!(list_findings, ListFindingsRequest),
        Call::GetFinding => ask!(get_finding, GetFindingRequest),
        Call::ExplainFinding => ask!(explain_finding, ExplainFindingRequest),
        Call::ListIncidents => ask!(list_incidents, ListIncidentsRequest),
        Call::GetIncident => ask!(get_incident, GetIncidentRequest),
        Call::ReportIncident => ask!(report_incident, ReportIncidentRequest),
        Call::OpenIncident => ask!(open_incident, OpenIncidentRequest),
        Call::NoteIncident => ask!(note_incident, NoteIncidentRequest),
        Call::AssignIncident => ask!(assign_incident, AssignIncidentRequest),
        Call::CloseIncident => ask!(close_incident, CloseIncidentRequest),
        Call::GetRunbook => ask!(get_runbook, GetRunbookRequest),
        Call::TakeRunbookStep => ask!(take_runbook_step, TakeRunbookStepRequest),
        Call::CopyDatabase => ask!(copy_database, CopyDatabaseRequest),
        Call::RestoreDatabase => ask!(restore_database, RestoreDatabaseRequest),
        Call::MergeRows => ask!(merge_rows, MergeRowsRequest),
        Call::RunDrill => ask!(run_drill, RunDrillRequest),
        Call::ListDrills => ask!(list_drills, ListDrillsRequest),
        Call::GetDrill => ask!(get_drill, GetDrillRequest),
        Call::ListJobs => ask!(list_jobs, ListJobsRequest),
        Call::GetJob => ask!(get_job, GetJobRequest),
        Call::WatchJob => ask!(watch_job, WatchJobRequest),
        Call::CancelJob => ask!(cancel_job, CancelJobRequest),
        Call::UndoJob => ask!(undo_job, UndoJobRequest),
        Call::SetCheck => ask!(set_check, SetCheckRequest),
        Call::RemoveCheck => ask!(remove_check, RemoveCheckRequest),
        Call::ListChecks => ask!(list_checks, ListChecksRequest),
        Call::GetCheckHistory => ask!(get_check_history, GetCheckHistoryRequest),
        Call::ComparePolicies => ask!(compare_policies, ComparePoliciesRequest),
        Call::ApplyPolicies => ask!(apply_policies, ApplyPoliciesRequest),
        Call::ExportPolicies => ask!(export_policies, ExportPoliciesRequest),
        Call::ListPolicies => ask!(list_policies, ListPoliciesRequest),
        Call::GetCoverage => ask!(get_coverage, GetCoverageRequest),
        Call::GetHostPlan => ask!(get_host_plan, GetHostPlanRequest),
        Call::PreviewRetention => ask!(preview_retention, PreviewRetentionRequest),
        Call::ListObjectives => ask!(list_objectives, ListObjectivesRequest),
        Call::InviteOperator => ask!(invite_operator, InviteOperatorRequest),
        Call::ListOperators => ask!(list_operators, ListOperatorsRequest),
        Call::RemoveOperator => ask!(remove_operator, RemoveOperatorRequest),
        Call::ListAudit => ask!(list_audit, ListAuditRequest),
        Call::VerifyAudit => ask!(verify_audit, VerifyAuditRequest),
        Call::CreateBackups => ask!(create_backups, CreateBackupsRequest),
        Call::ListBackups => ask!(list_backups, ListBackupsRequest),
        Call::GetBackup => ask!(get_backup, GetBackupRequest),
        Call::CompareBackups => ask!(compare_backups, CompareBackupsRequest),
        Call::PinBackup => ask!(pin_backup, PinBackupRequest),
        Call::DeleteBackup => ask!(delete_backup, DeleteBackupRequest),
        Call::RecordDeployment => ask!(record_deployment, RecordDeploymentRequest),
        Call::CompareDeployment => ask!(compare_deployment, CompareDeploymentRequest),
        Call::ListRepositories => ask!(list_repositories, ListRepositoriesRequest),
        Call::CheckRepository => ask!(check_repository, CheckRepositoryRequest),
        Call::GetRepositoryStats => ask!(get_repository_stats, GetRepositoryStatsRequest),
        Call::PruneRepository => ask!(prune_repository, PruneRepositoryRequest),
        Call::ExportRepositoryKey => ask!(export_repository_key, ExportRepositoryKeyRequest),
    }
}

#[tokio::test]
async fn each_call_lets_in_its_role_and_those_above() {
    let house = House::open().await;
    for (name, role) in [
        ("eve", Role::Viewer),
        ("bob", Role::Operator),
        ("alice", Role::Admin),
    ] {
        let mut client = house.operator(name, role).await;
        for (call, least) in TABLE {
            let refused = match ask(&mut client, call).await {
                Err(status) if status.code() == Code::PermissionDenied => true,
                Err(status) if status.code() == Code::Internal => panic!("{call:?}: {status}"),
                Ok(()) | Err(_) => false,
            };
            assert_eq!(refused, role < least, "{call:?} by {role}");
        }
    }
    let line = house
        .audited(|line| line.subject == "Operator/RemoveHost" && line.actor == "operator/bob")
        .await;
    assert_eq!(
        line.detail,
        "bob has the role operator, and this needs the role admin: ask an admin"
    );
}

#[tokio::test]
async fn an_agent_is_no_operator_for_any_call() {
    let house = House::open().await;
    let mut client = OperatorClient::new(house.host("web-1").await);
    for (call, _) in TABLE {
        let status = ask(&mut client, call).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{call:?}");
        assert!(
            status
                .message()
                .starts_with("host/web-1 is not an operator")
        );
    }
    let line = house.refused("host/web-1 is not an operator").await;
    assert_eq!(line.actor, "host/web-1");
}
