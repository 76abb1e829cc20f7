//! What the catalog knows of the backup.

use holdfast_proto::task::{FailureKind, TaskFailure};

use super::RestoreDatabase;
use crate::{
    catalog::{Backup, Catalog},
    job::{back_up_database::record::BackupContents, step::catalog_failure},
};

/// A backup with what was noted when it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub backup: Backup,
    /// Or why nobody can make use of it.
    pub contents: Result<BackupContents, String>,
}

/// None: there never was such a backup.
///
/// # Errors
/// When the catalog fails; trying again may help.
pub async fn known(
    catalog: &Catalog,
    request: &RestoreDatabase,
) -> Result<Option<Known>, TaskFailure> {
    let backup = catalog.backup(request.backup).await;
    let manifest = catalog.backup_manifest(request.backup).await;
    let backup = backup.map_err(|error| catalog_failure(&error))?;
    let manifest = manifest.map_err(|error| catalog_failure(&error))?;
    Ok(backup.zip(manifest).map(|(backup, manifest)| Known {
        backup,
        contents: BackupContents::read(manifest),
    }))
}

/// For the steps after the preflight, which has seen that it can be read.
///
/// # Errors
/// It cannot be read any more, or the catalog fails.
pub async fn contents(
    catalog: &Catalog,
    request: &RestoreDatabase,
) -> Result<(Backup, BackupContents), TaskFailure> {
    let gone = |message: String| TaskFailure {
        kind: FailureKind::Conflict,
        message,
        advice: "nothing was published. `ctl backup list` shows the backups".to_owned(),
        retryable: false,
    };
    let Some(Known { backup, contents }) = known(catalog, request).await? else {
        return Err(gone(format!("there is no backup {}", request.backup)));
    };
    let contents = contents.map_err(gone)?;
    Ok((backup, contents))
}
