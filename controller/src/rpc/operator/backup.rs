//! Backups: list, look, compare, pin, delete. How they are made: [`create`].

use std::sync::Arc;

use holdfast_proto::wire::{
    CompareBackupsRequest, CompareBackupsResponse, DeleteBackupRequest, DeleteBackupResponse,
    GetBackupRequest, GetBackupResponse, ListBackupsRequest, ListBackupsResponse, PinBackupRequest,
    PinBackupResponse,
};
use tonic::Code;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
};
use crate::{
    backup_diff::diff,
    backup_name::{self, BackupName, FindError, NoSuchBackup},
    catalog::{Backup, BackupId, BackupKind},
    job::{back_up_database::record::BackupContents, back_up_volume::contents::VolumeContents},
    retention::{Deletion, Reason, keeps_from_deletion},
    rpc::convert::{backup_contents, backup_diff, volume_contents},
    standing::{gather, retain},
};

pub mod create;

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListBackupsRequest,
) -> Result<ListBackupsResponse, RpcError> {
    let ListBackupsRequest {
        host,
        instance,
        database,
        include_removed,
    } = request;
    let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
    let mut backups = services.catalog.backups(include_removed).await?;
    backups.retain(|backup| {
        let of = &backup.database;
        // HOST/NAME is an instance with everything in it, or a volume.
        let volume = of.volume().is_some() && database.is_empty() && instance == of.database;
        fits(&host, of.host.as_str())
            && (volume || fits(&instance, &of.instance) && fits(&database, &of.database))
    });
    Ok(ListBackupsResponse {
        backups: backups.into_iter().map(Into::into).collect(),
    })
}

pub async fn get(
    services: Arc<Services>,
    _: Caller,
    request: GetBackupRequest,
) -> Result<GetBackupResponse, RpcError> {
    let backup = match request.backup.parse()? {
        // Also one that is gone: what was in it is still known.
        BackupName::Id(id) => row(&services, id).await?,
        name @ BackupName::Of(..) => backup_name::find(&services.catalog, &name).await?,
    };
    let gathered = gather(&services.catalog).await?;
    let decisions = retain(&gathered, services.clock.now());
    let own = decisions.into_iter().find(|(of, ..)| of.id == backup.id);
    let decision = own.map(|(_, decision, _)| decision);
    if backup.kind == BackupKind::Volume {
        let contents = of_volume(&services, &backup).await?;
        return Ok(volume_contents(backup, contents, decision));
    }
    let contents = contents(&services, &backup).await?;
    Ok(backup_contents(backup, contents, decision))
}

pub async fn compare(
    services: Arc<Services>,
    _: Caller,
    request: CompareBackupsRequest,
) -> Result<CompareBackupsResponse, RpcError> {
    let newer = backup_name::find(&services.catalog, &request.backup.parse()?).await?;
    let older = match request.with.as_str() {
        "" => before(&services, &newer).await?,
        with => backup_name::find(&services.catalog, &with.parse()?).await?,
    };
    if let Some(volume) = [&older, &newer]
        .into_iter()
        .find(|backup| backup.kind == BackupKind::Volume)
    {
        let message = format!(
            "backup {} is one of a volume: only those of databases are compared",
            volume.id
        );
        let advice = "what is in it: ctl backup show; its files: restic diff on the repository";
        return Err(RpcError::new(Code::FailedPrecondition, message, advice));
    }
    // Whichever was named first.
    let (older, newer) = if older.taken_at <= newer.taken_at {
        (older, newer)
    } else {
        (newer, older)
    };
    let (was, is) = tokio::try_join!(contents(&services, &older), contents(&services, &newer))?;
    Ok(backup_diff(older, newer, diff(&was.image, &is.image)))
}

pub async fn pin(
    services: Arc<Services>,
    caller: Caller,
    request: PinBackupRequest,
) -> Result<PinBackupResponse, RpcError> {
    let backup = backup_name::find(&services.catalog, &request.backup.parse()?).await?;
    let id = backup.id;
    let change = Change {
        action: if request.pinned {
            "backup.pin"
        } else {
            "backup.unpin"
        },
        subject: format!("backup/{id}"),
        detail: backup.database.to_string(),
    };
    let work = async {
        if !services.catalog.pin_backup(id, request.pinned).await? {
            return Err(gone(id));
        }
        row(&services, id).await
    };
    let pinned = caller.change(&services, change, work).await?;
    Ok(PinBackupResponse {
        backup: Some(pinned.into()),
    })
}

pub async fn delete(
    services: Arc<Services>,
    caller: Caller,
    request: DeleteBackupRequest,
) -> Result<DeleteBackupResponse, RpcError> {
    let id = request.backup;
    let backup = backup_name::find(&services.catalog, &BackupName::Id(id)).await?;
    let change = Change {
        action: "backup.delete",
        subject: format!("backup/{id}"),
        detail: format!(
            "{}{}",
            backup.database,
            if request.force { ", forced" } else { "" }
        ),
    };
    let deletion = Deletion {
        by: caller.actor(),
        forced: request.force,
    };
    let work = mark(&services, &backup, deletion, &request.typed);
    let marked = caller.change(&services, change, work).await?;
    Ok(DeleteBackupResponse {
        backup: Some(marked.into()),
    })
}

/// It is refused here for what an operator can know now; the scheduler looks again before anything goes.
async fn mark(
    services: &Services,
    backup: &Backup,
    deletion: Deletion,
    typed: &str,
) -> Result<Backup, RpcError> {
    let (id, name) = (backup.id, backup.database.to_string());
    if deletion.forced && typed != name {
        let message = format!("{typed:?} is not the name of what backup {id} is of: {name}");
        return Err(RpcError::invalid(message));
    }
    let now = services.clock.now();
    let series = gather(&services.catalog).await?.series_of(backup);
    let kept_for = keeps_from_deletion(&series, id, &deletion, now);
    if !kept_for.is_empty() {
        return Err(refused(id, &kept_for));
    }
    if !services.catalog.delete_backup(id, &deletion, now).await? {
        return Err(gone(id));
    }
    row(services, id).await
}

fn refused(id: BackupId, kept_for: &[Reason]) -> RpcError {
    let told: Vec<_> = kept_for.iter().map(ToString::to_string).collect();
    let message = format!("backup {id} is not deleted: {}", told.join("; "));
    let reader = kept_for.iter().find_map(|reason| match reason {
        Reason::ReadBy(job) => Some(job),
        _ => None,
    });
    let advice = if kept_for.contains(&Reason::Pinned) {
        format!("`ctl backup unpin {id}` takes the pin away")
    } else if let Some(job) = reader {
        format!("wait for it (ctl job watch {job}), or cancel it (ctl job cancel {job})")
    } else {
        format!("make another one first; or, if you are sure: ctl backup delete {id} --force")
    };
    RpcError::new(Code::FailedPrecondition, message, advice)
}

async fn row(services: &Services, id: BackupId) -> Result<Backup, RpcError> {
    let backup = services.catalog.backup(id).await?;
    backup.ok_or_else(|| FindError::from(NoSuchBackup::Id(id)).into())
}

fn gone(id: BackupId) -> RpcError {
    let message = format!("backup {id} was pinned or removed in this moment");
    RpcError::new(Code::FailedPrecondition, message, "look: ctl backup list")
}

/// The one before it of the same database and kind.
async fn before(services: &Services, newer: &Backup) -> Result<Backup, RpcError> {
    let backups = services.catalog.backups_of(&newer.database).await?;
    let key = |backup: &Backup| (backup.taken_at, backup.id);
    let older = backups
        .into_iter()
        .filter(|other| other.kind == newer.kind && key(other) < key(newer));
    older.max_by_key(key).ok_or_else(|| {
        RpcError::new(
            Code::NotFound,
            format!(
                "backup {} is the first {} one of {}: there is none to compare it with",
                newer.id, newer.kind, newer.database
            ),
            format!(
                "name the other: ctl backup diff {} BACKUP; `ctl backup list` shows them",
                newer.id
            ),
        )
    })
}

async fn contents(services: &Services, backup: &Backup) -> Result<BackupContents, RpcError> {
    let manifest = services.catalog.backup_manifest(backup.id).await?;
    let unreadable = |why: String| {
        let message = format!("what is in backup {} cannot be told: {why}", backup.id);
        let advice = "with a controller as new as the one that made it, try again; the rows are in the repository all the same";
        RpcError::new(Code::DataLoss, message, advice)
    };
    let manifest = manifest.ok_or_else(|| unreadable("it has no record".to_owned()))?;
    BackupContents::read(manifest).map_err(unreadable)
}

async fn of_volume(services: &Services, backup: &Backup) -> Result<VolumeContents, RpcError> {
    let record = services.catalog.backup_manifest(backup.id).await?;
    let record = record.ok_or_else(|| "it has no record".to_owned());
    record.and_then(VolumeContents::read).map_err(|why| {
        let message = format!("what is in backup {} cannot be told: {why}", backup.id);
        let advice = "with a controller as new as the one that made it, try again; the files are in the repository all the same";
        RpcError::new(Code::DataLoss, message, advice)
    })
}
