//! Unix sockets of servers, also of those in containers, where our view of the paths is not theirs.
//!
//! `/proc/<pid>/root` leads into the server's mount namespace, but a symlink on the way
//! (`/var/run` → `/run`) would lead out of it again: the kernel resolves it from *our* root.
//! `openat2` with `RESOLVE_IN_ROOT` keeps inside. The connection is made as the server's own
//! operating-system user, so that `peer` authentication lets us in where it is asked for.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    thread,
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, open, openat2},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
    process::Uid,
    thread::set_thread_res_uid,
};

/// Where a server listens on its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixSocket {
    /// `/proc/<pid>/root` of the server, or `/`.
    pub root: PathBuf,
    /// Directory of the socket as the server sees it; of MariaDB and MySQL the socket itself.
    pub directory: PathBuf,
    /// User that the server runs as, in our numbering; we connect as this user when we may.
    pub owner: Option<u32>,
}

impl UnixSocket {
    /// Connects without ever blocking: a server that accepts nothing any more is an error.
    ///
    /// # Errors
    /// `NotFound` when there is no such socket, `ConnectionRefused` when nobody listens,
    /// `WouldBlock` when the server's queue of connections is full.
    pub async fn connect(&self, port: u16) -> io::Result<tokio::net::UnixStream> {
        let socket = self.clone();
        let (send, receive) = tokio::sync::oneshot::channel();
        // A thread of its own: it takes on another user and must not go back to a pool.
        thread::Builder::new()
            .name("pg-connect".to_owned())
            .spawn(move || {
                let _ = send.send(socket.connect_here(port));
            })?;
        let stream = receive
            .await
            .map_err(|_| io::Error::other("the connecting thread died"))??;
        tokio::net::UnixStream::from_std(stream)
    }

    fn connect_here(&self, port: u16) -> io::Result<UnixStream> {
        let directory = open_inside(&self.root, &self.directory)?;
        if let Some(owner) = self.owner {
            // Without the right to do so we go as who we are; the server decides.
            let uid = Uid::from_raw(owner);
            let _ = set_thread_res_uid(None, uid, None);
        }
        let path = format!("/proc/self/fd/{}/.s.PGSQL.{port}", directory.as_raw_fd());
        let stream = socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        connect(&stream, &SocketAddrUnix::new(path.as_str())?)?;
        Ok(UnixStream::from(stream))
    }
}

/// Opens a path as a process with this root would, symlinks and all.
///
/// # Errors
/// What `open` fails with.
pub fn open_inside(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    if root == Path::new("/") {
        return Ok(open(path, flags, Mode::empty())?);
    }
    let root = rustix::fs::openat(CWD, root, flags | OFlags::DIRECTORY, Mode::empty())?;
    Ok(openat2(
        &root,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )?)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::net::UnixListener};

    use super::*;

    #[tokio::test]
    async fn an_absolute_symlink_stays_inside_the_root() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("run/holdfast-socket-test");
        fs::create_dir_all(&inside).unwrap();
        fs::create_dir(root.path().join("var")).unwrap();
        std::os::unix::fs::symlink("/run", root.path().join("var/run")).unwrap();
        let _listener = UnixListener::bind(inside.join(".s.PGSQL.5432")).unwrap();
        let socket = UnixSocket {
            root: root.path().to_owned(),
            directory: PathBuf::from("/var/run/holdfast-socket-test"),
            owner: None,
        };
        socket.connect(5432).await.unwrap();
        let missing = socket.connect(5433).await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
