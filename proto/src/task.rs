//! Tasks: the verbs of an agent, their results, and how they fail. Fields mean what `task.proto` says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    check::CheckOutcome,
    fleet::Engine,
    guard::{AskGuard, GuardStatus},
    image::{DataPath, Hash128, Manifest, ProofLevel, Relation, SequenceState},
};

mod merge;
mod triage;
mod volume;

pub use merge::{MergeRow, MergeRows, MergedRows, MergedTable, UnmergeRows, UnmergedRows};
pub use triage::{DataEvidence, DataTriage, DataVerdict, TriageData, TriagedData};
pub use volume::{
    BackUpVolume, BackedUpVolume, DescribeVolume, HeldContainers, HoldContainers, MeasureVolume,
    MeasuredVolume, ReleaseContainers, ReleasedContainers, RemoveVolume, RemovedVolume,
    RestoreVolume, RestoredVolume, SwapVolume, SwappedVolume, VolumeFacts, VolumeImage, VolumeUser,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskSpec {
    DescribeDatabase(DescribeDatabase),
    StageDatabase(StageDatabase),
    SendImage(SendImage),
    ReceiveImage(ReceiveImage),
    RunCheck(RunCheck),
    PublishDatabase(PublishDatabase),
    UnpublishDatabase(UnpublishDatabase),
    DropDatabase(DropDatabase),
    MeasureVolume(MeasureVolume),
    ProbeInstance(ProbeInstance),
    DropRoles(DropRoles),
    BackUpDatabase(BackUpDatabase),
    RestoreImage(RestoreImage),
    StartSandbox(StartSandbox),
    RemoveSandbox(RemoveSandbox),
    ExamineDatabase(ExamineDatabase),
    MergeRows(MergeRows),
    UnmergeRows(UnmergeRows),
    DescribeVolume(DescribeVolume),
    HoldContainers(HoldContainers),
    ReleaseContainers(ReleaseContainers),
    BackUpVolume(BackUpVolume),
    RestoreVolume(RestoreVolume),
    SwapVolume(SwapVolume),
    RemoveVolume(RemoveVolume),
    TriageData(TriageData),
    AskGuard(AskGuard),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskResult {
    DatabaseFacts(DatabaseFacts),
    StagedDatabase(StagedDatabase),
    SentImage(SentImage),
    ReceivedImage(ReceivedImage),
    CheckOutcome(CheckOutcome),
    PublishedDatabase(PublishedDatabase),
    UnpublishedDatabase(UnpublishedDatabase),
    DroppedDatabase(DroppedDatabase),
    MeasuredVolume(MeasuredVolume),
    ProbedInstance(ProbedInstance),
    DroppedRoles(DroppedRoles),
    BackedUpDatabase(BackedUpDatabase),
    RestoredImage(RestoredImage),
    StartedSandbox(StartedSandbox),
    RemovedSandbox(RemovedSandbox),
    ExaminedDatabase(ExaminedDatabase),
    MergedRows(MergedRows),
    UnmergedRows(UnmergedRows),
    VolumeFacts(VolumeFacts),
    HeldContainers(HeldContainers),
    ReleasedContainers(ReleasedContainers),
    BackedUpVolume(BackedUpVolume),
    RestoredVolume(RestoredVolume),
    SwappedVolume(SwappedVolume),
    RemovedVolume(RemovedVolume),
    TriagedData(TriagedData),
    GuardStatus(GuardStatus),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseTarget {
    pub instance: String,
    pub database: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub schema_only: bool,
    pub tables: Vec<String>,
    pub exclude_tables: Vec<String>,
    pub exclude_table_data: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeDatabase {
    pub target: DatabaseTarget,
    pub as_source: bool,
    pub selection: Selection,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    pub system_identifier: String,
    pub server_version: String,
    pub version_num: u32,
    pub in_recovery: bool,
    pub is_superuser: bool,
    pub exists: bool,
    pub owner: String,
    pub encoding: String,
    pub collate: String,
    pub ctype: String,
    pub locale_provider: String,
    pub icu_locale: String,
    pub size_bytes: u64,
    pub disk_free_bytes: Option<u64>,
    pub extensions: Vec<Extension>,
    pub roles: Vec<Role>,
    pub tablespaces: Vec<String>,
    pub databases: Vec<String>,
    pub locales: Vec<String>,
    pub table_count: u64,
    pub unmatched_patterns: Vec<String>,
    pub tools: String,
    pub tools_error: String,
    pub sessions: u32,
    pub properties: DatabaseProperties,
    pub cpus: u32,
    pub unreadable: Vec<String>,
    /// Unset: PostgreSQL, from an agent or a catalog that knew no other.
    #[serde(default)]
    pub engine: Option<Engine>,
    #[serde(default)]
    pub warnings: Vec<String>,
    #[serde(default)]
    pub obstacles: Vec<String>,
    #[serde(default)]
    pub collations: Vec<Collation>,
    #[serde(default)]
    pub image: String,
    #[serde(default)]
    pub image_digest: String,
    #[serde(default)]
    pub preload_libraries: String,
}

impl DatabaseFacts {
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine.unwrap_or(Engine::Postgres)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collation {
    pub name: String,
    pub own: bool,
    pub provider: String,
    pub locale: String,
    pub used_by: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    pub name: String,
    pub versions: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub name: String,
    pub login: bool,
    pub inherit: bool,
    pub create_role: bool,
    pub create_db: bool,
    pub superuser: bool,
    pub replication: bool,
    pub bypass_rls: bool,
    pub member_of: Vec<String>,
    /// Of an account of MariaDB or MySQL: those that are in force from its login on.
    #[serde(default)]
    pub default_roles: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseProperties {
    pub comment: String,
    pub settings: Vec<DatabaseSetting>,
    pub grants: Vec<DatabaseGrant>,
    pub connection_limit: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSetting {
    pub role: String,
    pub name: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseGrant {
    pub grantee: String,
    pub privilege: String,
    pub grantable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageDatabase {
    pub staging: DatabaseTarget,
    pub owner: String,
    pub encoding: String,
    pub collate: String,
    pub ctype: String,
    pub locale_provider: String,
    pub icu_locale: String,
    pub roles: Vec<Role>,
    pub job: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedDatabase {
    pub created_roles: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendImage {
    pub source: DatabaseTarget,
    pub selection: Selection,
    pub peer_host: String,
    pub peer_addresses: Vec<String>,
    pub grant: Vec<u8>,
    pub jobs: u32,
    pub bandwidth: u64,
    pub target_version_num: u32,
    pub target_extensions: Vec<Extension>,
    pub no_tablespaces: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentImage {
    pub manifest: Manifest,
    pub path: DataPath,
    pub resent_parts: u32,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveImage {
    pub staging: DatabaseTarget,
    pub peer_host: String,
    pub grant: Vec<u8>,
    pub jobs: u32,
    pub proof: ProofLevel,
    pub properties: DatabaseProperties,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedImage {
    pub relations: Vec<Relation>,
    pub sequences: Vec<SequenceState>,
    pub indexes: u32,
    pub constraints: u32,
    pub schema_hash: Hash128,
    pub notices: Vec<String>,
}

/// Whose repository, and the job that reads it where it is another host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRef {
    pub host: String,
    pub job: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackUpDatabase {
    pub source: DatabaseTarget,
    pub selection: Selection,
    pub repository: RepositoryRef,
    pub jobs: u32,
    pub bandwidth: u64,
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpDatabase {
    pub manifest: Manifest,
    pub snapshot: String,
    pub added_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreImage {
    pub staging: DatabaseTarget,
    pub repository: RepositoryRef,
    pub snapshot: String,
    pub jobs: u32,
    pub properties: DatabaseProperties,
    pub no_tablespaces: bool,
    /// Only the rows of these; empty: all.
    #[serde(default)]
    pub tables: Vec<TableName>,
    /// Of what the server holds; 0: no limit.
    #[serde(default)]
    pub disk_limit_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredImage {
    pub manifest: Manifest,
    pub received: ReceivedImage,
    /// Unset: from an agent that did not tell.
    #[serde(default)]
    pub fetch_time: Option<Duration>,
    #[serde(default)]
    pub load_time: Option<Duration>,
    #[serde(default)]
    pub index_time: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartSandbox {
    pub job: u64,
    pub image: String,
    pub image_digest: String,
    pub engine: Engine,
    pub preload_libraries: String,
    pub limits: SandboxLimits,
    pub look_only: bool,
    /// Of several; 0: the job's only one.
    pub part: u32,
    pub servers: u32,
}

/// 0: the agent chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxLimits {
    pub cpu_millis: u64,
    pub memory_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedSandbox {
    pub instance: String,
    pub image_id: String,
    pub limits: SandboxLimits,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveSandbox {
    pub job: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedSandbox {
    pub existed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExamineDatabase {
    pub target: DatabaseTarget,
    pub assertions: Vec<String>,
    /// Of each assertion.
    pub timeout: Duration,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExaminedDatabase {
    pub indexes: u32,
    pub constraints: u32,
    pub checked_indexes: u32,
    pub amcheck_error: String,
    pub checked_constraints: u32,
    pub broken: Vec<Examined>,
    pub unknown: Vec<Examined>,
    pub assertions: Vec<AssertionOutcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    pub name: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssertionOutcome {
    pub statement: String,
    /// None: it could not run.
    pub holds: Option<bool>,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishDatabase {
    pub instance: String,
    pub staging: String,
    pub name: String,
    pub keep_as: String,
    pub job: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedDatabase {
    pub kept_as: String,
    pub ended_sessions: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpublishDatabase {
    pub instance: String,
    pub name: String,
    pub kept_as: String,
    pub set_aside_as: String,
    /// Name the published one had before; while it stands nothing is published.
    pub staging: String,
    pub job: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpublishedDatabase {
    pub restored: bool,
    pub ended_sessions: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropDatabase {
    pub target: DatabaseTarget,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedDatabase {
    pub existed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropRoles {
    pub instance: String,
    pub job: u64,
    pub roles: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedRoles {
    pub gone: Vec<String>,
    pub left: Vec<RoleLeft>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleLeft {
    pub role: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCheck {
    pub target: DatabaseTarget,
    pub count_sql: String,
    pub newest_sql: String,
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeInstance {
    pub instance: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbedInstance {
    pub up: bool,
    pub reached_by: String,
    pub down_reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskPhase {
    Prepare,
    Schema,
    Data,
    Indexes,
    Constraints,
    ReadBack,
    Analyze,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    pub phase: TaskPhase,
    pub bytes_done: u64,
    pub bytes_total: u64,
    pub rows_done: u64,
    pub items_done: u64,
    pub items_total: u64,
    pub current: String,
    pub verified_rows: u64,
    pub path: Option<DataPath>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    Invalid,
    Conflict,
    Unavailable,
    Exhausted,
    DataMismatch,
    Cancelled,
    Refused,
    Internal,
}

/// How a task failed, in words for an operator, and whether trying again can help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct TaskFailure {
    pub kind: FailureKind,
    pub message: String,
    pub advice: String,
    pub retryable: bool,
}

/// What a task tells while it runs, and how it ends.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskEvent {
    Accepted { joined: bool },
    Progress(TaskProgress),
    Ended(Result<TaskResult, TaskFailure>),
}

// The grant is a secret: it stays out of logs.
impl std::fmt::Debug for SendImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendImage")
            .field("source", &self.source)
            .field("peer_host", &self.peer_host)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ReceiveImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveImage")
            .field("staging", &self.staging)
            .field("peer_host", &self.peer_host)
            .finish_non_exhaustive()
    }
}
