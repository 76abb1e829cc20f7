//! The authority's two files in the state directory, made at the first start.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use holdfast_chassis::identity::{Authority, PrivateFileError, read_private, write_private};

use super::IdentityError;

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";

/// The key before its certificate is there; it becomes [`KEY`] by a rename.
const NEW_KEY: &str = "ca.key.new";

/// Made by an operator who gives the old authority up; gone with the start that made the new one.
pub(super) const BEGIN_ANEW: &str = "ca.begin-anew";

/// The certificate appears between the two names of the key: whatever a crash leaves, the next start
/// knows whether nothing was made yet or all of it, and never takes remains for either.
///
/// # Errors
/// When only one of the files is there, or none while the catalog knows `enrolled` hosts and operators; when
/// the key is open to others, or when they do not belong together: an authority is never made anew over the
/// remains of one, unless the file [`BEGIN_ANEW`] asks for it.
pub fn open(
    state_dir: &Path,
    enrolled: usize,
    now: DateTime<Utc>,
) -> Result<Authority, IdentityError> {
    let anew = state_dir.join(BEGIN_ANEW);
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
        (false, false, _) if enrolled > 0 && !anew.exists() => Err(IdentityError::AuthorityLost {
            certificate,
            key,
            enrolled,
            anew,
        }),
        // A key without a certificate has signed nothing: another one takes its place.
        (false, false, _) => {
            let authority = make(&certificate, &key, &new_key, now)?;
            forget_wish(&anew)?;
            Ok(authority)
        }
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

/// So that a later loss is a loss again.
fn forget_wish(anew: &Path) -> Result<(), PrivateFileError> {
    match fs::remove_file(anew) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(PrivateFileError::Write {
            path: anew.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
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
        let made = open(folder.path(), 0, Utc::now()).unwrap();
        let again = open(folder.path(), 0, Utc::now()).unwrap();
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
        let made = open(folder.path(), 0, Utc::now()).unwrap();
        assert!(!path(NEW_KEY).exists());

        fs::rename(path(KEY), path(NEW_KEY)).unwrap();
        let completed = open(folder.path(), 0, Utc::now()).unwrap();
        assert_eq!(completed.fingerprint(), made.fingerprint());
        assert!(path(KEY).exists() && !path(NEW_KEY).exists());

        // Only what belongs together is put together.
        fs::remove_file(path(KEY)).unwrap();
        write_private(&path(NEW_KEY), unused.as_bytes()).unwrap();
        let error = open(folder.path(), 0, Utc::now()).unwrap_err();
        assert!(matches!(error, IdentityError::AuthorityFiles { .. }));
        assert!(!path(KEY).exists());
    }

    #[test]
    fn what_cannot_be_mended_says_what_to_do() {
        for lost in [CERTIFICATE, KEY] {
            let folder = tempfile::tempdir().unwrap();
            open(folder.path(), 0, Utc::now()).unwrap();
            fs::remove_file(folder.path().join(lost)).unwrap();
            let said = open(folder.path(), 0, Utc::now()).unwrap_err().to_string();
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
    fn a_lost_one_is_not_made_anew_unless_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let said = open(folder.path(), 2, Utc::now()).unwrap_err().to_string();
        for part in [
            "ca.pem and ",
            "ca.key are missing",
            "2 hosts and operators",
            "Restore both from a backup",
            "ca.begin-anew",
        ] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        assert!(!folder.path().join(CERTIFICATE).exists());

        fs::write(folder.path().join(BEGIN_ANEW), "").unwrap();
        open(folder.path(), 2, Utc::now()).unwrap();
        open(folder.path(), 2, Utc::now()).unwrap();
        // It asked for one, not for the next one too.
        for lost in [CERTIFICATE, KEY] {
            fs::remove_file(folder.path().join(lost)).unwrap();
        }
        let again = open(folder.path(), 2, Utc::now()).unwrap_err();
        assert!(matches!(again, IdentityError::AuthorityLost { .. }));
    }

    #[test]
    fn half_of_it_is_never_completed() {
        for lost in [CERTIFICATE, KEY] {
            let folder = tempfile::tempdir().unwrap();
            open(folder.path(), 0, Utc::now()).unwrap();
            fs::remove_file(folder.path().join(lost)).unwrap();
            let error = open(folder.path(), 0, Utc::now()).unwrap_err();
            assert!(matches!(error, IdentityError::HalfAnAuthority { .. }));
            assert!(!folder.path().join(lost).exists());
        }
    }

    #[test]
    fn a_key_of_another_authority_is_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        open(one.path(), 0, Utc::now()).unwrap();
        open(other.path(), 0, Utc::now()).unwrap();
        fs::copy(other.path().join(KEY), one.path().join(KEY)).unwrap();
        let error = open(one.path(), 0, Utc::now()).unwrap_err();
        assert!(matches!(error, IdentityError::AuthorityFiles { .. }));
    }
}
