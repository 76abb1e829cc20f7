//! The operators' service: every call is let in by role here, and answered in the file of its noun.

mod account;
mod audit;
mod backup;
mod caller;
mod check;
mod container;
mod copy;
mod data_store;
mod deployment;
mod drill;
mod finding;
mod guard;
mod host;
mod incident;
mod instance;
mod job;
mod merge;
mod objective;
mod overview;
mod policy;
mod repository;
mod restore;
mod retention;
mod runbook;
mod services;
mod task;
mod triage;
mod volume;

use std::{future::Future, pin::Pin, sync::Arc};

use futures::Stream;
use holdfast_chassis::tls::PeerInfo;
use holdfast_proto::wire::{self, operator_server::Operator};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use self::caller::Caller;
pub use self::services::Services;
use super::{role::Call, status::RpcError, stopping};

#[derive(Debug, Clone)]
pub struct OperatorService {
    services: Arc<Services>,
    /// Ends every watch when cancelled.
    stop: CancellationToken,
}

type Reply<T> = Result<Response<T>, Status>;
type Updates = Pin<Box<dyn Stream<Item = Result<wire::WatchJobResponse, Status>> + Send>>;

impl OperatorService {
    #[must_use]
    pub fn new(services: Services, stop: CancellationToken) -> Self {
        Self {
            services: Arc::new(services),
            stop,
        }
    }

    /// Lets the caller in by role, and gives the handler what it works with. A caller that goes away ends only
    /// what changes nothing: a change that has begun is done, and has its audit line.
    async fn answer<Q, A, Work>(
        &self,
        call: Call,
        request: Request<Q>,
        handler: impl FnOnce(Arc<Services>, Caller, Q) -> Work + Send,
    ) -> Reply<A>
    where
        A: Send + 'static,
        Work: Future<Output = Result<A, RpcError>> + Send + 'static,
    {
        let peer = PeerInfo::of(&request)?;
        let caller = match peer.operator(call.least_role()) {
            Ok((name, role)) => Caller::new(name, role, peer),
            Err(wrong) => {
                return Err(self.services.registrar.refuse(peer, &call.name(), wrong));
            }
        };
        let work = handler(Arc::clone(&self.services), caller, request.into_inner());
        let working = tokio::spawn(work.in_current_span());
        let done = if call.changes() {
            working.await
        } else {
            AbortOnDropHandle::new(working).await
        };
        let done = done.map_err(|_| Status::internal("the controller is ending"))?;
        Ok(Response::new(done?))
    }
}

#[tonic::async_trait]
impl Operator for OperatorService {
    type WatchJobStream = Updates;

    async fn who_am_i(&self, request: Request<wire::WhoAmIRequest>) -> Reply<wire::WhoAmIResponse> {
        self.answer(Call::WhoAmI, request, account::who_am_i).await
    }

    async fn renew_certificate(
        &self,
        request: Request<wire::RenewCertificateRequest>,
    ) -> Reply<wire::RenewCertificateResponse> {
        self.answer(Call::RenewCertificate, request, account::renew)
            .await
    }

    async fn get_status(
        &self,
        request: Request<wire::GetStatusRequest>,
    ) -> Reply<wire::GetStatusResponse> {
        self.answer(Call::GetStatus, request, overview::get).await
    }

    async fn list_hosts(
        &self,
        request: Request<wire::ListHostsRequest>,
    ) -> Reply<wire::ListHostsResponse> {
        self.answer(Call::ListHosts, request, host::list).await
    }

    async fn enrol_host(
        &self,
        request: Request<wire::EnrolHostRequest>,
    ) -> Reply<wire::EnrolHostResponse> {
        self.answer(Call::EnrolHost, request, host::enrol).await
    }

    async fn remove_host(
        &self,
        request: Request<wire::RemoveHostRequest>,
    ) -> Reply<wire::RemoveHostResponse> {
        self.answer(Call::RemoveHost, request, host::remove).await
    }

    async fn list_containers(
        &self,
        request: Request<wire::ListContainersRequest>,
    ) -> Reply<wire::ListContainersResponse> {
        self.answer(Call::ListContainers, request, container::list)
            .await
    }

    async fn list_engine_events(
        &self,
        request: Request<wire::ListEngineEventsRequest>,
    ) -> Reply<wire::ListEngineEventsResponse> {
        self.answer(Call::ListEngineEvents, request, container::events)
            .await
    }

    async fn list_volumes(
        &self,
        request: Request<wire::ListVolumesRequest>,
    ) -> Reply<wire::ListVolumesResponse> {
        self.answer(Call::ListVolumes, request, volume::list).await
    }

    async fn measure_volume(
        &self,
        request: Request<wire::MeasureVolumeRequest>,
    ) -> Reply<wire::MeasureVolumeResponse> {
        self.answer(Call::MeasureVolume, request, volume::measure)
            .await
    }

    async fn list_instances(
        &self,
        request: Request<wire::ListInstancesRequest>,
    ) -> Reply<wire::ListInstancesResponse> {
        self.answer(Call::ListInstances, request, instance::list)
            .await
    }

    async fn add_instance(
        &self,
        request: Request<wire::AddInstanceRequest>,
    ) -> Reply<wire::AddInstanceResponse> {
        self.answer(Call::AddInstance, request, instance::add).await
    }

    async fn remove_instance(
        &self,
        request: Request<wire::RemoveInstanceRequest>,
    ) -> Reply<wire::RemoveInstanceResponse> {
        self.answer(Call::RemoveInstance, request, instance::remove)
            .await
    }

    async fn list_guards(
        &self,
        request: Request<wire::ListGuardsRequest>,
    ) -> Reply<wire::ListGuardsResponse> {
        self.answer(Call::ListGuards, request, guard::list).await
    }

    async fn grant_allowance(
        &self,
        request: Request<wire::GrantAllowanceRequest>,
    ) -> Reply<wire::GrantAllowanceResponse> {
        self.answer(Call::GrantAllowance, request, guard::grant)
            .await
    }

    async fn revoke_allowance(
        &self,
        request: Request<wire::RevokeAllowanceRequest>,
    ) -> Reply<wire::RevokeAllowanceResponse> {
        self.answer(Call::RevokeAllowance, request, guard::revoke)
            .await
    }

    async fn list_guard_refusals(
        &self,
        request: Request<wire::ListGuardRefusalsRequest>,
    ) -> Reply<wire::ListGuardRefusalsResponse> {
        self.answer(Call::ListGuardRefusals, request, guard::refusals)
            .await
    }

    async fn triage(&self, request: Request<wire::TriageRequest>) -> Reply<wire::TriageResponse> {
        self.answer(Call::Triage, request, triage::ask_for).await
    }

    async fn list_findings(
        &self,
        request: Request<wire::ListFindingsRequest>,
    ) -> Reply<wire::ListFindingsResponse> {
        self.answer(Call::ListFindings, request, finding::list)
            .await
    }

    async fn get_finding(
        &self,
        request: Request<wire::GetFindingRequest>,
    ) -> Reply<wire::GetFindingResponse> {
        self.answer(Call::GetFinding, request, finding::get).await
    }

    async fn explain_finding(
        &self,
        request: Request<wire::ExplainFindingRequest>,
    ) -> Reply<wire::ExplainFindingResponse> {
        self.answer(Call::ExplainFinding, request, finding::explain)
            .await
    }

    async fn list_incidents(
        &self,
        request: Request<wire::ListIncidentsRequest>,
    ) -> Reply<wire::ListIncidentsResponse> {
        self.answer(Call::ListIncidents, request, incident::list)
            .await
    }

    async fn get_incident(
        &self,
        request: Request<wire::GetIncidentRequest>,
    ) -> Reply<wire::GetIncidentResponse> {
        self.answer(Call::GetIncident, request, incident::get).await
    }

    async fn report_incident(
        &self,
        request: Request<wire::ReportIncidentRequest>,
    ) -> Reply<wire::ReportIncidentResponse> {
        self.answer(Call::ReportIncident, request, incident::report)
            .await
    }

    async fn open_incident(
        &self,
        request: Request<wire::OpenIncidentRequest>,
    ) -> Reply<wire::OpenIncidentResponse> {
        self.answer(Call::OpenIncident, request, incident::open)
            .await
    }

    async fn note_incident(
        &self,
        request: Request<wire::NoteIncidentRequest>,
    ) -> Reply<wire::NoteIncidentResponse> {
        self.answer(Call::NoteIncident, request, incident::note)
            .await
    }

    async fn assign_incident(
        &self,
        request: Request<wire::AssignIncidentRequest>,
    ) -> Reply<wire::AssignIncidentResponse> {
        self.answer(Call::AssignIncident, request, incident::assign)
            .await
    }

    async fn close_incident(
        &self,
        request: Request<wire::CloseIncidentRequest>,
    ) -> Reply<wire::CloseIncidentResponse> {
        self.answer(Call::CloseIncident, request, incident::close)
            .await
    }

    async fn get_runbook(
        &self,
        request: Request<wire::GetRunbookRequest>,
    ) -> Reply<wire::GetRunbookResponse> {
        self.answer(Call::GetRunbook, request, runbook::get).await
    }

    async fn take_runbook_step(
        &self,
        request: Request<wire::TakeRunbookStepRequest>,
    ) -> Reply<wire::TakeRunbookStepResponse> {
        self.answer(Call::TakeRunbookStep, request, runbook::take)
            .await
    }

    async fn get_instance_history(
        &self,
        request: Request<wire::GetInstanceHistoryRequest>,
    ) -> Reply<wire::GetInstanceHistoryResponse> {
        self.answer(Call::GetInstanceHistory, request, data_store::of_instance)
            .await
    }

    async fn accept_instance(
        &self,
        request: Request<wire::AcceptInstanceRequest>,
    ) -> Reply<wire::AcceptInstanceResponse> {
        self.answer(Call::AcceptInstance, request, data_store::accept_instance)
            .await
    }

    async fn get_volume_history(
        &self,
        request: Request<wire::GetVolumeHistoryRequest>,
    ) -> Reply<wire::GetVolumeHistoryResponse> {
        self.answer(Call::GetVolumeHistory, request, data_store::of_volume)
            .await
    }

    async fn copy_database(
        &self,
        request: Request<wire::CopyDatabaseRequest>,
    ) -> Reply<wire::CopyDatabaseResponse> {
        self.answer(Call::CopyDatabase, request, copy::submit).await
    }

    async fn restore_database(
        &self,
        request: Request<wire::RestoreDatabaseRequest>,
    ) -> Reply<wire::RestoreDatabaseResponse> {
        self.answer(Call::RestoreDatabase, request, restore::submit)
            .await
    }

    async fn merge_rows(
        &self,
        request: Request<wire::MergeRowsRequest>,
    ) -> Reply<wire::MergeRowsResponse> {
        self.answer(Call::MergeRows, request, merge::submit).await
    }

    async fn list_jobs(
        &self,
        request: Request<wire::ListJobsRequest>,
    ) -> Reply<wire::ListJobsResponse> {
        self.answer(Call::ListJobs, request, job::list).await
    }

    async fn get_job(&self, request: Request<wire::GetJobRequest>) -> Reply<wire::GetJobResponse> {
        self.answer(Call::GetJob, request, job::get).await
    }

    async fn watch_job(
        &self,
        request: Request<wire::WatchJobRequest>,
    ) -> Reply<Self::WatchJobStream> {
        let watched = self.answer(Call::WatchJob, request, job::watch).await?;
        let stop = self.stop.clone();
        Ok(watched.map(|updates| stopping::until_stopped(updates, stop)))
    }

    async fn cancel_job(
        &self,
        request: Request<wire::CancelJobRequest>,
    ) -> Reply<wire::CancelJobResponse> {
        self.answer(Call::CancelJob, request, job::cancel).await
    }

    async fn undo_job(
        &self,
        request: Request<wire::UndoJobRequest>,
    ) -> Reply<wire::UndoJobResponse> {
        self.answer(Call::UndoJob, request, job::undo).await
    }

    async fn set_check(
        &self,
        request: Request<wire::SetCheckRequest>,
    ) -> Reply<wire::SetCheckResponse> {
        self.answer(Call::SetCheck, request, check::set).await
    }

    async fn remove_check(
        &self,
        request: Request<wire::RemoveCheckRequest>,
    ) -> Reply<wire::RemoveCheckResponse> {
        self.answer(Call::RemoveCheck, request, check::remove).await
    }

    async fn list_checks(
        &self,
        request: Request<wire::ListChecksRequest>,
    ) -> Reply<wire::ListChecksResponse> {
        self.answer(Call::ListChecks, request, check::list).await
    }

    async fn get_check_history(
        &self,
        request: Request<wire::GetCheckHistoryRequest>,
    ) -> Reply<wire::GetCheckHistoryResponse> {
        self.answer(Call::GetCheckHistory, request, check::history)
            .await
    }

    async fn compare_policies(
        &self,
        request: Request<wire::ComparePoliciesRequest>,
    ) -> Reply<wire::ComparePoliciesResponse> {
        self.answer(Call::ComparePolicies, request, policy::compare)
            .await
    }

    async fn apply_policies(
        &self,
        request: Request<wire::ApplyPoliciesRequest>,
    ) -> Reply<wire::ApplyPoliciesResponse> {
        self.answer(Call::ApplyPolicies, request, policy::apply)
            .await
    }

    async fn export_policies(
        &self,
        request: Request<wire::ExportPoliciesRequest>,
    ) -> Reply<wire::ExportPoliciesResponse> {
        self.answer(Call::ExportPolicies, request, policy::export)
            .await
    }

    async fn list_policies(
        &self,
        request: Request<wire::ListPoliciesRequest>,
    ) -> Reply<wire::ListPoliciesResponse> {
        self.answer(Call::ListPolicies, request, policy::list).await
    }

    async fn get_coverage(
        &self,
        request: Request<wire::GetCoverageRequest>,
    ) -> Reply<wire::GetCoverageResponse> {
        self.answer(Call::GetCoverage, request, policy::coverage)
            .await
    }

    async fn get_host_plan(
        &self,
        request: Request<wire::GetHostPlanRequest>,
    ) -> Reply<wire::GetHostPlanResponse> {
        self.answer(Call::GetHostPlan, request, policy::of_host)
            .await
    }

    async fn preview_retention(
        &self,
        request: Request<wire::PreviewRetentionRequest>,
    ) -> Reply<wire::PreviewRetentionResponse> {
        self.answer(Call::PreviewRetention, request, retention::preview)
            .await
    }

    async fn list_objectives(
        &self,
        request: Request<wire::ListObjectivesRequest>,
    ) -> Reply<wire::ListObjectivesResponse> {
        self.answer(Call::ListObjectives, request, objective::list)
            .await
    }

    async fn invite_operator(
        &self,
        request: Request<wire::InviteOperatorRequest>,
    ) -> Reply<wire::InviteOperatorResponse> {
        self.answer(Call::InviteOperator, request, account::invite)
            .await
    }

    async fn list_operators(
        &self,
        request: Request<wire::ListOperatorsRequest>,
    ) -> Reply<wire::ListOperatorsResponse> {
        self.answer(Call::ListOperators, request, account::list)
            .await
    }

    async fn remove_operator(
        &self,
        request: Request<wire::RemoveOperatorRequest>,
    ) -> Reply<wire::RemoveOperatorResponse> {
        self.answer(Call::RemoveOperator, request, account::remove)
            .await
    }

    async fn list_audit(
        &self,
        request: Request<wire::ListAuditRequest>,
    ) -> Reply<wire::ListAuditResponse> {
        self.answer(Call::ListAudit, request, audit::list).await
    }

    async fn verify_audit(
        &self,
        request: Request<wire::VerifyAuditRequest>,
    ) -> Reply<wire::VerifyAuditResponse> {
        self.answer(Call::VerifyAudit, request, audit::verify).await
    }

    async fn create_backups(
        &self,
        request: Request<wire::CreateBackupsRequest>,
    ) -> Reply<wire::CreateBackupsResponse> {
        self.answer(Call::CreateBackups, request, backup::create::create)
            .await
    }

    async fn list_backups(
        &self,
        request: Request<wire::ListBackupsRequest>,
    ) -> Reply<wire::ListBackupsResponse> {
        self.answer(Call::ListBackups, request, backup::list).await
    }

    async fn get_backup(
        &self,
        request: Request<wire::GetBackupRequest>,
    ) -> Reply<wire::GetBackupResponse> {
        self.answer(Call::GetBackup, request, backup::get).await
    }

    async fn compare_backups(
        &self,
        request: Request<wire::CompareBackupsRequest>,
    ) -> Reply<wire::CompareBackupsResponse> {
        self.answer(Call::CompareBackups, request, backup::compare)
            .await
    }

    async fn pin_backup(
        &self,
        request: Request<wire::PinBackupRequest>,
    ) -> Reply<wire::PinBackupResponse> {
        self.answer(Call::PinBackup, request, backup::pin).await
    }

    async fn delete_backup(
        &self,
        request: Request<wire::DeleteBackupRequest>,
    ) -> Reply<wire::DeleteBackupResponse> {
        self.answer(Call::DeleteBackup, request, backup::delete)
            .await
    }

    async fn record_deployment(
        &self,
        request: Request<wire::RecordDeploymentRequest>,
    ) -> Reply<wire::RecordDeploymentResponse> {
        self.answer(Call::RecordDeployment, request, deployment::record)
            .await
    }

    async fn compare_deployment(
        &self,
        request: Request<wire::CompareDeploymentRequest>,
    ) -> Reply<wire::CompareDeploymentResponse> {
        self.answer(Call::CompareDeployment, request, deployment::compare)
            .await
    }

    async fn list_repositories(
        &self,
        request: Request<wire::ListRepositoriesRequest>,
    ) -> Reply<wire::ListRepositoriesResponse> {
        self.answer(Call::ListRepositories, request, repository::list)
            .await
    }

    async fn check_repository(
        &self,
        request: Request<wire::CheckRepositoryRequest>,
    ) -> Reply<wire::CheckRepositoryResponse> {
        self.answer(Call::CheckRepository, request, repository::check)
            .await
    }

    async fn get_repository_stats(
        &self,
        request: Request<wire::GetRepositoryStatsRequest>,
    ) -> Reply<wire::GetRepositoryStatsResponse> {
        self.answer(Call::GetRepositoryStats, request, repository::stats)
            .await
    }

    async fn prune_repository(
        &self,
        request: Request<wire::PruneRepositoryRequest>,
    ) -> Reply<wire::PruneRepositoryResponse> {
        self.answer(Call::PruneRepository, request, repository::prune)
            .await
    }

    async fn export_repository_key(
        &self,
        request: Request<wire::ExportRepositoryKeyRequest>,
    ) -> Reply<wire::ExportRepositoryKeyResponse> {
        self.answer(Call::ExportRepositoryKey, request, repository::export_key)
            .await
    }

    async fn run_drill(
        &self,
        request: Request<wire::RunDrillRequest>,
    ) -> Reply<wire::RunDrillResponse> {
        self.answer(Call::RunDrill, request, drill::submit).await
    }

    async fn list_drills(
        &self,
        request: Request<wire::ListDrillsRequest>,
    ) -> Reply<wire::ListDrillsResponse> {
        self.answer(Call::ListDrills, request, drill::list).await
    }

    async fn get_drill(
        &self,
        request: Request<wire::GetDrillRequest>,
    ) -> Reply<wire::GetDrillResponse> {
        self.answer(Call::GetDrill, request, drill::get).await
    }
}
