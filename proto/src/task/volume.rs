//! Verbs that read, write and exchange volumes, and what they answer. Fields mean what `task.proto` says.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::RepositoryRef;
use crate::image::Hash128;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureVolume {
    pub volume: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredVolume {
    pub bytes: u64,
    pub files: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeVolume {
    pub volume: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFacts {
    pub exists: bool,
    pub driver: String,
    pub out_of_reach: String,
    pub users: Vec<VolumeUser>,
    pub databases: Vec<String>,
    pub disk_free_bytes: Option<u64>,
    pub made_by: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeUser {
    pub container: String,
    pub running: bool,
    pub writable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldContainers {
    pub volume: String,
    pub job: u64,
    pub stop: Vec<String>,
    pub start: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldContainers {
    pub stopped: Vec<String>,
    pub killed: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseContainers {
    pub job: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedContainers {
    pub started: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackUpVolume {
    pub volume: String,
    pub repository: RepositoryRef,
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpVolume {
    pub image: VolumeImage,
    pub snapshot: String,
    pub added_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeImage {
    pub format: u32,
    pub taken_at: DateTime<Utc>,
    pub volume: String,
    pub driver: String,
    pub labels: BTreeMap<String, String>,
    pub files: u64,
    pub folders: u64,
    pub others: u64,
    pub bytes: u64,
    pub fingerprint: Hash128,
    pub left_out: Vec<String>,
    pub databases: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreVolume {
    pub volume: String,
    pub job: u64,
    pub repository: RepositoryRef,
    pub snapshot: String,
    pub throwaway: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredVolume {
    pub image: VolumeImage,
    pub fingerprint: Hash128,
    pub root: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapVolume {
    pub volume: String,
    pub other: String,
    pub root: u64,
    pub back: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwappedVolume {
    pub changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveVolume {
    pub volume: String,
    pub job: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedVolume {
    pub existed: bool,
}
