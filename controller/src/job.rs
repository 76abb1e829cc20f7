//! Jobs: sagas of steps with undo, replayed from their events.
//!
//! A job is a row with a spec and an append-only list of [`event::Event`]s. Where it stands is a
//! pure fold of them ([`position`]), what to do next a pure function of that ([`action`]); the
//! [`engine`] claims, acts, appends. `docs/adding-a-job.md` walks through a new kind.

use serde::{Deserialize, Serialize};

pub mod action;
pub mod back_up_database;
pub mod back_up_volume;
pub mod copy_database;
pub mod definition;
pub mod drill_backup;
pub mod drill_volume;
pub mod drilling;
pub mod engine;
pub mod error;
pub mod event;
pub mod hold;
pub mod hosts;
pub mod landing;
mod lease;
pub mod locks;
pub mod merge_rows;
pub mod position;
pub mod progress;
#[cfg(test)]
mod proofs;
pub mod prune_repository;
pub mod read_repository;
pub mod rebuild_host;
mod requests;
pub mod restore_database;
pub mod restore_volume;
pub mod retry;
mod runner;
pub mod shelf;
pub mod step;
pub mod summary;
pub mod suspect;
pub mod view;
pub mod volume;
mod watch;

pub use back_up_database::BackUpDatabase;
pub use back_up_volume::BackUpVolume;
pub use copy_database::CopyDatabase;
pub use drill_backup::DrillBackup;
pub use drill_volume::DrillVolume;
pub use engine::{Engine, Settings};
pub use error::JobError;
pub use hosts::{Hosts, Standing};
pub use merge_rows::MergeRows;
pub use prune_repository::PruneRepository;
pub use read_repository::ReadRepository;
pub use rebuild_host::RebuildHost;
pub use restore_database::RestoreDatabase;
pub use restore_volume::RestoreVolume;
pub use shelf::Shelf;
pub use view::{
    EventLine, JobDetails, JobProgress, JobReport, JobState, JobSummary, KeptDatabase, KeptReason,
    Update,
};

use definition::Definition;

use crate::relay::Ends;

/// Counted from 1.
pub type JobId = u64;

/// What a job shall do, as the catalog keeps it. One variant a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum JobSpec {
    CopyDatabase(CopyDatabase),
    BackUpDatabase(BackUpDatabase),
    RestoreDatabase(RestoreDatabase),
    PruneRepository(PruneRepository),
    DrillBackup(DrillBackup),
    MergeRows(MergeRows),
    BackUpVolume(BackUpVolume),
    RestoreVolume(RestoreVolume),
    ReadRepository(ReadRepository),
    RebuildHost(RebuildHost),
    DrillVolume(DrillVolume),
}

impl JobSpec {
    #[must_use]
    pub fn definition(&self) -> &dyn Definition {
        match self {
            Self::CopyDatabase(copy) => copy,
            Self::BackUpDatabase(backup) => backup,
            Self::RestoreDatabase(restore) => restore,
            Self::PruneRepository(prune) => prune,
            Self::DrillBackup(drill) => drill,
            Self::MergeRows(merge) => merge,
            Self::BackUpVolume(backup) => backup,
            Self::RestoreVolume(restore) => restore,
            Self::ReadRepository(read) => read,
            Self::RebuildHost(rebuild) => rebuild,
            Self::DrillVolume(drill) => drill,
        }
    }

    /// Between which hosts data travel; none when no two agents talk to each other.
    #[must_use]
    pub fn ends(&self) -> Option<Ends> {
        match self {
            Self::CopyDatabase(copy) => Some(Ends {
                sender: copy.source.host.clone(),
                receiver: copy.target.host.clone(),
            }),
            Self::BackUpDatabase(_)
            | Self::RestoreDatabase(_)
            | Self::PruneRepository(_)
            | Self::DrillBackup(_)
            | Self::MergeRows(_)
            | Self::BackUpVolume(_)
            | Self::RestoreVolume(_)
            | Self::ReadRepository(_)
            | Self::RebuildHost(_)
            | Self::DrillVolume(_) => None,
        }
    }

    #[must_use]
    pub fn kind(&self) -> JobKind {
        match self {
            Self::CopyDatabase(_) => JobKind::CopyDatabase,
            Self::BackUpDatabase(_) => JobKind::BackUpDatabase,
            Self::RestoreDatabase(_) => JobKind::RestoreDatabase,
            Self::PruneRepository(_) => JobKind::PruneRepository,
            Self::DrillBackup(_) => JobKind::DrillBackup,
            Self::MergeRows(_) => JobKind::MergeRows,
            Self::BackUpVolume(_) => JobKind::BackUpVolume,
            Self::RestoreVolume(_) => JobKind::RestoreVolume,
            Self::ReadRepository(_) => JobKind::ReadRepository,
            Self::RebuildHost(_) => JobKind::RebuildHost,
            Self::DrillVolume(_) => JobKind::DrillVolume,
        }
    }
}

/// The name of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    CopyDatabase,
    BackUpDatabase,
    RestoreDatabase,
    PruneRepository,
    DrillBackup,
    MergeRows,
    BackUpVolume,
    RestoreVolume,
    ReadRepository,
    RebuildHost,
    DrillVolume,
}

impl JobKind {
    /// Every kind; the proofs run over all of them.
    pub const ALL: [Self; 11] = [
        Self::CopyDatabase,
        Self::BackUpDatabase,
        Self::RestoreDatabase,
        Self::PruneRepository,
        Self::DrillBackup,
        Self::MergeRows,
        Self::BackUpVolume,
        Self::RestoreVolume,
        Self::ReadRepository,
        Self::RebuildHost,
        Self::DrillVolume,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CopyDatabase => "copy-database",
            Self::BackUpDatabase => "back-up-database",
            Self::RestoreDatabase => "restore-database",
            Self::PruneRepository => "prune-repository",
            Self::DrillBackup => "drill-backup",
            Self::MergeRows => "merge-rows",
            Self::BackUpVolume => "back-up-volume",
            Self::RestoreVolume => "restore-volume",
            Self::ReadRepository => "read-repository",
            Self::RebuildHost => "rebuild-host",
            Self::DrillVolume => "drill-volume",
        }
    }
}
