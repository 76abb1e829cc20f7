//! Backups and deployments: made, listed, looked at, compared, pinned, deleted.

use holdfast_proto::{
    WireError,
    check::CheckVerdict,
    fleet::Engine,
    names::{DatabaseName, VolumeName},
    task::{Selection, VolumeImage},
    wire,
};

use super::{
    CallError, Client, each,
    read::{required, time, variant},
    within,
};
use crate::view::{
    backup::{
        Backup, BackupCheck, BackupDetail, BackupDiff, ChangeKind, Compared, RelationChange,
        StoredRelation, VolumeContents,
    },
    deployment::{Count, Deployment, DeploymentDiff, Line, Verdict, Volume},
};

/// Which databases are backed up, and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BackupSpec {
    pub databases: Vec<DatabaseName>,
    pub all: bool,
    /// Empty: on every host.
    pub host: String,
    /// Of compose; empty: any.
    pub project: String,
    pub selection: Selection,
    /// 0: the controller chooses.
    pub jobs: u32,
    /// Bytes a second; 0: no limit.
    pub bandwidth: u64,
    pub volumes: Vec<VolumeName>,
    /// The containers that run with a volume are stopped while it is read.
    pub stop: bool,
}

/// A database with the job that backs it up, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub database: String,
    pub job: Result<u64, String>,
}

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    pub async fn create_backups(&mut self, spec: BackupSpec) -> Result<Vec<Started>, CallError> {
        let request = wire::CreateBackupsRequest::from(spec);
        let answer = within(self.within, self.inner.create_backups(request)).await?;
        each(answer.started, Started::try_from)
    }

    /// Newest first; an empty part of a name means every one.
    pub async fn backups(
        &mut self,
        host: String,
        instance: String,
        database: String,
        include_removed: bool,
    ) -> Result<Vec<Backup>, CallError> {
        let request = wire::ListBackupsRequest {
            host,
            instance,
            database,
            include_removed,
        };
        let answer = within(self.within, self.inner.list_backups(request)).await?;
        each(answer.backups, Backup::try_from)
    }

    pub async fn backup(&mut self, backup: String) -> Result<BackupDetail, CallError> {
        let request = wire::GetBackupRequest { backup };
        let answer = within(self.within, self.inner.get_backup(request)).await?;
        Ok(BackupDetail::try_from(answer)?)
    }

    /// `with` empty: the one before it.
    pub async fn compare_backups(
        &mut self,
        backup: String,
        with: String,
    ) -> Result<BackupDiff, CallError> {
        let request = wire::CompareBackupsRequest { backup, with };
        let answer = within(self.within, self.inner.compare_backups(request)).await?;
        Ok(BackupDiff::try_from(answer)?)
    }

    pub async fn pin_backup(&mut self, backup: String, pinned: bool) -> Result<Backup, CallError> {
        let request = wire::PinBackupRequest { backup, pinned };
        let answer = within(self.within, self.inner.pin_backup(request)).await?;
        Ok(required("PinBackupResponse", "backup", answer.backup)?.try_into()?)
    }

    /// `typed`: with `force`, the full name of its database.
    pub async fn delete_backup(
        &mut self,
        backup: u64,
        force: bool,
        typed: String,
    ) -> Result<Backup, CallError> {
        let request = wire::DeleteBackupRequest {
            backup,
            force,
            typed,
        };
        let answer = within(self.within, self.inner.delete_backup(request)).await?;
        Ok(required("DeleteBackupResponse", "backup", answer.backup)?.try_into()?)
    }

    pub async fn record_deployment(
        &mut self,
        project: String,
        host: String,
    ) -> Result<Deployment, CallError> {
        let request = wire::RecordDeploymentRequest { project, host };
        let answer = within(self.within, self.inner.record_deployment(request)).await?;
        let deployment = required("RecordDeploymentResponse", "deployment", answer.deployment)?;
        Ok(deployment.try_into()?)
    }

    pub async fn compare_deployment(
        &mut self,
        project: String,
        host: String,
    ) -> Result<DeploymentDiff, CallError> {
        const OF: &str = "CompareDeploymentResponse";
        let request = wire::CompareDeploymentRequest { project, host };
        let answer = within(self.within, self.inner.compare_deployment(request)).await?;
        Ok(DeploymentDiff {
            before: required(OF, "before", answer.before)?.try_into()?,
            now: required(OF, "now", answer.now)?.try_into()?,
            lines: each(answer.lines, Line::try_from)?,
        })
    }
}

fn name(message: &'static str, of: Option<wire::DatabaseName>) -> Result<String, WireError> {
    Ok(DatabaseName::try_from(required(message, "database", of)?)?.to_string())
}

impl From<BackupSpec> for wire::CreateBackupsRequest {
    fn from(spec: BackupSpec) -> Self {
        let BackupSpec {
            databases,
            all,
            host,
            project,
            selection,
            jobs,
            bandwidth,
            volumes,
            stop,
        } = spec;
        Self {
            databases: databases.into_iter().map(Into::into).collect(),
            all,
            host,
            project,
            selection: Some(selection.into()),
            jobs,
            bandwidth,
            volumes: volumes.into_iter().map(Into::into).collect(),
            stop,
        }
    }
}

impl TryFrom<wire::StartedBackup> for Started {
    type Error = WireError;

    fn try_from(started: wire::StartedBackup) -> Result<Self, WireError> {
        let wire::StartedBackup {
            database,
            job,
            refused,
        } = started;
        Ok(Self {
            database: name("StartedBackup", database)?,
            job: if job == 0 { Err(refused) } else { Ok(job) },
        })
    }
}

impl TryFrom<wire::Backup> for Backup {
    type Error = WireError;

    fn try_from(backup: wire::Backup) -> Result<Self, WireError> {
        const OF: &str = "Backup";
        let wire::Backup {
            id,
            database,
            engine,
            kind,
            state,
            pinned,
            taken_at,
            stored_at,
            proven_at,
            logical_bytes,
            stored_bytes,
            snapshot,
            job,
            marked_at,
            goes_at,
            removed_at,
            deleted_by,
        } = backup;
        Ok(Self {
            id,
            database: name(OF, database)?,
            // A volume has none.
            engine: match engine {
                0 if kind == "volume" => String::new(),
                engine => variant(OF, "engine", engine, |engine: wire::Engine| {
                    Engine::try_from(engine).ok()
                })?
                .as_str()
                .to_owned(),
            },
            kind,
            state,
            pinned,
            taken_at: time(OF, "taken_at", taken_at)?,
            stored_at: time(OF, "stored_at", stored_at)?,
            proven_at: time(OF, "proven_at", proven_at)?,
            logical_bytes,
            stored_bytes,
            snapshot,
            job: Some(job).filter(|job| *job > 0),
            marked_at: time(OF, "marked_at", marked_at)?,
            goes_at: time(OF, "goes_at", goes_at)?,
            removed_at: time(OF, "removed_at", removed_at)?,
            deleted_by,
        })
    }
}

impl TryFrom<wire::GetBackupResponse> for BackupDetail {
    type Error = WireError;

    fn try_from(answer: wire::GetBackupResponse) -> Result<Self, WireError> {
        const OF: &str = "GetBackupResponse";
        let wire::GetBackupResponse {
            backup,
            server_version,
            lsn,
            relations,
            checks,
            selection,
            keep,
            reasons,
            volume,
        } = answer;
        let volume = volume.map(VolumeContents::try_from).transpose()?;
        let selection = match &volume {
            Some(_) => selection.unwrap_or_default(),
            None => required(OF, "selection", selection)?,
        };
        let check = |check: wire::BackupCheck| {
            let outcome = required("BackupCheck", "outcome", check.outcome)?;
            let outcome = holdfast_proto::check::CheckOutcome::try_from(outcome)?;
            Ok::<_, WireError>(BackupCheck {
                name: check.name,
                outcome: outcome.into(),
            })
        };
        Ok(Self {
            backup: required(OF, "backup", backup)?.try_into()?,
            server_version,
            lsn,
            tables: relations.into_iter().map(Into::into).collect(),
            checks: checks.into_iter().map(check).collect::<Result<_, _>>()?,
            only_tables: selection.tables,
            keep,
            reasons,
            volume,
        })
    }
}

impl TryFrom<wire::VolumeImage> for VolumeContents {
    type Error = WireError;

    fn try_from(image: wire::VolumeImage) -> Result<Self, WireError> {
        let image = VolumeImage::try_from(image)?;
        Ok(Self {
            files: image.files,
            folders: image.folders,
            others: image.others,
            bytes: image.bytes,
            fingerprint: image.fingerprint.to_string(),
            left_out: image.left_out,
            databases: image.databases,
        })
    }
}

impl From<wire::BackupRelation> for StoredRelation {
    fn from(relation: wire::BackupRelation) -> Self {
        let wire::BackupRelation {
            schema,
            name,
            rows,
            bytes,
            fingerprint,
        } = relation;
        Self {
            schema,
            name,
            rows,
            bytes,
            fingerprint,
        }
    }
}

impl TryFrom<wire::CompareBackupsResponse> for BackupDiff {
    type Error = WireError;

    fn try_from(answer: wire::CompareBackupsResponse) -> Result<Self, WireError> {
        const OF: &str = "CompareBackupsResponse";
        let wire::CompareBackupsResponse {
            older,
            newer,
            changes,
            unchanged,
            schema_changed,
        } = answer;
        let older: Backup = required(OF, "older", older)?.try_into()?;
        let newer: Backup = required(OF, "newer", newer)?.try_into()?;
        let changes = changes.into_iter().map(RelationChange::try_from);
        Ok(Self {
            older: Compared::of(&older),
            newer: Compared::of(&newer),
            changes: changes.collect::<Result<_, _>>()?,
            unchanged,
            schema_changed,
        })
    }
}

impl TryFrom<wire::RelationChange> for RelationChange {
    type Error = WireError;

    fn try_from(change: wire::RelationChange) -> Result<Self, WireError> {
        use wire::RelationChangeKind as Kind;
        let wire::RelationChange {
            schema,
            name,
            kind,
            rows_before,
            rows_after,
            bytes_before,
            bytes_after,
        } = change;
        Ok(Self {
            schema,
            name,
            kind: variant("RelationChange", "kind", kind, |kind| match kind {
                Kind::Unspecified => None,
                Kind::Came => Some(ChangeKind::Came),
                Kind::Went => Some(ChangeKind::Went),
                Kind::Grew => Some(ChangeKind::Grew),
                Kind::Shrank => Some(ChangeKind::Shrank),
                Kind::Changed => Some(ChangeKind::Changed),
            })?,
            rows_before,
            rows_after,
            bytes_before,
            bytes_after,
        })
    }
}

impl TryFrom<wire::Deployment> for Deployment {
    type Error = WireError;

    fn try_from(deployment: wire::Deployment) -> Result<Self, WireError> {
        let wire::Deployment {
            project,
            host,
            at,
            volumes,
            counts,
        } = deployment;
        let volumes = volumes.into_iter().map(Volume::try_from);
        let counts = counts.into_iter().map(Count::try_from);
        Ok(Self {
            project,
            host,
            at: time("Deployment", "at", at)?,
            volumes: volumes.collect::<Result<_, _>>()?,
            counts: counts.collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<wire::DeployedVolume> for Volume {
    type Error = WireError;

    fn try_from(volume: wire::DeployedVolume) -> Result<Self, WireError> {
        let wire::DeployedVolume {
            host,
            service,
            path,
            name,
            created_at,
        } = volume;
        Ok(Self {
            host,
            service,
            path,
            name,
            created_at: time("DeployedVolume", "created_at", created_at)?,
        })
    }
}

impl TryFrom<wire::DeployedCount> for Count {
    type Error = WireError;

    fn try_from(count: wire::DeployedCount) -> Result<Self, WireError> {
        let wire::DeployedCount {
            database,
            check,
            run,
        } = count;
        Ok(Self {
            database: name("DeployedCount", database)?,
            check,
            run: required("DeployedCount", "run", run)?.try_into()?,
        })
    }
}

impl TryFrom<wire::DeploymentLine> for Line {
    type Error = WireError;

    fn try_from(line: wire::DeploymentLine) -> Result<Self, WireError> {
        use wire::DeploymentVerdict as Wire;
        let wire::DeploymentLine {
            subject,
            verdict,
            message,
        } = line;
        Ok(Self {
            subject,
            verdict: variant(
                "DeploymentLine",
                "verdict",
                verdict,
                |verdict| match verdict {
                    Wire::Unspecified => None,
                    Wire::Same => Some(Verdict::Same),
                    Wire::New => Some(Verdict::New),
                    Wire::Wrong => Some(Verdict::Wrong),
                    Wire::CouldNotCheck => Some(Verdict::CouldNotCheck),
                },
            )?,
            message,
        })
    }
}

impl Count {
    /// The number did not keep its limits, or is not known.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.run.verdict != CheckVerdict::Ok
    }
}
