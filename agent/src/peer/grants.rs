//! Which secret opens which receiving. Only hashes are kept, by a function that cannot be turned
//! back and whose collisions nobody can make.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};

use crate::engine::postgres::image::ImageSink;

/// SHA-256 of a secret.
type Key = [u8; 32];

/// The table; clones share it.
#[derive(Clone, Default)]
pub struct Grants(Arc<Mutex<HashMap<Key, Arc<dyn ImageSink>>>>);

/// Takes the grant back when dropped.
#[derive(Debug)]
pub(super) struct Granted {
    grants: Grants,
    key: Key,
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grants").field(&self.table().len()).finish()
    }
}

impl Grants {
    pub(super) fn grant(&self, secret: &[u8], reception: Arc<dyn ImageSink>) -> Granted {
        let key = key(secret);
        self.table().insert(key, reception);
        Granted {
            grants: self.clone(),
            key,
        }
    }

    pub(super) fn find(&self, secret: &[u8]) -> Option<Arc<dyn ImageSink>> {
        self.table().get(&key(secret)).cloned()
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Arc<dyn ImageSink>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.grants.table().remove(&self.key);
    }
}

fn key(secret: &[u8]) -> Key {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_under_sha_256() {
        let kept = hex::encode(key(b"abc"));
        // FIPS 180-2, example B.1.
        assert_eq!(
            kept,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
