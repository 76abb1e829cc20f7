//! Which secret opens which receiving. Only hashes are kept.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use xxhash_rust::xxh3::xxh3_128;

use crate::engine::postgres::receive::Reception;

/// The table; clones share it.
#[derive(Clone, Default)]
pub struct Grants(Arc<Mutex<HashMap<u128, Arc<Reception>>>>);

/// Takes the grant back when dropped.
#[derive(Debug)]
pub(super) struct Granted {
    grants: Grants,
    key: u128,
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grants").field(&self.table().len()).finish()
    }
}

impl Grants {
    pub(super) fn grant(&self, secret: &[u8], reception: Arc<Reception>) -> Granted {
        let key = xxh3_128(secret);
        self.table().insert(key, reception);
        Granted {
            grants: self.clone(),
            key,
        }
    }

    pub(super) fn find(&self, secret: &[u8]) -> Option<Arc<Reception>> {
        self.table().get(&xxh3_128(secret)).cloned()
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<u128, Arc<Reception>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.grants.table().remove(&self.key);
    }
}
