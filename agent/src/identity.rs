//! The agent's key and certificate on disk, and their renewal.
//!
//! All of an enrolment is one file: a crash in the middle of a renewal leaves the old key with
//! the old certificate, or the new with the new.

mod renewal;

use std::{
    io,
    path::{Path, PathBuf},
};

use holdfast_chassis::{
    identity::{
        Credentials, CredentialsError, Identity, PrivateFileError, read_private, write_private,
    },
    tls::{Roots, RootsError, RotatingIdentity},
};
use serde::{Deserialize, Serialize};

pub use renewal::keep_renewed;

/// Who this machine is, once it has joined.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// Name in the certificate.
    pub host: String,
    /// `host:port` of the controller that it joined.
    pub controller: String,
    pub roots: Roots,
    pub identity: RotatingIdentity,
    path: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    #[error(
        "this machine has not joined a fleet: {path} is missing. On a machine with ctl run \
         `ctl host enrol NAME`, and here the command that it prints"
    )]
    NotJoined { path: PathBuf },
    #[error(transparent)]
    File(#[from] PrivateFileError),
    #[error("{path} is damaged; join again with a new token and --force")]
    Damaged {
        path: PathBuf,
        #[source]
        source: Damage,
    },
}

/// What is wrong with the file of an enrolment.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    // Not as a source: toml's errors repeat the line, and the line may be the key.
    #[error("it is not readable as TOML")]
    Text,
    #[error("the key and certificate in it are not usable")]
    Credentials(#[from] CredentialsError),
    #[error("the authorities in it are not usable")]
    Roots(#[from] RootsError),
    #[error("the certificate in it is that of {0}, not of a host")]
    NotAHost(Identity),
}

#[derive(Serialize, Deserialize)]
struct OnDisk {
    controller: String,
    authorities: String,
    certificate: String,
    key: String,
}

impl Enrolment {
    /// Where an enrolment is kept.
    #[must_use]
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("enrolment.toml")
    }

    /// # Errors
    /// When this machine has not joined, or its file is damaged or open to others.
    pub fn load(state_dir: &Path) -> Result<Self, EnrolmentError> {
        let path = Self::path(state_dir);
        let text = match read_private(&path) {
            Err(PrivateFileError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                return Err(EnrolmentError::NotJoined { path });
            }
            read => read?,
        };
        Self::read(&text, &path).map_err(|source| EnrolmentError::Damaged { path, source })
    }

    /// Writes a new enrolment over whatever stands there.
    ///
    /// # Errors
    /// When the certificate is not a host's; when the folder is missing, not writable or full.
    pub fn create(
        state_dir: &Path,
        controller: &str,
        roots: Roots,
        credentials: Credentials,
    ) -> Result<Self, EnrolmentError> {
        let path = Self::path(state_dir);
        let host = match host_of(&credentials) {
            Ok(host) => host,
            Err(source) => return Err(EnrolmentError::Damaged { path, source }),
        };
        write(&path, controller, &roots, &credentials)?;
        Ok(Self {
            host,
            controller: controller.to_owned(),
            roots,
            identity: RotatingIdentity::new(credentials),
            path,
        })
    }

    /// The next key and certificate, first on disk. When that fails new connections use them
    /// all the same: the controller has issued them, and the old ones run out.
    ///
    /// # Errors
    /// When the file could not be written.
    fn replace(&self, credentials: Credentials) -> Result<(), PrivateFileError> {
        let written = write(&self.path, &self.controller, &self.roots, &credentials);
        self.identity.replace(credentials);
        written
    }

    fn read(text: &str, path: &Path) -> Result<Self, Damage> {
        let OnDisk {
            controller,
            authorities,
            certificate,
            key,
        } = toml::from_str(text).map_err(|_| Damage::Text)?;
        let roots = Roots::from_pem(&authorities)?;
        let credentials = Credentials::from_pem(key, certificate)?;
        Ok(Self {
            host: host_of(&credentials)?,
            controller,
            roots,
            identity: RotatingIdentity::new(credentials),
            path: path.to_owned(),
        })
    }
}

fn host_of(credentials: &Credentials) -> Result<String, Damage> {
    match &credentials.certificate().identity {
        Identity::Host(name) => Ok(name.clone()),
        other => Err(Damage::NotAHost(other.clone())),
    }
}

fn write(
    path: &Path,
    controller: &str,
    roots: &Roots,
    credentials: &Credentials,
) -> Result<(), PrivateFileError> {
    let failed = |source| PrivateFileError::Write {
        path: path.to_owned(),
        source,
    };
    let content = OnDisk {
        controller: controller.to_owned(),
        authorities: roots.pem().to_owned(),
        certificate: credentials.chain_pem().to_owned(),
        key: credentials.key_pem().to_owned(),
    };
    let text =
        toml::to_string(&content).map_err(|error| failed(io::Error::other(error.to_string())))?;
    write_private(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use chrono::{TimeDelta, Utc};
    use holdfast_chassis::identity::{Authority, NewKey, Role, Validity};

    use super::*;

    fn made(identity: &Identity) -> (Roots, Credentials) {
        let (authority, _) = Authority::make(Utc::now()).unwrap();
        let key = NewKey::make().unwrap();
        let validity = Validity::starting(Utc::now(), TimeDelta::days(1));
        let (_, chain) = authority
            .issue(&key.request().unwrap(), identity, validity)
            .unwrap();
        let roots = Roots::from_pem(authority.certificate_pem()).unwrap();
        (roots, Credentials::from_answer(&key, &chain).unwrap())
    }

    #[test]
    fn what_is_created_loads_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let (roots, credentials) = made(&Identity::Host("web-1".into()));
        Enrolment::create(folder.path(), "ctl.example:7443", roots, credentials).unwrap();
        let loaded = Enrolment::load(folder.path()).unwrap();
        assert_eq!(loaded.host, "web-1");
        assert_eq!(loaded.controller, "ctl.example:7443");
        let mode = fs::metadata(Enrolment::path(folder.path())).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_operators_certificate_makes_no_host() {
        let folder = tempfile::tempdir().unwrap();
        let (roots, credentials) = made(&Identity::Operator {
            name: "alice".into(),
            role: Role::Admin,
        });
        let error = Enrolment::create(folder.path(), "x:1", roots, credentials).unwrap_err();
        assert!(matches!(
            error,
            EnrolmentError::Damaged {
                source: Damage::NotAHost(_),
                ..
            }
        ));
        assert!(!Enrolment::path(folder.path()).exists());
    }

    #[test]
    fn missing_and_damaged_are_told_apart_and_no_key_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let error = Enrolment::load(folder.path()).unwrap_err();
        assert!(error.to_string().contains("ctl host enrol"), "{error}");
        let path = Enrolment::path(folder.path());
        write_private(&path, b"key = \"SECRET").unwrap();
        let error = Enrolment::load(folder.path()).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        assert!(!format!("{error:?}").contains("SECRET"));
    }
}
