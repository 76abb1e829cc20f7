//! The authority's two files in the state directory, made at the first start.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use holdfast_chassis::identity::{Authority, PrivateFileError, read_private, write_private};

use super::IdentityError;

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";

/// The key before its certificate is there; it becomes [`KEY`] by a rename.
const NEW_KEY: &str = "ca.key.new";

/// The certificate appears between the two names of the key: whatever a crash leaves, the next start
/// knows whether nothing was made yet or all of it, and never takes remains for either.
///
/// # Errors
/// When only one of the files is there, when the key is open to others, or when they do not
/// belong together: an authority is never made anew over the remains of one.
pub fn open(state_dir: &Path, now: DateTime<Utc>) -> Result<Authority, IdentityError> {
    let [certificate, key, new_key] = [CERTIFICATE, KEY, NEW_KEY].map(|name| state_dir.join(name));
    match (certificate.exists(), key.exists(), new_key.exists()) {
        (true, true, _) => read(state_dir, &certificate, &key),
        (true, false, true) => {
            let authority = read(state_dir, &certificate, &new_key)?;
            put_in_place(&new_key, &key)?;
            tracing::info!(
                "the start that made the certificate authority was interrupted: completed it"
            );
            Ok(authority)
        }
        // A key without a certificate has signed nothing: another one takes its place.
        (false, false, _) => make(&certificate, &key, &new_key, now),
        (true, false, false) => Err(half(certificate, key)),
        (false, true, _) => Err(half(key, certificate)),
    }
}

fn make(
    certificate: &Path,
    key: &Path,
    new_key: &Path,
    now: DateTime<Utc>,
) -> Result<Authority, IdentityError> {
    let (authority, key_pem) = Authority::make(now)?;
    write_private(new_key, key_pem.as_bytes())?;
    write_private(certificate, authority.certificate_pem().as_bytes())?;
    put_in_place(new_key, key)?;
    tracing::info!(
        fingerprint = %authority.fingerprint(),
        expires_at = %authority.expires_at(),
        "made a certificate authority"
    );
    Ok(authority)
}

fn read(state_dir: &Path, certificate: &Path, key: &Path) -> Result<Authority, IdentityError> {
    // The certificate is no secret: whoever restores it need not care for its mode.
    let certificate_pem =
        fs::read_to_string(certificate).map_err(|source| PrivateFileError::Read {
            path: certificate.to_owned(),
            source,
        })?;
    let key_pem = read_private(key)?;
    Authority::from_pem(&certificate_pem, &key_pem).map_err(|source| {
        IdentityError::AuthorityFiles {
            folder: state_dir.to_owned(),
            source,
        }
    })
}

/// Renames, and waits until the disk has it.
fn put_in_place(new_key: &Path, key: &Path) -> Result<(), PrivateFileError> {
    let folder = key.parent().unwrap_or(Path::new("."));
    let renamed = fs::rename(new_key, key).and_then(|()| File::open(folder)?.sync_all());
    renamed.map_err(|source| PrivateFileError::Write {
        path: key.to_owned(),
        source,
    })
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

    /// As a crash of the first start leaves it.
    #[test]
    fn a_start_that_died_while_making_it_is_completed_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (_, unused) = Authority::make(Utc::now()).unwrap();
        write_private(&path(NEW_KEY), unused.as_bytes()).unwrap();
        let made = open(folder.path(), Utc::now()).unwrap();
        assert!(!path(NEW_KEY).exists());

        fs::rename(path(KEY), path(NEW_KEY)).unwrap();
        let completed = open(folder.path(), Utc::now()).unwrap();
        assert_eq!(completed.fingerprint(), made.fingerprint());
        assert!(path(KEY).exists() && !path(NEW_KEY).exists());

        // Only what belongs together is put together.
        fs::remove_file(path(KEY)).unwrap();
        write_private(&path(NEW_KEY), unused.as_bytes()).unwrap();
        let error = open(folder.path(), Utc::now()).unwrap_err();
        assert!(matches!(error, IdentityError::AuthorityFiles { .. }));
        assert!(!path(KEY).exists());
    }

    #[test]
    fn what_cannot_be_mended_says_what_to_do() {
        for lost in [CERTIFICATE, KEY] {
            let folder = tempfile::tempdir().unwrap();
            open(folder.path(), Utc::now()).unwrap();
            fs::remove_file(folder.path().join(lost)).unwrap();
            let said = open(folder.path(), Utc::now()).unwrap_err().to_string();
            for part in [
                lost,
                "Restore both from a backup",
                "remove both to begin anew",
            ] {
                assert!(said.contains(part), "{part:?} is not in {said}");
            }
        }
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
