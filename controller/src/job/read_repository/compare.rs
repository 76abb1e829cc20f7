//! What the catalog says of a host's backups, held against what its repository holds. Pure.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use holdfast_proto::names::DatabaseName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    catalog::{Backup, BackupId, BackupKind},
    job::{
        back_up_database::record::BackupContents,
        back_up_volume::contents::VolumeContents,
        shelf::{
            ReadWhole,
            whole::{Held, StoredImage},
        },
    },
};

/// A backup that the catalog calls stored, as the repository has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    pub backup: BackupId,
    pub of: DatabaseName,
    pub kind: String,
    pub taken_at: DateTime<Utc>,
    pub snapshot: String,
    pub bytes: u64,
    pub found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    Intact,
    /// There is no such snapshot.
    Missing,
    /// What it needs and is not what was stored.
    Damaged(String),
    /// It is whole, and not this backup.
    Other(String),
    /// It is whole, and nobody can say whether it is this backup.
    Unknown(String),
}

impl Looked {
    /// Host/instance/database, or host/volume.
    #[must_use]
    pub fn subject(&self) -> String {
        self.of
            .volume()
            .map_or_else(|| self.of.to_string(), |volume| volume.to_string())
    }

    /// "backup 12 of web-1/shop-db/shop, taken 2026-11-20 06:00:00 UTC".
    #[must_use]
    pub fn named(&self) -> String {
        format!(
            "backup {} of {}, taken {} UTC",
            self.backup,
            self.subject(),
            self.taken_at.format("%F %H:%M:%S")
        )
    }
}

/// `backups` with what the catalog keeps beside each.
#[must_use]
pub fn compare(backups: &[(Backup, Value)], read: &ReadWhole) -> Vec<Looked> {
    let looked = backups.iter().map(|(backup, record)| Looked {
        backup: backup.id,
        of: backup.database.clone(),
        kind: backup.kind.to_string(),
        taken_at: backup.taken_at,
        snapshot: backup.snapshot_id.clone(),
        bytes: backup.logical_bytes,
        found: match read.snapshots.get(&backup.snapshot_id) {
            None => Found::Missing,
            Some(held) => found(backup, record, held),
        },
    });
    looked.collect()
}

/// Snapshots that no row of the catalog names, not even that of a backup that is gone.
#[must_use]
pub fn unknown(known: &[Backup], read: &ReadWhole) -> Vec<String> {
    let known: BTreeSet<&str> = known.iter().map(|one| one.snapshot_id.as_str()).collect();
    let held = read.snapshots.keys();
    held.filter(|name| !known.contains(name.as_str()))
        .cloned()
        .collect()
}

fn found(backup: &Backup, record: &Value, held: &Held) -> Found {
    if let Some(damage) = &held.damage {
        return Found::Damaged(damage.clone());
    }
    let image = match &held.image {
        Ok(image) => image,
        // Its bytes are those that were stored, so an older version may read it.
        Err(why) => return Found::Unknown(why.clone()),
    };
    let taken = |at: DateTime<Utc>| {
        let at = at.format("%F %H:%M:%S");
        format!("the repository holds another image under this name, of {at} UTC")
    };
    let (same, other) = match (backup.kind == BackupKind::Volume, image) {
        (false, StoredImage::Database(image)) => match BackupContents::read(record.clone()) {
            Ok(noted) => (noted.image == **image, taken(image.taken_at)),
            Err(why) => return Found::Unknown(why),
        },
        (true, StoredImage::Volume(image)) => match VolumeContents::read(record.clone()) {
            Ok(noted) => (noted.image == **image, taken(image.taken_at)),
            Err(why) => return Found::Unknown(why),
        },
        (true, StoredImage::Database(_)) => {
            (false, "the repository holds a database there".to_owned())
        }
        (false, StoredImage::Volume(_)) => {
            (false, "the repository holds a volume there".to_owned())
        }
    };
    if same {
        Found::Intact
    } else {
        Found::Other(other)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use holdfast_proto::task::{DatabaseFacts, Selection};

    use super::*;
    use crate::{catalog::BackupState, job::proofs::image_of};

    fn moment() -> DateTime<Utc> {
        "2026-11-20T06:00:00Z".parse().unwrap()
    }

    fn backup(id: BackupId, snapshot: &str) -> (Backup, Value) {
        let noted = BackupContents {
            format: 1,
            image: image_of("5000 users"),
            source: DatabaseFacts::default(),
            selection: Selection::default(),
            checks: vec![],
        };
        let backup = Backup {
            id,
            database: "web-1/shop-db/shop".parse().unwrap(),
            engine: None,
            kind: BackupKind::Full,
            state: BackupState::Stored,
            pinned: false,
            taken_at: moment(),
            stored_at: moment(),
            proven_at: None,
            logical_bytes: 1,
            stored_bytes: 1,
            snapshot_id: snapshot.to_owned(),
            job: None,
            marked_at: None,
            removed_at: None,
            deletion: None,
        };
        (backup, serde_json::to_value(noted).unwrap())
    }

    fn held(image: &str) -> Held {
        Held {
            damage: None,
            image: Ok(StoredImage::Database(Box::new(image_of(image)))),
        }
    }

    fn of(held: Option<Held>) -> Found {
        let snapshots: BTreeMap<_, _> = held.into_iter().map(|h| ("aa".to_owned(), h)).collect();
        let read = ReadWhole {
            snapshots,
            ..ReadWhole::default()
        };
        compare(&[backup(1, "aa")], &read).remove(0).found
    }

    #[test]
    fn only_the_catalog_s_own_image_with_everything_in_it_is_intact() {
        assert_eq!(of(Some(held("5000 users"))), Found::Intact);
        assert_eq!(of(None), Found::Missing);
        assert!(matches!(of(Some(held("4999 users"))), Found::Other(_)));
        let torn = Held {
            damage: Some("a pack is gone".to_owned()),
            ..held("5000 users")
        };
        assert_eq!(of(Some(torn)), Found::Damaged("a pack is gone".to_owned()));
        let unread = Held {
            damage: None,
            image: Err("later".to_owned()),
        };
        assert_eq!(of(Some(unread)), Found::Unknown("later".to_owned()));
    }

    #[test]
    fn what_no_row_names_is_unknown_and_what_a_row_named_once_is_not() {
        let (mut gone, _) = backup(2, "bb");
        gone.state = BackupState::Expired;
        let read = ReadWhole {
            snapshots: ["aa", "bb", "cc"]
                .map(|name| (name.to_owned(), held("5000 users")))
                .into(),
            ..ReadWhole::default()
        };
        assert_eq!(unknown(&[backup(1, "aa").0, gone], &read), ["cc"]);
    }
}
