//! The secret by which the guard knows the agent's own calls: they look for themselves before they touch anything.
//!
//! A label says who made something, and anybody can write one. This is known to root alone.

use std::path::Path;

use holdfast_chassis::identity::{PrivateFileError, read_private, write_private};

/// Of requests to the engine, which hands it on to the guard.
pub const HEADER: &str = "x-holdfast-agent";

/// Makes it when there is none yet.
///
/// # Errors
/// When it cannot be read or written, or others could have read it.
pub fn load_or_make(path: &Path) -> Result<String, PrivateFileError> {
    if !path.exists() {
        let token: [u8; 32] = rand::random();
        write_private(path, hex::encode(token).as_bytes())?;
    }
    read_private(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = load_or_make(&path).unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(load_or_make(&path).unwrap(), token);
    }
}
