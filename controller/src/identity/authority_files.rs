//! The authority's two files in the state directory, made at the first start.

use std::{
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use holdfast_chassis::identity::{Authority, PrivateFileError, read_private, write_private};

use super::IdentityError;

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";

/// # Errors
/// When only one of the files is there, when the key is open to others, or when they do not
/// belong together: an authority is never made anew over the remains of one.
pub fn open(state_dir: &Path, now: DateTime<Utc>) -> Result<Authority, IdentityError> {
    let (certificate, key) = (state_dir.join(CERTIFICATE), state_dir.join(KEY));
    match (certificate.exists(), key.exists()) {
        (true, true) => {
            // The certificate is no secret: whoever restores it need not care for its mode.
            let certificate_pem =
                fs::read_to_string(&certificate).map_err(|source| PrivateFileError::Read {
                    path: certificate,
                    source,
                })?;
            let key_pem = read_private(&key)?;
            Authority::from_pem(&certificate_pem, &key_pem).map_err(|source| {
                IdentityError::AuthorityFiles {
                    folder: state_dir.to_owned(),
                    source,
                }
            })
        }
        (false, false) => {
            let (authority, key_pem) = Authority::make(now)?;
            // The key first: a certificate without its key could not be told from a lost one.
            write_private(&key, key_pem.as_bytes())?;
            write_private(&certificate, authority.certificate_pem().as_bytes())?;
            tracing::info!(
                fingerprint = %authority.fingerprint(),
                expires_at = %authority.expires_at(),
                "made a certificate authority"
            );
            Ok(authority)
        }
        (true, false) => Err(half(certificate, key)),
        (false, true) => Err(half(key, certificate)),
    }
}

fn half(present: PathBuf, missing: PathBuf) -> IdentityError {
    IdentityError::HalfAnAuthority { present, missing }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let made = open(folder.path(), Utc::now()).unwrap();
        let again = open(folder.path(), Utc::now()).unwrap();
        assert_eq!(made.fingerprint(), again.fingerprint());
        let mode = fs::metadata(folder.path().join(KEY)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let left = made.expires_at() - Utc::now();
        assert!(left.num_days() >= 3649, "{left}");
    }

    #[test]
    fn half_of_it_is_never_completed() {
        for lost in [CERTIFICATE, KEY] {
            let folder = tempfile::tempdir().unwrap();
            open(folder.path(), Utc::now()).unwrap();
            fs::remove_file(folder.path().join(lost)).unwrap();
            let error = open(folder.path(), Utc::now()).unwrap_err();
            assert!(matches!(error, IdentityError::HalfAnAuthority { .. }));
            assert!(!folder.path().join(lost).exists());
        }
    }

    #[test]
    fn a_key_of_another_authority_is_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        open(one.path(), Utc::now()).unwrap();
        open(other.path(), Utc::now()).unwrap();
        fs::copy(other.path().join(KEY), one.path().join(KEY)).unwrap();
        let error = open(one.path(), Utc::now()).unwrap_err();
        assert!(matches!(error, IdentityError::AuthorityFiles { .. }));
    }
}
