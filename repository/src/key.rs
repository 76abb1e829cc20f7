//! The secret of a repository: its master key, and the password that an operator types into restic.

use std::fmt;

use rand::{Rng as _, distr::Alphanumeric};
use rustic_core::repofile::MasterKey;
use serde::{Deserialize, Serialize};

/// Characters of a password: 190 bits.
const PASSWORD: usize = 32;

/// Opens one repository. `Debug` shows nothing of it; `Serialize` shows all, for sealing.
#[derive(Clone, Serialize, Deserialize)]
pub struct RepositoryKey {
    password: String,
    master: MasterKey,
}

impl RepositoryKey {
    /// A new one. It must be stored before a repository is made with it.
    #[must_use]
    pub fn random() -> Self {
        let password = rand::rng()
            .sample_iter(Alphanumeric)
            .take(PASSWORD)
            .map(char::from)
            .collect();
        Self {
            password,
            master: MasterKey::new(),
        }
    }

    /// What restic asks for.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// As a host gets it: it opens the repository here, and answers no question of restic.
    #[must_use]
    pub fn without_password(&self) -> Self {
        Self {
            password: String::new(),
            master: self.master.clone(),
        }
    }

    pub(crate) fn master(&self) -> &MasterKey {
        &self.master
    }

    /// As restic's cipher takes it: the AES key, then both halves of the MAC's.
    pub(crate) fn cipher_key(&self) -> Vec<u8> {
        let MasterKey { mac, encrypt } = &self.master;
        [encrypt.as_slice(), &mac.k, &mac.r].concat()
    }
}

impl fmt::Debug for RepositoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RepositoryKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_and_sealing_keeps_all() {
        let key = RepositoryKey::random();
        assert!(!format!("{key:?}").contains(key.password()));
        let text = serde_json::to_string(&key).unwrap();
        let back: RepositoryKey = serde_json::from_str(&text).unwrap();
        assert_eq!(back.password(), key.password());
        assert_eq!(back.cipher_key(), key.cipher_key());
        assert_eq!(key.cipher_key().len(), 64);
        assert_ne!(RepositoryKey::random().password(), key.password());
    }
}
