//! Where the data of an instance lie, and what makes them themselves: told from its container and the files, without
//! asking the server, so that it is known of one that does not run as well.

use std::{
    fs::File,
    io::Read as _,
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use holdfast_proto::fleet::{Container, DataPlace, Engine, Mount, MountKind};
use rustix::fs::{AtFlags, StatxFlags, fstatfs, fstatvfs, statx};

use crate::engine::{
    discover::{Found, Standing},
    mariadb,
    postgres::socket::open_inside,
    server::Server,
};

/// A file system that does not answer in time is not waited for: what is read from it stays unknown.
const PATIENCE: Duration = Duration::from_secs(2);

/// None when nothing tells where they are.
pub async fn of(found: &Found) -> Option<DataPlace> {
    let place = placed(found)?;
    let (engine, root) = (found.engine, root(found, &place));
    let known = place.clone();
    let read = tokio::task::spawn_blocking(move || read(known, engine, root.as_deref()));
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(read)) => Some(read),
        Ok(Err(_)) | Err(_) => Some(place),
    }
}

/// By what the process and the container say: pure.
fn placed(found: &Found) -> Option<DataPlace> {
    // A process that has just begun does not tell yet.
    let told = match &found.standing {
        Standing::Running(server) => Some(server.data_directory().to_owned()),
        Standing::Down { .. } => None,
    };
    let path = match told.filter(|path| path.starts_with('/')) {
        Some(path) => path,
        None => {
            let set = found.container.as_ref()?.environment.data_directory.clone();
            let set = set.filter(|_| found.engine == Engine::Postgres);
            set.unwrap_or_else(|| usual(found.engine).to_owned())
        }
    };
    if !path.starts_with('/') {
        return None;
    }
    let host_path = match &found.container {
        None => path.clone(),
        Some(seen) => on_host(&seen.container, &path),
    };
    Some(DataPlace {
        path,
        host_path,
        ..DataPlace::default()
    })
}

/// Where the images of these engines keep them.
fn usual(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "/var/lib/postgresql/data",
        Engine::Mariadb | Engine::Mysql => "/var/lib/mysql",
    }
}

/// A path in the container as the host knows it; empty when it lies in the container itself.
fn on_host(container: &Container, path: &str) -> String {
    let Some((mount, rest)) = covering(container, path) else {
        return String::new();
    };
    if mount.host_path.is_empty() || mount.kind == MountKind::Tmpfs {
        return String::new();
    }
    let joined = Path::new(&mount.host_path).join(rest);
    // Joining nothing leaves a slash behind.
    let components: PathBuf = joined.components().collect();
    components.display().to_string()
}

fn covering<'a>(container: &'a Container, path: &'a str) -> Option<(&'a Mount, &'a Path)> {
    let mounts = container.mounts.iter();
    mounts
        .filter_map(|mount| {
            let rest = Path::new(path).strip_prefix(&mount.destination).ok()?;
            Some((mount, rest))
        })
        .max_by_key(|(mount, _)| mount.destination.len())
}

/// What the path is to be opened under, and the path there.
fn root(found: &Found, place: &DataPlace) -> Option<PathBuf> {
    if !place.host_path.is_empty() {
        return Some(PathBuf::from("/"));
    }
    let pid = found.container.as_ref()?.init_pid?;
    Some(PathBuf::from(format!("/proc/{pid}/root")))
}

fn read(mut place: DataPlace, engine: Engine, root: Option<&Path>) -> DataPlace {
    let Some(root) = root else {
        return place;
    };
    let path = match place.host_path.as_str() {
        "" => &place.path,
        path => path,
    };
    let Ok(directory) = open_inside(root, Path::new(path)) else {
        return place;
    };
    let wanted = StatxFlags::INO | StatxFlags::BTIME;
    if let Ok(told) = statx(&directory, c"", AtFlags::EMPTY_PATH, wanted) {
        place.inode = told.stx_ino;
        let has_birth = told.stx_mask & StatxFlags::BTIME.bits() != 0;
        place.born_at = has_birth
            .then(|| DateTime::<Utc>::from_timestamp(told.stx_btime.tv_sec, told.stx_btime.tv_nsec))
            .flatten();
    }
    place.file_system = file_system(&directory).unwrap_or_default();
    place.system_identifier = match engine {
        Engine::Postgres => system_identifier(&directory).unwrap_or_default(),
        Engine::Mariadb => mariadb::health::uuid_in(&directory).unwrap_or_default(),
        Engine::Mysql => String::new(),
    };
    place
}

/// "ext4 5f1c3a0e…".
fn file_system(of: &impl AsFd) -> Option<String> {
    let kind = match u64::try_from(fstatfs(of).ok()?.f_type).ok()? {
        0xef53 => "ext4".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x0102_1994 => "tmpfs".to_owned(),
        0x794c_7630 => "overlay".to_owned(),
        0x6969 => "nfs".to_owned(),
        0x2fc1_2fc1 => "zfs".to_owned(),
        other => format!("{other:x}"),
    };
    Some(format!("{kind} {:x}", fstatvfs(of).ok()?.f_fsid))
}

/// What a control file begins with, as the server itself would show it.
fn system_identifier(directory: &OwnedFd) -> Option<String> {
    let path = format!("/proc/self/fd/{}/global/pg_control", directory.as_raw_fd());
    let mut head = [0; 8];
    File::open(path).ok()?.read_exact(&mut head).ok()?;
    let identifier = u64::from_ne_bytes(head);
    (identifier != 0).then(|| identifier.to_string())
}

impl Server {
    /// As the server sees it; empty or relative when its process does not tell.
    fn data_directory(&self) -> &str {
        match self {
            Self::Postgres(server) => &server.data_directory,
            Self::Mariadb(server) => &server.data_directory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(mounts: &[(&str, &str)]) -> Found {
        let mounts: Vec<_> = mounts
            .iter()
            .map(|(source, destination)| {
                serde_json::json!({"Type": "volume", "Name": "n", "Source": source,
                    "Destination": destination, "RW": true})
            })
            .collect();
        let inspected = serde_json::from_value(serde_json::json!({
            "Id": "abc", "Name": "/shop-db", "State": {"Status": "exited"}, "Mounts": mounts,
            "Config": {"Env": ["PGDATA=/var/lib/postgresql/data/pgdata"]},
        }));
        let seen = crate::observe::containers::describe(inspected.unwrap(), "");
        Found {
            name: "shop-db".to_owned(),
            engine: Engine::Postgres,
            container: seen,
            standing: Standing::Down {
                reason: String::new(),
                ask_logs: false,
                soon: false,
            },
        }
    }

    #[test]
    fn the_closest_mount_says_where_the_data_lie_on_the_host() {
        let volume = ("/v/shop/_data", "/var/lib/postgresql/data");
        let place = |mounts: &[_]| placed(&container(mounts)).unwrap().host_path;
        assert_eq!(place(&[volume]), "/v/shop/_data/pgdata");
        let both = [("/v/all/_data", "/var/lib"), volume];
        assert_eq!(place(&both), "/v/shop/_data/pgdata");
        let exact = ("/v/x/_data", "/var/lib/postgresql/data/pgdata");
        assert_eq!(place(&[exact, volume]), "/v/x/_data");
        assert_eq!(place(&[("/v/x/_data", "/srv")]), "", "in the container");
    }

    #[tokio::test]
    async fn a_directory_says_what_it_is() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("pgdata/global");
        std::fs::create_dir_all(&data).unwrap();
        let mut found = container(&[(home.path().to_str().unwrap(), "/var/lib/postgresql/data")]);
        let empty = of(&found).await.unwrap();
        assert_ne!(empty.inode, 0);
        assert!(!empty.file_system.is_empty());
        assert_eq!(empty.system_identifier, "");
        let control = 7_575_000_000_000_000_001_u64.to_ne_bytes();
        std::fs::write(data.join("pg_control"), control).unwrap();
        let full = of(&found).await.unwrap();
        assert_eq!(full.system_identifier, "7575000000000000001");
        assert_eq!((full.inode, full.born_at), (empty.inode, empty.born_at));
        found = container(&[("/nowhere/at/all", "/var/lib/postgresql/data")]);
        let missing = of(&found).await.unwrap();
        assert_eq!((missing.inode, missing.system_identifier.as_str()), (0, ""));
    }
}
