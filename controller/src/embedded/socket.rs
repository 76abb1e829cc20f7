//! The directory of the server's socket: private, and short enough for the kernel.

use std::{
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{EmbeddedError, Owner, PORT};

/// What the kernel allows in the path of a unix socket.
const LONGEST: usize = 107;

/// Makes the directory, mode 0700, owned by the server's user, without sockets of an earlier server.
///
/// # Errors
/// When the place is taken by somebody else.
pub fn prepare(directory: &Path, owner: &Owner) -> Result<PathBuf, EmbeddedError> {
    let path = place(directory, runtime_directory(owner));
    let failed = |source| EmbeddedError::Files {
        doing: "prepare the socket directory",
        path: path.clone(),
        source,
    };
    match std::fs::DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) if owner.is_another() => {
            chown(&path, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
        }
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    check(&path, owner, failed)?;
    for name in [format!(".s.PGSQL.{PORT}"), format!(".s.PGSQL.{PORT}.lock")] {
        match std::fs::remove_file(path.join(name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(path)
}

/// Others can write where the short directory lies: it must be a real one, and ours.
fn check(
    path: &Path,
    owner: &Owner,
    failed: impl Fn(io::Error) -> EmbeddedError,
) -> Result<(), EmbeddedError> {
    let found = std::fs::symlink_metadata(path).map_err(&failed)?;
    let not_ours = |reason: String| EmbeddedError::SocketDirectory {
        path: path.to_owned(),
        reason,
    };
    if !found.is_dir() {
        return Err(not_ours("it is not a directory".to_owned()));
    }
    if found.uid() != owner.uid() {
        return Err(not_ours(format!(
            "user {} owns it, not {:?}",
            found.uid(),
            owner.name()
        )));
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(failed)
}

fn runtime_directory(owner: &Owner) -> PathBuf {
    if owner.is_another() {
        return PathBuf::from("/run");
    }
    std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| path.is_dir())
        .unwrap_or_else(std::env::temp_dir)
}

/// Beside the data, unless that path is too long for a socket; then a short one that follows from it.
fn place(directory: &Path, runtime: PathBuf) -> PathBuf {
    let beside = directory.join("run");
    let file = beside.join(format!(".s.PGSQL.{PORT}"));
    if file.as_os_str().len() <= LONGEST {
        return beside;
    }
    let digest = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    runtime.join(format!("holdfast-{}", hex::encode(&digest[..8])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_state_directory_gets_a_short_socket_directory() {
        let short = Path::new("/var/lib/holdfast/postgres");
        assert_eq!(place(short, "/run".into()), short.join("run"));
        for length in 60..140 {
            let directory = PathBuf::from(format!("/{}", "x".repeat(length)));
            let socket = place(&directory, "/run".into()).join(".s.PGSQL.5432");
            assert!(socket.as_os_str().len() <= LONGEST, "{socket:?}");
        }
        let long = |name: &str| {
            place(
                &PathBuf::from(format!("/{}/{name}", "x".repeat(120))),
                "/run".into(),
            )
        };
        assert_ne!(long("a"), long("b"));
        assert_eq!(long("a"), long("a"));
    }
}
