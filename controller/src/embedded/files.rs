//! Small files that survive a crash: whole or as before.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, fchown},
    path::Path,
};

use super::Owner;

/// Puts `content` into the place of the file, mode 0600, owned by the server's user.
pub fn replace(path: &Path, content: &str, owner: &Owner) -> io::Result<()> {
    let beside = path.with_extension("being-written");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(content.as_bytes())?;
    if owner.is_another() {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// Makes renames in the directory survive a power cut.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
