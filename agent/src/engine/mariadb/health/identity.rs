//! What makes a data directory itself: it stays when the server is restarted, upgraded or moved, and two
//! directories that were set up by themselves never have the same.
//!
//! A MariaDB writes a UUID into `aria_log_control` when its data directory is made (the server's `server_uid` is
//! made of the machine's addresses, and says nothing of the data). MySQL tells its `server_uuid`, from `auto.cnf`.

use std::{
    fs::File,
    io::Read as _,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
};

use mysql_async::{Error, prelude::Queryable};

use crate::engine::{mariadb::session::Session, postgres::socket::open_inside};

/// What every control file begins with, and the version of its form that we know.
const MAGIC: [u8; 4] = [0xfe, 0xfe, 0x0c, 0x01];

/// `root` leads to the server's file system when it is on this host. Empty when nothing can be read.
pub(super) async fn read(
    session: &mut Session,
    root: Option<&Path>,
    data_directory: &str,
) -> Result<String, Error> {
    if !session.is_mariadb() {
        return match session
            .conn
            .query_first::<String, _>("SELECT @@server_uuid")
            .await
        {
            Ok(uuid) => Ok(uuid.unwrap_or_default()),
            Err(Error::Server(_)) => Ok(String::new()),
            Err(error) => Err(error),
        };
    }
    let directory = match session
        .conn
        .query_first::<String, _>("SELECT @@aria_log_dir_path")
        .await
    {
        Ok(directory) => directory.unwrap_or_default(),
        Err(Error::Server(_)) => String::new(),
        Err(error) => return Err(error),
    };
    let directory = if directory.starts_with('/') {
        directory
    } else {
        data_directory.to_owned()
    };
    let known = root.and_then(|root| control_file(root, &directory));
    Ok(known.unwrap_or_default())
}

fn control_file(root: &Path, directory: &str) -> Option<String> {
    uuid_in(&open_inside(root, Path::new(directory)).ok()?)
}

/// Of a directory with a control file.
pub fn uuid_in(directory: &OwnedFd) -> Option<String> {
    let path = format!("/proc/self/fd/{}/aria_log_control", directory.as_raw_fd());
    let mut head = [0u8; 20];
    File::open(path).ok()?.read_exact(&mut head).ok()?;
    uuid(&head)
}

fn uuid(head: &[u8; 20]) -> Option<String> {
    let (magic, uuid) = head.split_at(MAGIC.len());
    let known = magic == MAGIC && uuid.iter().any(|byte| *byte != 0);
    known.then(|| uuid::Uuid::from_slice(uuid).ok().map(|id| id.to_string()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_stands_behind_the_magic() {
        let head = hex::decode("fefe0c01353eacc1e57711f181240242ac110002").unwrap();
        let head: [u8; 20] = head.try_into().unwrap();
        assert_eq!(
            uuid(&head).as_deref(),
            Some("353eacc1-e577-11f1-8124-0242ac110002")
        );
        assert_eq!(uuid(&[0; 20]), None);
        let mut empty = [0; 20];
        empty[..4].copy_from_slice(&MAGIC);
        assert_eq!(uuid(&empty), None);
    }
}
