//! What the controller knows of this host's data: kept here, so that the guard knows it while there is no controller.

use std::{collections::BTreeMap, io, path::Path};

use holdfast_chassis::identity::write_private;
pub use holdfast_proto::guard::{Allowance, CountedDatabase, Protection};

/// By place. No file: nothing is known of any.
///
/// # Errors
/// When the file is there and is of no use.
pub fn load(path: &Path) -> io::Result<BTreeMap<String, Protection>> {
    let all: Vec<Protection> = match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let by_place = all.into_iter().map(|one| (one.place.clone(), one));
    Ok(by_place.collect())
}

/// In place of what was there, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn store(path: &Path, all: &[Protection]) -> io::Result<()> {
    let text = serde_json::to_vec(all)?;
    write_private(path, &text).map_err(io::Error::other)
}
