//! What is in two volumes is exchanged, in one step of the file system.
//!
//! An engine cannot rename a volume. But the files of a `local` one are a folder, `_data`, whose path never changes,
//! and Linux exchanges two folders atomically: whoever dies at any moment leaves the one or the other, never half.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use holdfast_proto::task::{FailureKind, SwapVolume, TaskFailure};
use rustix::fs::{RenameFlags, renameat_with};
use tracing::info;

use super::{place::Place, tree::Root};
use crate::engine::postgres::failure::failure;

/// Whether anything was changed: `root` may be where it shall be already.
///
/// # Errors
/// `Conflict` when `root` is in neither of them; what the file system says.
pub fn swap(spec: &SwapVolume, volume: &Place, other: &Place) -> Result<bool, TaskFailure> {
    let wrong = |error: io::Error| unexchanged(spec, &error);
    let inode = |place: &Place| -> io::Result<u64> { Ok(Root::open(&place.path)?.stat()?.st_ino) };
    let (here, there) = (inode(volume).map_err(wrong)?, inode(other).map_err(wrong)?);
    let (goal, start) = if spec.back {
        (there, here)
    } else {
        (here, there)
    };
    if goal == spec.root {
        return Ok(false);
    }
    if start != spec.root {
        let message = format!(
            "what was restored is neither in {} nor in {}: something else was done to them",
            spec.volume, spec.other
        );
        let advice = "look at both volumes; nothing was changed";
        return Err(failure(FailureKind::Conflict, message, advice));
    }
    exchange(&volume.path, &other.path).map_err(wrong)?;
    info!(
        volume = spec.volume,
        other = spec.other,
        back = spec.back,
        "two volumes were exchanged"
    );
    Ok(true)
}

fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let (one, other) = (parts(one)?, parts(other)?);
    renameat_with(&one.0, &one.1, &other.0, &other.1, RenameFlags::EXCHANGE)?;
    one.0.sync_all()?;
    other.0.sync_all()
}

fn parts(path: &Path) -> io::Result<(File, PathBuf)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((File::open(parent)?, name.into())),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn unexchanged(spec: &SwapVolume, error: &io::Error) -> TaskFailure {
    let message = format!(
        "volumes {} and {} were not exchanged: {error}",
        spec.volume, spec.other
    );
    let advice = match error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error)
    {
        Some(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::XDEV) => {
            "the file system under the engine's volumes cannot exchange folders: restore into a new volume \
             (--to), and let the containers use that one"
        }
        _ => "look at the folder of the engine's volumes",
    };
    failure(FailureKind::Refused, message, advice)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt};

    use bollard::models::Volume;

    use super::*;

    fn place(folder: &Path, name: &str) -> Place {
        let path = folder.join(name).join("_data");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("who"), name).unwrap();
        Place::from(Volume {
            name: name.to_owned(),
            mountpoint: path.to_str().unwrap().to_owned(),
            ..Volume::default()
        })
    }

    #[test]
    fn an_exchange_is_done_once_and_taken_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let (live, other) = (place(folder.path(), "live"), place(folder.path(), "other"));
        let root = fs::metadata(&other.path).unwrap().ino();
        let spec = |back| SwapVolume {
            volume: "live".to_owned(),
            other: "other".to_owned(),
            root,
            back,
        };
        let who = |place: &Place| fs::read_to_string(place.path.join("who")).unwrap();
        assert!(!swap(&spec(true), &live, &other).unwrap(), "it is back");
        assert!(swap(&spec(false), &live, &other).unwrap());
        assert!(!swap(&spec(false), &live, &other).unwrap(), "done before");
        assert_eq!((who(&live), who(&other)), ("other".into(), "live".into()));
        assert!(swap(&spec(true), &live, &other).unwrap());
        assert_eq!((who(&live), who(&other)), ("live".into(), "other".into()));
        let strange = SwapVolume {
            root: root + 1_000_000,
            ..spec(false)
        };
        let refused = swap(&strange, &live, &other).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Conflict);
        assert_eq!(who(&live), "live");
    }
}
