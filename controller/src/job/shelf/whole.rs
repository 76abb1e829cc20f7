//! Reading a whole repository: every object, and what is wrong with which snapshot.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_proto::{image::Manifest, task::VolumeImage};
use holdfast_repository::{Blobs, Repository, RepositoryError, Told, Wanted};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{OutOfReach, snapshots, through::damage};

/// What an agent stores last: of a database, of a volume.
const OF_DATABASE: &str = "manifest.json";
const OF_VOLUME: &str = "volume.json";

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReadWhole {
    /// Those that are what was stored.
    pub objects: u64,
    pub bytes: u64,
    /// Objects that are not, or are gone.
    pub damage: Vec<String>,
    /// By the repository's own names: every one that was there when the reading began.
    pub snapshots: BTreeMap<String, Held>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// What it needs and is not there as it was stored; none: all of it is.
    pub damage: Option<String>,
    /// What it says itself that it is, or why that cannot be said.
    pub image: Result<StoredImage, String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum StoredImage {
    Database(Box<Manifest>),
    Volume(Box<VolumeImage>),
}

/// Of what could be opened, or not: then nothing in it can be restored.
pub(in crate::job) async fn read(
    repository: Result<Repository, RepositoryError>,
    blobs: Arc<dyn Blobs>,
    told: &Told,
    stop: &CancellationToken,
) -> Result<ReadWhole, OutOfReach> {
    let repository = match repository {
        Ok(repository) => repository,
        Err(error) => {
            let damage = damage(error)?;
            let held = Held {
                damage: Some(damage.clone()),
                image: Err(damage.clone()),
            };
            let names = snapshots(&*blobs).await?.into_iter();
            return Ok(ReadWhole {
                damage: vec![damage],
                snapshots: names.map(|name| (name, held.clone())).collect(),
                ..ReadWhole::default()
            });
        }
    };
    let wanted = Wanted {
        entries: vec![OF_DATABASE.to_owned(), OF_VOLUME.to_owned()],
        read: Box::new(image),
    };
    let whole = repository.read_whole(wanted, told, stop).await?;
    let held = whole.snapshots.into_iter().map(|(id, held)| {
        let none = || Err("it holds no manifest of a backup".to_owned());
        let held = Held {
            damage: held.damage,
            image: held.entry.unwrap_or_else(none),
        };
        (id.to_string(), held)
    });
    Ok(ReadWhole {
        objects: whole.objects,
        bytes: whole.bytes,
        damage: whole.damage,
        snapshots: held.collect(),
    })
}

/// The list of files in it is passed over.
fn image(name: &str, content: &[u8]) -> Result<StoredImage, String> {
    #[derive(Deserialize)]
    struct OfDatabase {
        manifest: Box<Manifest>,
    }
    #[derive(Deserialize)]
    struct OfVolume {
        image: Box<VolumeImage>,
    }
    let read = if name == OF_DATABASE {
        serde_json::from_slice(content).map(|of: OfDatabase| StoredImage::Database(of.manifest))
    } else {
        serde_json::from_slice(content).map(|of: OfVolume| StoredImage::Volume(of.image))
    };
    read.map_err(|error| format!("its {name} cannot be read: {error}"))
}
