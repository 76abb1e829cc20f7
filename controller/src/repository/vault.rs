//! The master key file: what the keys of all repositories are sealed under, and the one password that
//! opens every repository when all else is lost.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use holdfast_chassis::identity::{PrivateFileError, read_private, write_private};
use holdfast_proto::names::HostName;
use holdfast_repository::RepositoryKey;
use rand::{Rng as _, RngCore as _, distr::Alphanumeric};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

/// In the state directory.
const FILE: &str = "repository.key";
const KEY_BYTES: usize = 32;
/// 190 bits.
const PASSWORD: usize = 32;

/// Seals and opens keys of repositories. Cheap to clone; `Debug` shows nothing.
#[derive(Clone)]
pub struct Vault {
    key: std::sync::Arc<LessSafeKey>,
    recovery: std::sync::Arc<str>,
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("the master key of the repositories cannot be used")]
    File(#[from] PrivateFileError),
    #[error(
        "{path} is missing, and the keys of {repositories} repositories are sealed under it; no other is made. \
         Put the file back, from the other controller or from a backup of the state directory"
    )]
    Missing { path: PathBuf, repositories: usize },
    #[error("{path} is no master key file; put the right one back")]
    Malformed { path: PathBuf },
    #[error(
        "the key of {host}'s repository does not open: repository.key in the state directory is not the one that \
         it was sealed under"
    )]
    Sealed { host: HostName },
    #[error("the key of {host}'s repository could not be sealed")]
    Sealing { host: HostName },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// Hex.
    key: String,
    recovery_password: String,
}

impl Vault {
    /// Reads the file, or makes it when no key was ever sealed.
    ///
    /// # Errors
    /// It is missing though keys are sealed under it, is open to others, or is damaged.
    pub fn open(state_dir: &Path, sealed_already: usize) -> Result<Self, VaultError> {
        let path = state_dir.join(FILE);
        if !path.exists() {
            if sealed_already > 0 {
                return Err(VaultError::Missing {
                    path,
                    repositories: sealed_already,
                });
            }
            make(&path)?;
        }
        let text = read_private(&path)?;
        Self::read(&text).ok_or(VaultError::Malformed { path })
    }

    /// Opens every repository of this controller, those that are made later too.
    #[must_use]
    pub fn recovery_password(&self) -> &str {
        &self.recovery
    }

    /// # Errors
    /// `Sealing`, which no input brings about.
    pub fn seal(&self, host: &HostName, key: &RepositoryKey) -> Result<Vec<u8>, VaultError> {
        let failed = || VaultError::Sealing { host: host.clone() };
        let mut nonce = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        let mut sealed = serde_json::to_vec(key).map_err(|_| failed())?;
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                // A row that was moved to another host does not open.
                Aad::from(host.as_str()),
                &mut sealed,
            )
            .map_err(|_| failed())?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// # Errors
    /// `Sealed`: another master key, another host, or damaged.
    pub fn unseal(&self, host: &HostName, sealed: &[u8]) -> Result<RepositoryKey, VaultError> {
        let failed = || VaultError::Sealed { host: host.clone() };
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or_else(failed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
        let mut sealed = sealed.to_vec();
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(host.as_str()), &mut sealed)
            .map_err(|_| failed())?;
        serde_json::from_slice(opened).map_err(|_| failed())
    }

    fn read(text: &str) -> Option<Self> {
        let stored: Stored = serde_json::from_str(text).ok()?;
        let key = hex::decode(&stored.key).ok()?;
        let key = UnboundKey::new(&AES_256_GCM, &key).ok()?;
        Some(Self {
            key: LessSafeKey::new(key).into(),
            recovery: stored.recovery_password.into(),
        })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

fn make(path: &Path) -> Result<(), VaultError> {
    let mut key = [0; KEY_BYTES];
    rand::rng().fill_bytes(&mut key);
    let stored = Stored {
        key: hex::encode(key),
        recovery_password: rand::rng()
            .sample_iter(Alphanumeric)
            .take(PASSWORD)
            .map(char::from)
            .collect(),
    };
    let text = serde_json::to_vec(&stored).map_err(|_| VaultError::Malformed {
        path: path.to_owned(),
    })?;
    write_private(path, &text)?;
    tracing::info!(
        path = %path.display(),
        "made the master key of the repositories; run `ctl repository key export` and keep what it gives elsewhere"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    #[test]
    fn a_sealed_key_opens_for_its_host_under_the_same_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path(), 0).unwrap();
        let key = RepositoryKey::random();
        let sealed = vault.seal(&host("web-1"), &key).unwrap();
        let shown = String::from_utf8_lossy(&sealed).into_owned();
        assert!(!shown.contains(key.password()));
        let again = Vault::open(folder.path(), 1).unwrap();
        let opened = again.unseal(&host("web-1"), &sealed).unwrap();
        assert_eq!(opened.password(), key.password());
        assert_eq!(again.recovery_password(), vault.recovery_password());
        assert!(again.unseal(&host("web-2"), &sealed).is_err());
        let other = Vault::open(tempfile::tempdir().unwrap().path(), 0).unwrap();
        let error = other.unseal(&host("web-1"), &sealed).unwrap_err();
        assert!(matches!(error, VaultError::Sealed { .. }));
        let mut flipped = sealed.clone();
        flipped[40] ^= 1;
        assert!(again.unseal(&host("web-1"), &flipped).is_err());
        assert!(again.unseal(&host("web-1"), &sealed[..5]).is_err());
        assert!(!format!("{vault:?}").contains(vault.recovery_password()));
    }

    #[test]
    fn a_lost_file_is_not_made_anew_over_sealed_keys() {
        let folder = tempfile::tempdir().unwrap();
        let error = Vault::open(folder.path(), 2).unwrap_err();
        assert!(matches!(
            error,
            VaultError::Missing {
                repositories: 2,
                ..
            }
        ));
        assert!(!folder.path().join(FILE).exists());
        write_private(&folder.path().join(FILE), b"{}").unwrap();
        let error = Vault::open(folder.path(), 2).unwrap_err();
        assert!(matches!(error, VaultError::Malformed { .. }));
    }

    #[test]
    fn the_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        Vault::open(folder.path(), 0).unwrap();
        let path = folder.path().join(FILE);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = Vault::open(folder.path(), 0).unwrap_err();
        assert!(matches!(
            error,
            VaultError::File(PrivateFileError::Open { .. })
        ));
    }
}
