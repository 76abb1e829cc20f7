//! Which backup somebody means: `17`, or of a database `web-1/shop-db/shop@latest`, `…@latest-proven`,
//! `…@before:2026-11-20T07:24Z`. Reading and choosing are pure; [`find`] asks the catalog.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDateTime, Utc};
use holdfast_proto::names::{DatabaseName, NameError, VolumeName};

use crate::catalog::{Backup, BackupId, BackupState, Catalog, CatalogError};

/// A backup as operators type it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupName {
    Id(BackupId),
    /// `DATABASE@SELECTOR`. A database alone is its latest.
    Of(DatabaseName, Selector),
}

/// Which of a database's backups. Only those are chosen that hold all of it, that can be restored as far as
/// anybody knows, and that nobody wants removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    Latest,
    /// The newest that a drill has restored.
    LatestProven,
    /// The newest that shows a moment before this one.
    Before(DateTime<Utc>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupNameError {
    #[error(
        "{0:?} names no backup: its number (17), or HOST/INSTANCE/DATABASE or HOST/VOLUME with @latest, @latest-proven or @before:TIME"
    )]
    Form(String),
    #[error(
        "{0:?} is no moment: give one with its time zone, such as 2026-11-20T07:24Z or 2026-11-20T08:24+01:00"
    )]
    Moment(String),
    #[error(transparent)]
    Database(#[from] NameError),
}

/// There is no such backup, or it is not to be had any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchBackup {
    #[error("there is no backup {0}")]
    Id(BackupId),
    #[error("backup {id} of {database} was removed at {at}")]
    Removed {
        id: BackupId,
        database: DatabaseName,
        at: String,
    },
    #[error("{database} has no backup at all")]
    None { database: DatabaseName },
    /// It has some, but none that fits.
    #[error(
        "of {database} no backup is {wanted}; {others} others are there: other kinds, damaged, or marked for removal among them"
    )]
    NoneFits {
        database: DatabaseName,
        wanted: String,
        others: usize,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error(transparent)]
    NoSuch(#[from] NoSuchBackup),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl NoSuchBackup {
    /// Where to look.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Id(_) => "`ctl backup list` shows what there is".to_owned(),
            Self::Removed { database, .. } | Self::NoneFits { database, .. } => {
                format!("`ctl backup list {database}` shows what there is")
            }
            Self::None { database } if database.volume().is_some() => {
                format!("`ctl backup create --volume {database}` makes one; is the name right?")
            }
            Self::None { database } => {
                format!("`ctl backup create {database}` makes one; is the name right?")
            }
        }
    }
}

/// The backup that the catalog has under that name.
///
/// # Errors
/// When there is none, it was removed, or the catalog fails.
pub async fn find(catalog: &Catalog, name: &BackupName) -> Result<Backup, FindError> {
    match name {
        BackupName::Id(id) => {
            let backup = catalog.backup(*id).await?;
            let backup = backup.ok_or(NoSuchBackup::Id(*id))?;
            Ok(still_there(backup)?)
        }
        BackupName::Of(database, selector) => {
            let backups = catalog.backups_of(database).await?;
            Ok(choose(database, *selector, &backups)?.clone())
        }
    }
}

/// Of a database's backups, in any order, the one that the selector means. Of two of one moment, the one
/// that was stored later.
///
/// # Errors
/// [`NoSuchBackup`] when none fits.
pub fn choose<'a>(
    database: &DatabaseName,
    selector: Selector,
    backups: &'a [Backup],
) -> Result<&'a Backup, NoSuchBackup> {
    let own = || {
        backups
            .iter()
            .filter(|backup| backup.database == *database && backup.removed_at.is_none())
    };
    let fits = own().filter(|backup| selector.fits(backup));
    let newest = fits.max_by_key(|backup| (backup.taken_at, backup.id));
    newest.ok_or_else(|| match own().count() {
        0 => NoSuchBackup::None {
            database: database.clone(),
        },
        others => NoSuchBackup::NoneFits {
            database: database.clone(),
            wanted: selector.to_string(),
            others,
        },
    })
}

impl Selector {
    fn fits(self, backup: &Backup) -> bool {
        let wanted = backup.marked_at.is_none();
        let chosen = match self {
            Self::Latest => true,
            Self::LatestProven => backup.state == BackupState::Proven,
            Self::Before(moment) => backup.taken_at < moment,
        };
        backup.kind.is_whole() && wanted && backup.state.is_good() && chosen
    }
}

fn still_there(backup: Backup) -> Result<Backup, NoSuchBackup> {
    match backup.removed_at {
        None => Ok(backup),
        Some(at) => Err(NoSuchBackup::Removed {
            id: backup.id,
            database: backup.database,
            at: at.format("%Y-%m-%d %H:%M UTC").to_string(),
        }),
    }
}

impl FromStr for BackupName {
    type Err = BackupNameError;

    /// The last `@` begins the selector: a database may have one in its name, and is then named with a selector.
    fn from_str(text: &str) -> Result<Self, BackupNameError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        if !text.contains('/') {
            return Err(BackupNameError::Form(text.to_owned()));
        }
        match text.rsplit_once('@') {
            None => Ok(Self::Of(series(text)?, Selector::Latest)),
            Some((name, selector)) => Ok(Self::Of(series(name)?, selector.parse()?)),
        }
    }
}

/// `HOST/VOLUME` or `HOST/INSTANCE/DATABASE`.
fn series(text: &str) -> Result<DatabaseName, NameError> {
    if text.matches('/').count() == 1
        && let Ok(volume) = text.parse::<VolumeName>()
    {
        return Ok(volume.into());
    }
    text.parse()
}

impl FromStr for Selector {
    type Err = BackupNameError;

    fn from_str(text: &str) -> Result<Self, BackupNameError> {
        match text {
            "latest" => Ok(Self::Latest),
            "latest-proven" => Ok(Self::LatestProven),
            _ => {
                let before = text.strip_prefix("before");
                let time = before.and_then(|rest| rest.strip_prefix([':', ' ']));
                let time = time.ok_or_else(|| BackupNameError::Form(format!("@{text}")))?;
                moment(time).map(Self::Before)
            }
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::LatestProven => f.write_str("latest-proven"),
            Self::Before(moment) => write!(
                f,
                "before:{}",
                moment.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
            ),
        }
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Of(database, selector) => write!(f, "{database}@{selector}"),
        }
    }
}

/// RFC 3339, seconds optional, a blank for the T. A moment without a zone is somebody's guess: refused.
fn moment(text: &str) -> Result<DateTime<Utc>, BackupNameError> {
    let wrong = || BackupNameError::Moment(text.to_owned());
    let trimmed = text.trim().replacen(' ', "T", 1);
    if let Ok(moment) = DateTime::parse_from_rfc3339(&trimmed) {
        return Ok(moment.to_utc());
    }
    if let Some(utc) = trimmed.strip_suffix(['Z', 'z']) {
        let minutes = NaiveDateTime::parse_from_str(utc, "%Y-%m-%dT%H:%M");
        return Ok(minutes.map_err(|_| wrong())?.and_utc());
    }
    let minutes = DateTime::parse_from_str(&trimmed, "%Y-%m-%dT%H:%M%:z");
    Ok(minutes.map_err(|_| wrong())?.to_utc())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use holdfast_proto::fleet::Engine;

    use super::*;
    use crate::catalog::BackupKind;

    fn shop() -> DatabaseName {
        "web-1/shop-db/shop".parse().unwrap()
    }

    fn start() -> DateTime<Utc> {
        "2026-11-20T06:00:00Z".parse().unwrap()
    }

    /// Taken so many hours after the start.
    fn backup(id: BackupId, hours: i64) -> Backup {
        let taken_at = start() + TimeDelta::hours(hours);
        Backup {
            id,
            database: shop(),
            engine: Some(Engine::Postgres),
            kind: BackupKind::Full,
            state: BackupState::Stored,
            pinned: false,
            taken_at,
            stored_at: taken_at,
            proven_at: None,
            logical_bytes: 1,
            stored_bytes: 1,
            snapshot_id: id.to_string(),
            job: None,
            marked_at: None,
            removed_at: None,
            deletion: None,
        }
    }

    fn chosen(selector: &str, backups: &[Backup]) -> Result<BackupId, NoSuchBackup> {
        choose(&shop(), selector.parse().unwrap(), backups).map(|backup| backup.id)
    }

    #[test]
    fn names_are_read_and_written() {
        let read = |text: &str| text.parse::<BackupName>().unwrap();
        assert_eq!(read("17"), BackupName::Id(17));
        for text in [
            "web-1/shop-db/shop@latest",
            "web-1/shop-db/shop@latest-proven",
            "web-1/shop-db/shop@before:2026-11-20T07:24:00Z",
            "web-1/shop-db/mail@home@latest",
        ] {
            assert_eq!(read(text).to_string(), text);
        }
        let alone = BackupName::Of(shop(), Selector::Latest);
        assert_eq!(read("web-1/shop-db/shop"), alone);
        let moment = "2026-11-20T07:24:00Z".parse().unwrap();
        for same in [
            "2026-11-20T07:24Z",
            "2026-11-20 07:24Z",
            "2026-11-20T08:24+01:00",
            "2026-11-20T08:24:00+01:00",
        ] {
            let before = BackupName::Of(shop(), Selector::Before(moment));
            assert_eq!(read(&format!("web-1/shop-db/shop@before:{same}")), before);
            assert_eq!(read(&format!("web-1/shop-db/shop@before {same}")), before);
        }
    }

    #[test]
    fn what_names_no_backup_says_what_would() {
        let error = |text: &str| text.parse::<BackupName>().unwrap_err().to_string();
        for text in ["shop", "", "-1", "latest", "web-1/shop-db/shop@latst"] {
            assert!(error(text).contains("@latest-proven"), "{text}");
        }
        assert!(error("web-1/a shop").contains("host/instance/database"));
        for time in ["2026-11-20T07:24", "yesterday", "2026-13-20T07:24Z", ""] {
            let said = error(&format!("web-1/shop-db/shop@before:{time}"));
            assert!(said.contains("with its time zone"), "{said}");
        }
    }

    #[test]
    fn the_newest_that_fits_is_chosen_whatever_the_order() {
        let mut proven = backup(2, 1);
        proven.state = BackupState::Proven;
        let backups = [backup(1, 0), backup(3, 2), proven];
        assert_eq!(chosen("latest", &backups), Ok(3));
        assert_eq!(chosen("latest-proven", &backups), Ok(2));
        assert_eq!(chosen("before:2026-11-20T08:00Z", &backups), Ok(2));
        assert_eq!(chosen("before:2026-11-20T08:00:01Z", &backups), Ok(3));
        let twins = [backup(5, 2), backup(4, 2)];
        assert_eq!(chosen("latest", &twins), Ok(5));
    }

    #[test]
    fn what_is_no_whole_good_wanted_backup_of_it_is_never_chosen() {
        let change = |change: fn(&mut Backup)| {
            let mut other = backup(9, 5);
            change(&mut other);
            other
        };
        for other in [
            change(|other| other.kind = BackupKind::SchemaOnly),
            change(|other| other.kind = BackupKind::Tables),
            change(|other| other.state = BackupState::Damaged),
            change(|other| other.marked_at = Some(start())),
            change(|other| other.removed_at = Some(start())),
            change(|other| other.database.database = "crm".to_owned()),
        ] {
            assert_eq!(chosen("latest", &[other.clone(), backup(1, 0)]), Ok(1));
            let alone = chosen("latest", std::slice::from_ref(&other)).unwrap_err();
            let gone = other.removed_at.is_some() || other.database != shop();
            assert_eq!(matches!(alone, NoSuchBackup::None { .. }), gone);
        }
        let error = chosen("latest-proven", &[backup(1, 0)]).unwrap_err();
        assert!(error.to_string().contains("latest-proven; 1 others"));
    }

    #[tokio::test]
    async fn a_number_finds_what_is_there_and_tells_of_what_was_removed() {
        let catalog = crate::catalog::testing::TestCatalog::new().await;
        let new = crate::catalog::NewBackup {
            database: shop(),
            engine: Some(Engine::Postgres),
            kind: BackupKind::SchemaOnly,
            taken_at: start(),
            stored_at: start(),
            logical_bytes: 1,
            stored_bytes: 1,
            snapshot_id: "a".to_owned(),
            manifest: serde_json::json!({}),
            job: None,
        };
        let id = catalog.add_backup(&new).await.unwrap();
        // A number means that one, whatever its kind.
        assert_eq!(find(&catalog, &BackupName::Id(id)).await.unwrap().id, id);
        catalog.mark_backup(id, Some(start())).await.unwrap();
        let after = start() + chrono::TimeDelta::seconds(1);
        assert!(
            catalog
                .remove_backup(id, after, (7, start()))
                .await
                .unwrap()
        );
        let error = find(&catalog, &BackupName::Id(id)).await.unwrap_err();
        let said = format!("backup {id} of web-1/shop-db/shop was removed at 2026-11-20 06:00 UTC");
        assert_eq!(error.to_string(), said);
        let absent = find(&catalog, &BackupName::Id(id + 1)).await.unwrap_err();
        assert_eq!(absent.to_string(), format!("there is no backup {}", id + 1));
    }
}
