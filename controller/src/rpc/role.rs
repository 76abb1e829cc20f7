//! Who may ask for what: the least role for each call of operators.

use holdfast_chassis::identity::Role;

/// A call of the `Operator` service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    WhoAmI,
    RenewCertificate,
    GetStatus,
    ListHosts,
    EnrolHost,
    RemoveHost,
    ListContainers,
    ListEngineEvents,
    ListVolumes,
    MeasureVolume,
    ListInstances,
    AddInstance,
    RemoveInstance,
    GetInstanceHistory,
    AcceptInstance,
    GetVolumeHistory,
    Triage,
    ListGuards,
    GrantAllowance,
    RevokeAllowance,
    ListGuardRefusals,
    ListFindings,
    GetFinding,
    ExplainFinding,
    ListIncidents,
    GetIncident,
    ReportIncident,
    OpenIncident,
    NoteIncident,
    AssignIncident,
    CloseIncident,
    GetRunbook,
    TakeRunbookStep,
    CopyDatabase,
    RestoreDatabase,
    MergeRows,
    ListJobs,
    GetJob,
    WatchJob,
    CancelJob,
    UndoJob,
    SetCheck,
    RemoveCheck,
    ListChecks,
    GetCheckHistory,
    ComparePolicies,
    ApplyPolicies,
    ExportPolicies,
    ListPolicies,
    GetCoverage,
    GetHostPlan,
    PreviewRetention,
    ListObjectives,
    InviteOperator,
    ListOperators,
    RemoveOperator,
    ListAudit,
    VerifyAudit,
    CreateBackups,
    ListBackups,
    GetBackup,
    CompareBackups,
    PinBackup,
    DeleteBackup,
    RecordDeployment,
    CompareDeployment,
    ListRepositories,
    CheckRepository,
    GetRepositoryStats,
    PruneRepository,
    ExportRepositoryKey,
    RunDrill,
    ListDrills,
    GetDrill,
}

impl Call {
    /// As the contract names it, and the audit log.
    #[must_use]
    pub fn name(self) -> String {
        format!("Operator/{self:?}")
    }

    /// Whether something is another way afterwards, and has its audit line.
    #[must_use]
    pub fn changes(self) -> bool {
        match self {
            Self::RenewCertificate => true,
            Self::MeasureVolume | Self::CheckRepository | Self::CompareDeployment => false,
            call => call.least_role() > Role::Viewer,
        }
    }

    /// Viewers read, operators run jobs and checks, admins decide who belongs to the fleet.
    #[must_use]
    pub fn least_role(self) -> Role {
        match self {
            Self::WhoAmI
            | Self::RenewCertificate
            | Self::GetStatus
            | Self::ListHosts
            | Self::ListContainers
            | Self::ListEngineEvents
            | Self::ListVolumes
            | Self::ListInstances
            | Self::GetInstanceHistory
            | Self::GetVolumeHistory
            | Self::Triage
            | Self::ListGuards
            | Self::ListGuardRefusals
            | Self::ListFindings
            | Self::GetFinding
            | Self::ExplainFinding
            | Self::ListIncidents
            | Self::GetIncident
            | Self::ReportIncident
            | Self::GetRunbook
            | Self::ListJobs
            | Self::GetJob
            | Self::WatchJob
            | Self::ListChecks
            | Self::GetCheckHistory
            | Self::ComparePolicies
            | Self::ExportPolicies
            | Self::ListPolicies
            | Self::GetCoverage
            | Self::GetHostPlan
            | Self::PreviewRetention
            | Self::ListObjectives
            | Self::ListOperators
            | Self::ListAudit
            | Self::VerifyAudit
            | Self::ListBackups
            | Self::GetBackup
            | Self::CompareBackups
            | Self::ListRepositories
            | Self::GetRepositoryStats
            | Self::ListDrills
            | Self::GetDrill => Role::Viewer,
            Self::MeasureVolume
            | Self::CheckRepository
            | Self::AddInstance
            | Self::AcceptInstance
            | Self::RemoveInstance
            | Self::GrantAllowance
            | Self::RevokeAllowance
            | Self::OpenIncident
            | Self::NoteIncident
            | Self::AssignIncident
            | Self::CloseIncident
            | Self::TakeRunbookStep
            | Self::CopyDatabase
            | Self::RestoreDatabase
            | Self::MergeRows
            | Self::RunDrill
            | Self::CreateBackups
            | Self::PinBackup
            // It takes what admins, by policy or by name, let go a day ago.
            | Self::PruneRepository
            | Self::RecordDeployment
            | Self::CompareDeployment
            | Self::CancelJob
            | Self::UndoJob
            | Self::SetCheck
            | Self::RemoveCheck => Role::Operator,
            // Policies decide which backups are removed.
            Self::DeleteBackup
            | Self::EnrolHost
            | Self::RemoveHost
            | Self::ApplyPolicies
            | Self::InviteOperator
            | Self::RemoveOperator
            | Self::ExportRepositoryKey => Role::Admin,
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Every call with its role, written down a second time: a change of the table is a decision.
    pub const TABLE: [(Call, Role); 74] = [
        (Call::WhoAmI, Role::Viewer),
        (Call::RenewCertificate, Role::Viewer),
        (Call::GetStatus, Role::Viewer),
        (Call::ListHosts, Role::Viewer),
        (Call::EnrolHost, Role::Admin),
        (Call::RemoveHost, Role::Admin),
        (Call::ListContainers, Role::Viewer),
        (Call::ListEngineEvents, Role::Viewer),
        (Call::ListVolumes, Role::Viewer),
        (Call::MeasureVolume, Role::Operator),
        (Call::ListInstances, Role::Viewer),
        (Call::AddInstance, Role::Operator),
        (Call::RemoveInstance, Role::Operator),
        (Call::GetInstanceHistory, Role::Viewer),
        (Call::AcceptInstance, Role::Operator),
        (Call::GetVolumeHistory, Role::Viewer),
        (Call::Triage, Role::Viewer),
        (Call::ListGuards, Role::Viewer),
        (Call::GrantAllowance, Role::Operator),
        (Call::RevokeAllowance, Role::Operator),
        (Call::ListGuardRefusals, Role::Viewer),
        (Call::ListFindings, Role::Viewer),
        (Call::GetFinding, Role::Viewer),
        (Call::ExplainFinding, Role::Viewer),
        (Call::ListIncidents, Role::Viewer),
        (Call::GetIncident, Role::Viewer),
        (Call::ReportIncident, Role::Viewer),
        (Call::OpenIncident, Role::Operator),
        (Call::NoteIncident, Role::Operator),
        (Call::AssignIncident, Role::Operator),
        (Call::CloseIncident, Role::Operator),
        (Call::GetRunbook, Role::Viewer),
        (Call::TakeRunbookStep, Role::Operator),
        (Call::CopyDatabase, Role::Operator),
        (Call::RestoreDatabase, Role::Operator),
        (Call::MergeRows, Role::Operator),
        (Call::ListJobs, Role::Viewer),
        (Call::GetJob, Role::Viewer),
        (Call::WatchJob, Role::Viewer),
        (Call::CancelJob, Role::Operator),
        (Call::UndoJob, Role::Operator),
        (Call::SetCheck, Role::Operator),
        (Call::RemoveCheck, Role::Operator),
        (Call::ListChecks, Role::Viewer),
        (Call::GetCheckHistory, Role::Viewer),
        (Call::ComparePolicies, Role::Viewer),
        (Call::ApplyPolicies, Role::Admin),
        (Call::ExportPolicies, Role::Viewer),
        (Call::ListPolicies, Role::Viewer),
        (Call::GetCoverage, Role::Viewer),
        (Call::GetHostPlan, Role::Viewer),
        (Call::PreviewRetention, Role::Viewer),
        (Call::ListObjectives, Role::Viewer),
        (Call::InviteOperator, Role::Admin),
        (Call::ListOperators, Role::Viewer),
        (Call::RemoveOperator, Role::Admin),
        (Call::ListAudit, Role::Viewer),
        (Call::VerifyAudit, Role::Viewer),
        (Call::CreateBackups, Role::Operator),
        (Call::ListBackups, Role::Viewer),
        (Call::GetBackup, Role::Viewer),
        (Call::CompareBackups, Role::Viewer),
        (Call::PinBackup, Role::Operator),
        (Call::DeleteBackup, Role::Admin),
        (Call::RecordDeployment, Role::Operator),
        (Call::CompareDeployment, Role::Operator),
        (Call::ListRepositories, Role::Viewer),
        (Call::CheckRepository, Role::Operator),
        (Call::GetRepositoryStats, Role::Viewer),
        (Call::PruneRepository, Role::Operator),
        (Call::ExportRepositoryKey, Role::Admin),
        (Call::RunDrill, Role::Operator),
        (Call::ListDrills, Role::Viewer),
        (Call::GetDrill, Role::Viewer),
    ];

    #[test]
    fn each_call_has_its_role() {
        for (call, role) in TABLE {
            assert_eq!(call.least_role(), role, "{call:?}");
        }
    }

    #[test]
    fn the_table_holds_every_call_of_the_contract() {
        let contract = include_str!("../../../proto/holdfast/v1/operator.proto");
        let named: Vec<_> = contract
            .lines()
            .filter_map(|line| line.trim().strip_prefix("rpc "))
            .map(|rest| format!("Operator/{}", rest.split('(').next().unwrap()))
            .collect();
        let known: Vec<_> = TABLE.iter().map(|(call, _)| call.name()).collect();
        assert_eq!(named, known);
    }
}
