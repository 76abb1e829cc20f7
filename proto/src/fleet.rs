//! What an agent sees on its host. Fields mean what `fleet.proto` says of them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

type Time = DateTime<Utc>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub image: String,
    pub image_digest: String,
    pub state: ContainerState,
    pub health: ContainerHealth,
    pub project: String,
    pub service: String,
    pub ports: Vec<PortBinding>,
    pub mounts: Vec<Mount>,
    pub created_at: Option<Time>,
    pub started_at: Option<Time>,
    pub exit_code: i64,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub config_hash: String,
    #[serde(default)]
    pub working_directory: String,
    #[serde(default)]
    pub restart_count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerState {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerHealth {
    None,
    Starting,
    Healthy,
    Unhealthy,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortBinding {
    pub container_port: u16,
    pub protocol: String,
    pub host_ip: String,
    pub host_port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub kind: MountKind,
    pub source: String,
    pub destination: String,
    pub read_only: bool,
    #[serde(default)]
    pub host_path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountKind {
    Volume,
    Bind,
    Tmpfs,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    pub driver: String,
    pub labels: BTreeMap<String, String>,
    pub created_at: Option<Time>,
    pub mountpoint: String,
    pub anonymous: bool,
    pub used_by: Vec<String>,
    #[serde(default)]
    pub device: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    Postgres,
    Mariadb,
    Mysql,
}

impl Engine {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    pub name: String,
    pub engine: Engine,
    pub container: String,
    pub reached_by: String,
    pub down_reason: String,
    pub health: Option<InstanceHealth>,
    pub registered: bool,
    #[serde(default)]
    pub data: Option<DataPlace>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataPlace {
    pub path: String,
    pub host_path: String,
    pub inode: u64,
    pub file_system: String,
    pub born_at: Option<Time>,
    pub system_identifier: String,
}

impl Engine {
    /// As people write it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mariadb => "MariaDB",
            Self::Mysql => "MySQL",
        }
    }
}

impl Instance {
    /// It answered the last probe.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.down_reason.is_empty() && self.health.is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceHealth {
    pub version: String,
    pub version_num: u32,
    pub system_identifier: String,
    pub in_recovery: bool,
    pub started_at: Option<Time>,
    pub connections_used: u32,
    pub connections_max: u32,
    pub long_queries: Vec<LongQuery>,
    pub longest_query_seconds: f64,
    pub archiver: Archiver,
    pub slots: Vec<ReplicationSlot>,
    pub transaction_id_age: u32,
    pub checksums_on: bool,
    pub checksum_failures: u64,
    pub disk_total_bytes: u64,
    pub disk_free_bytes: u64,
    pub data_directory: String,
    pub databases: Vec<Database>,
    #[serde(default)]
    pub mariadb: Option<MariadbHealth>,
    #[serde(default)]
    pub untold: Vec<Untold>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MariadbHealth {
    pub read_only: bool,
    pub binary_log_on: bool,
    pub sources: Vec<ReplicationSource>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationSource {
    pub name: String,
    pub address: String,
    pub receiving: bool,
    pub applying: bool,
    pub lag_seconds: Option<u64>,
    pub last_error: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    pub part: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LongQuery {
    pub pid: i32,
    pub database: String,
    pub user: String,
    pub seconds: f64,
    pub statement: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archiver {
    pub on: bool,
    pub archived: u64,
    pub failed: u64,
    pub last_archived_at: Option<Time>,
    pub last_failed_at: Option<Time>,
    pub last_failed_wal: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationSlot {
    pub name: String,
    pub kind: String,
    pub active: bool,
    pub lag_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    pub name: String,
    pub owner: String,
    pub size_bytes: u64,
    pub encoding: String,
    pub collation: String,
    pub allows_connections: bool,
    pub is_template: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostSnapshot {
    pub containers: Vec<Container>,
    pub volumes: Vec<Volume>,
    pub instances: Vec<Instance>,
    pub container_engine: String,
    pub engine_error: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostDelta {
    pub containers: Vec<Container>,
    pub removed_containers: Vec<String>,
    pub volumes: Vec<Volume>,
    pub removed_volumes: Vec<String>,
    pub instances: Vec<Instance>,
    pub removed_instances: Vec<String>,
    pub container_engine: String,
    pub engine_error: String,
    pub events: Vec<EngineEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineEvent {
    pub at: Time,
    pub kind: String,
    pub action: String,
    pub subject: String,
}
