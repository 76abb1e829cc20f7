//! Where a mount leads to on the host, and whether that is a data directory.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

use super::{
    create::{Asked, Source},
    facts::{DataDirectory, Facts, Mounted, Place},
};

/// Where the images of servers keep their data: a folder above a data directory that is mounted so that the data come
/// to lie there is meant for a server.
const HOMES: [&str; 4] = [
    "/var/lib/postgresql",
    "/var/lib/mysql",
    "/bitnami",
    "/home/postgres",
];

/// What was asked for, with the links of the host followed.
///
/// Reads the file system; what cannot be read is taken as it is written.
#[must_use]
pub fn resolve(asked: &[Asked], facts: &Facts) -> Vec<Mounted> {
    asked.iter().map(|asked| resolved(asked, facts)).collect()
}

/// Where the files of a volume are: `told` is what the engine says, if it was asked.
#[must_use]
pub fn of_volume(volume: &str, told: Option<&Path>, facts: &Facts) -> Option<PathBuf> {
    root(volume, facts).or_else(|| told.map(|path| folder(path, facts)))
}

/// The folder itself, links followed as far as it exists. A data directory that is mounted a second time somewhere
/// else on the host is the same folder under another path.
#[must_use]
pub fn folder(path: &Path, facts: &Facts) -> PathBuf {
    let path = followed(path);
    let same = identity(&path).ok().and_then(|wanted| {
        let mut known = facts
            .data
            .iter()
            .flat_map(|data| data.roots.iter().cloned().chain(data.paths()));
        known.find(|known| *known != path && identity(known).is_ok_and(|own| own == wanted))
    });
    same.unwrap_or(path)
}

fn resolved(asked: &Asked, facts: &Facts) -> Mounted {
    let (volume, path) = match &asked.source {
        Source::Folder(path) => (None, Some(folder(path, facts))),
        Source::Volume { name, subpath } => {
            let root = root(name, facts);
            let path = match (root, subpath) {
                // It cannot lead out of its volume, as the engine sees to.
                (Some(root), Some(subpath)) => Some(followed(&root.join(inside(subpath)))),
                (root, _) => root,
            };
            (Some(name.clone()), path)
        }
    };
    Mounted {
        volume,
        path,
        destination: asked.destination.clone(),
        read_only: asked.read_only,
    }
}

fn root(volume: &str, facts: &Facts) -> Option<PathBuf> {
    let known = facts.data.iter().find(|data| is_volume(data, volume));
    let root = known.and_then(|data| data.roots.first());
    root.or_else(|| facts.devices.get(volume)).cloned()
}

fn inside(subpath: &Path) -> PathBuf {
    let parts = subpath.components();
    parts
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

fn is_volume(data: &DataDirectory, volume: &str) -> bool {
    matches!(&data.place, Place::Volume { name, .. } if name == volume)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn followed(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut there = path;
    loop {
        if let Ok(mut found) = fs::canonicalize(there) {
            for part in missing.into_iter().rev() {
                found.push(part);
            }
            return found;
        }
        match (there.parent(), there.components().next_back()) {
            (Some(parent), Some(Component::Normal(name))) => {
                missing.push(name.to_owned());
                there = parent;
            }
            _ => return lexical(path),
        }
    }
}

fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean
}

/// Whether a container with this mount could write to the data. Pure: paths are compared as they are.
///
/// A mount that is read-only cannot harm: no server starts on it, and who only reads changes nothing.
#[must_use]
pub fn reaches(mount: &Mounted, data: &DataDirectory, is_server: bool) -> bool {
    if mount.read_only {
        return false;
    }
    let by_name = mount
        .volume
        .as_deref()
        .is_some_and(|name| is_volume(data, name));
    let Some(path) = &mount.path else {
        return by_name;
    };
    if by_name && data.roots.iter().any(|root| root == path) {
        return true;
    }
    data.roots.iter().any(|root| {
        data.inside.iter().any(|inside| {
            let data = match inside.as_os_str().is_empty() {
                true => root.clone(),
                false => root.join(inside),
            };
            // The data, something in them, or a folder above them that is of the place itself.
            path.starts_with(&data)
                || (data.starts_with(path)
                    && (path.starts_with(root)
                        || is_folder_of_volume(path, root)
                        || is_server
                        || lies_at_home(mount, path, &data)))
        })
    })
}

/// `…/volumes/NAME`, in which the volume's files are `_data`.
fn is_folder_of_volume(path: &Path, root: &Path) -> bool {
    root.ends_with("_data") && root.parent() == Some(path)
}

fn lies_at_home(mount: &Mounted, path: &Path, data: &Path) -> bool {
    let below = data.strip_prefix(path).unwrap_or(data);
    let seen = mount.destination.join(below);
    HOMES.iter().any(|home| seen.starts_with(home))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn data(root: &Path, inside: &str) -> DataDirectory {
        DataDirectory {
            place: Place::Volume {
                name: "shop_db".to_owned(),
                anonymous: false,
            },
            roots: vec![root.to_owned()],
            inside: vec![inside.into()],
            server: "PostgreSQL 17".to_owned(),
            instance: None,
            databases: vec![],
            servers: vec![],
            on_host: false,
            protection: None,
        }
    }

    fn mounted(path: &str, destination: &str) -> Mounted {
        Mounted {
            volume: None,
            path: Some(path.into()),
            destination: destination.into(),
            read_only: false,
        }
    }

    #[test]
    fn the_data_what_is_in_them_and_what_is_above_them_in_the_volume_are_reached() {
        let data = data(Path::new("/v/shop_db/_data"), "pg");
        for (path, reached) in [
            ("/v/shop_db/_data/pg", true),
            ("/v/shop_db/_data/pg/base", true),
            ("/v/shop_db/_data", true),
            ("/v/shop_db", true),
            ("/v/shop_db/_data/uploads", false),
            ("/v/shop_db/_data/pg2", false),
            ("/v/shop_db2", false),
            // Agents that watch a machine have the whole of it.
            ("/v", false),
            ("/", false),
        ] {
            assert_eq!(
                reaches(&mounted(path, "/x"), &data, false),
                reached,
                "{path}"
            );
        }
        assert!(reaches(&mounted("/v", "/x"), &data, true), "a server");
        let home = mounted("/v/shop_db", "/var/lib/postgresql");
        assert!(reaches(&home, &data, false));
        let read_only = Mounted {
            read_only: true,
            ..mounted("/v/shop_db/_data", "/x")
        };
        assert!(!reaches(&read_only, &data, true));
        let by_name = Mounted {
            volume: Some("shop_db".to_owned()),
            path: None,
            ..mounted("", "/x")
        };
        assert!(reaches(&by_name, &data, false));
        let other = Mounted {
            volume: Some("other".to_owned()),
            ..by_name
        };
        assert!(!reaches(&other, &data, false));
    }

    #[test]
    fn a_folder_above_counts_where_its_data_would_lie_at_a_server_s_home() {
        let data = data(Path::new("/srv/shop/data"), "");
        assert!(reaches(
            &mounted("/srv/shop", "/var/lib/postgresql"),
            &data,
            false
        ));
        assert!(!reaches(&mounted("/srv/shop", "/app"), &data, false));
    }

    #[test]
    fn links_dots_and_paths_that_are_not_there_are_followed() {
        let folder_ = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder_.path()).unwrap();
        fs::create_dir_all(root.join("volumes/shop_db/_data/pg")).unwrap();
        symlink(root.join("volumes"), root.join("link")).unwrap();
        let facts = Facts {
            data: vec![data(&root.join("volumes/shop_db/_data"), "")],
            ..Facts::none("web-1", chrono::DateTime::UNIX_EPOCH)
        };
        let real = root.join("volumes/shop_db/_data");
        for way in [
            "link/shop_db/_data",
            "volumes/../link/shop_db/./_data/",
            "link/shop_db/_data/pg/..",
        ] {
            assert_eq!(folder(&root.join(way), &facts), real, "{way}");
        }
        let missing = root.join("link/shop_db/_data/new/deep");
        assert_eq!(folder(&missing, &facts), real.join("new/deep"));
        let asked = Asked {
            source: Source::Volume {
                name: "shop_db".to_owned(),
                subpath: Some("../../pg/.".into()),
            },
            destination: "/x".into(),
            read_only: false,
        };
        assert_eq!(resolved(&asked, &facts).path, Some(real.join("pg")));
    }
}
