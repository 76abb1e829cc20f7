//! The Operator service with an answer to each call that a test puts there, and a record of what it heard.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex},
};

use chrono::{TimeDelta, Utc};
use futures::{Stream, StreamExt as _, stream};
use holdfast_chassis::{
    identity::{Authority, Validity},
    tls::PeerInfo,
};
use holdfast_proto::wire::{
    self, WatchJobRequest, WatchJobResponse, operator_server::Operator, watch_job_response::Update,
};
use tonic::{Request, Response, Status};

/// What one call of WatchJob tells.
#[derive(Debug, Clone)]
pub struct Telling {
    pub updates: Vec<Update>,
    pub then: Then,
}

#[derive(Debug, Clone)]
pub enum Then {
    End,
    Break(Status),
    /// The stream stays open and silent.
    Hang,
}

/// One request as it came in.
#[derive(Debug, Clone)]
pub struct Heard {
    pub method: &'static str,
    pub request: String,
    pub traceparent: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Scripted {
    authority: Arc<Authority>,
    pub answers: Arc<Mutex<Answers>>,
    pub heard: Arc<Mutex<Vec<Heard>>>,
}

impl Scripted {
    pub fn new(authority: Arc<Authority>) -> Self {
        Self {
            authority,
            answers: Arc::default(),
            heard: Arc::default(),
        }
    }

    /// A certificate for whoever asks, on the key that was sent.
    fn renew(&self, request: &Request<wire::RenewCertificateRequest>) -> Result<String, Status> {
        let identity = PeerInfo::of(request)?.identity.clone().unwrap();
        let validity = Validity::starting(Utc::now(), TimeDelta::days(30));
        let issued = self
            .authority
            .issue(&request.get_ref().csr, &identity, validity);
        let (_, chain) = issued.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(chain)
    }

    /// Every request of a method.
    pub fn requests(&self, method: &str) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard
            .iter()
            .filter(|one| one.method == method)
            .map(|one| one.request.clone())
            .collect()
    }

    /// Notes the request; then what a test wants instead of the answer happens.
    async fn hear<T: std::fmt::Debug>(
        &self,
        method: &'static str,
        request: &Request<T>,
    ) -> Result<(), Status> {
        let peer = PeerInfo::of(request)?;
        if peer.identity.is_none() {
            return Err(Status::unauthenticated("no certificate was shown"));
        }
        let traceparent = request.metadata().get("traceparent");
        self.heard.lock().unwrap().push(Heard {
            method,
            request: format!("{:?}", request.get_ref()),
            traceparent: traceparent.map(|value| value.to_str().unwrap().to_owned()),
        });
        let failure = self.answers.lock().unwrap().failures.get(method).cloned();
        match failure {
            Some(Failure::Status(status)) => Err(*status),
            Some(Failure::Silence) => std::future::pending().await,
            None => Ok(()),
        }
    }
}

#[derive(Debug, Clone)]
pub enum Failure {
    Status(Box<Status>),
    /// Never answers.
    Silence,
}

macro_rules! operator_service {
    ($($method:ident: $request:ident => $response:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        pub struct Answers {
            $(pub $method: Option<wire::$response>,)*
            /// One for each call, the last one again and again.
            pub watch_job: Vec<Telling>,
            /// Instead of an honest one.
            pub renewed: Option<String>,
            /// By the name of the method.
            pub failures: HashMap<&'static str, Failure>,
        }

        #[tonic::async_trait]
        impl Operator for Scripted {
            $(
                async fn $method(
                    &self,
                    request: Request<wire::$request>,
                ) -> Result<Response<wire::$response>, Status> {
                    self.hear(stringify!($method), &request).await?;
                    let answer = self.answers.lock().unwrap().$method.clone();
                    answer
                        .map(Response::new)
                        .ok_or_else(|| Status::unimplemented(concat!(stringify!($method), " is not scripted")))
                }
            )*

            async fn renew_certificate(
                &self,
                request: Request<wire::RenewCertificateRequest>,
            ) -> Result<Response<wire::RenewCertificateResponse>, Status> {
                self.hear("renew_certificate", &request).await?;
                let scripted = self.answers.lock().unwrap().renewed.clone();
                let certificate_chain = match scripted {
                    Some(chain) => chain,
                    None => self.renew(&request)?,
                };
                Ok(Response::new(wire::RenewCertificateResponse { certificate_chain }))
            }

            type WatchJobStream = Pin<Box<dyn Stream<Item = Result<WatchJobResponse, Status>> + Send>>;

            async fn watch_job(
                &self,
                request: Request<WatchJobRequest>,
            ) -> Result<Response<Self::WatchJobStream>, Status> {
                self.hear("watch_job", &request).await?;
                let call = self.requests("watch_job").len() - 1;
                let tellings = self.answers.lock().unwrap().watch_job.clone();
                let telling = tellings.get(call).or(tellings.last()).cloned();
                let telling = telling.ok_or_else(|| Status::not_found("there is no such job"))?;
                let updates = telling.updates.into_iter().map(|update| {
                    Ok(WatchJobResponse {
                        update: Some(update),
                    })
                });
                let rest: Self::WatchJobStream = match telling.then {
                    Then::End => Box::pin(stream::empty()),
                    Then::Break(status) => Box::pin(stream::iter([Err(status)])),
                    Then::Hang => Box::pin(stream::pending()),
                };
                Ok(Response::new(Box::pin(stream::iter(updates).chain(rest))))
            }
        }
    };
}

operator_service! {
    who_am_i: WhoAmIRequest => WhoAmIResponse,
    get_status: GetStatusRequest => GetStatusResponse,
    list_hosts: ListHostsRequest => ListHostsResponse,
    enrol_host: EnrolHostRequest => EnrolHostResponse,
    remove_host: RemoveHostRequest => RemoveHostResponse,
    list_containers: ListContainersRequest => ListContainersResponse,
    list_engine_events: ListEngineEventsRequest => ListEngineEventsResponse,
    list_volumes: ListVolumesRequest => ListVolumesResponse,
    measure_volume: MeasureVolumeRequest => MeasureVolumeResponse,
    list_instances: ListInstancesRequest => ListInstancesResponse,
    add_instance: AddInstanceRequest => AddInstanceResponse,
    remove_instance: RemoveInstanceRequest => RemoveInstanceResponse,
    get_instance_history: GetInstanceHistoryRequest => GetInstanceHistoryResponse,
    accept_instance: AcceptInstanceRequest => AcceptInstanceResponse,
    get_volume_history: GetVolumeHistoryRequest => GetVolumeHistoryResponse,
    triage: TriageRequest => TriageResponse,
    list_guards: ListGuardsRequest => ListGuardsResponse,
    grant_allowance: GrantAllowanceRequest => GrantAllowanceResponse,
    revoke_allowance: RevokeAllowanceRequest => RevokeAllowanceResponse,
    list_guard_refusals: ListGuardRefusalsRequest => ListGuardRefusalsResponse,
    list_findings: ListFindingsRequest => ListFindingsResponse,
    get_finding: GetFindingRequest => GetFindingResponse,
    explain_finding: ExplainFindingRequest => ExplainFindingResponse,
    list_incidents: ListIncidentsRequest => ListIncidentsResponse,
    get_incident: GetIncidentRequest => GetIncidentResponse,
    report_incident: ReportIncidentRequest => ReportIncidentResponse,
    open_incident: OpenIncidentRequest => OpenIncidentResponse,
    note_incident: NoteIncidentRequest => NoteIncidentResponse,
    assign_incident: AssignIncidentRequest => AssignIncidentResponse,
    close_incident: CloseIncidentRequest => CloseIncidentResponse,
    get_runbook: GetRunbookRequest => GetRunbookResponse,
    take_runbook_step: TakeRunbookStepRequest => TakeRunbookStepResponse,
    copy_database: CopyDatabaseRequest => CopyDatabaseResponse,
    restore_database: RestoreDatabaseRequest => RestoreDatabaseResponse,
    merge_rows: MergeRowsRequest => MergeRowsResponse,
    list_jobs: ListJobsRequest => ListJobsResponse,
    get_job: GetJobRequest => GetJobResponse,
    cancel_job: CancelJobRequest => CancelJobResponse,
    undo_job: UndoJobRequest => UndoJobResponse,
    set_check: SetCheckRequest => SetCheckResponse,
    remove_check: RemoveCheckRequest => RemoveCheckResponse,
    list_checks: ListChecksRequest => ListChecksResponse,
    get_check_history: GetCheckHistoryRequest => GetCheckHistoryResponse,
    compare_policies: ComparePoliciesRequest => ComparePoliciesResponse,
    apply_policies: ApplyPoliciesRequest => ApplyPoliciesResponse,
    export_policies: ExportPoliciesRequest => ExportPoliciesResponse,
    list_policies: ListPoliciesRequest => ListPoliciesResponse,
    get_coverage: GetCoverageRequest => GetCoverageResponse,
    get_host_plan: GetHostPlanRequest => GetHostPlanResponse,
    preview_retention: PreviewRetentionRequest => PreviewRetentionResponse,
    list_objectives: ListObjectivesRequest => ListObjectivesResponse,
    invite_operator: InviteOperatorRequest => InviteOperatorResponse,
    list_operators: ListOperatorsRequest => ListOperatorsResponse,
    remove_operator: RemoveOperatorRequest => RemoveOperatorResponse,
    list_audit: ListAuditRequest => ListAuditResponse,
    verify_audit: VerifyAuditRequest => VerifyAuditResponse,
    create_backups: CreateBackupsRequest => CreateBackupsResponse,
    list_backups: ListBackupsRequest => ListBackupsResponse,
    get_backup: GetBackupRequest => GetBackupResponse,
    compare_backups: CompareBackupsRequest => CompareBackupsResponse,
    pin_backup: PinBackupRequest => PinBackupResponse,
    delete_backup: DeleteBackupRequest => DeleteBackupResponse,
    record_deployment: RecordDeploymentRequest => RecordDeploymentResponse,
    compare_deployment: CompareDeploymentRequest => CompareDeploymentResponse,
    list_repositories: ListRepositoriesRequest => ListRepositoriesResponse,
    check_repository: CheckRepositoryRequest => CheckRepositoryResponse,
    get_repository_stats: GetRepositoryStatsRequest => GetRepositoryStatsResponse,
    prune_repository: PruneRepositoryRequest => PruneRepositoryResponse,
    export_repository_key: ExportRepositoryKeyRequest => ExportRepositoryKeyResponse,
    run_drill: RunDrillRequest => RunDrillResponse,
    list_drills: ListDrillsRequest => ListDrillsResponse,
    get_drill: GetDrillRequest => GetDrillResponse,
}
