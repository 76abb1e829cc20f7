//! Passwords of database servers that this host's agent was given. They never leave the host.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// By instance name.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Credentials {
    #[serde(default)]
    instance: BTreeMap<String, Credential>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    pub user: Option<String>,
    pub password: Secret,
}

/// The stored form: the only place that writes a password out.
#[derive(Serialize)]
struct Stored<'a> {
    instance: BTreeMap<&'a str, StoredCredential<'a>>,
}

#[derive(Serialize)]
struct StoredCredential<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    password: &'a str,
}

#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("cannot read {}: {reason}", .path.display())]
    Read {
        path: PathBuf,
        reason: String,
        #[source]
        source: io::Error,
    },
    #[error("{} is not valid: {reason}", .path.display())]
    Parse { path: PathBuf, reason: String },
    #[error("{} can be read by others (mode {mode:o}): chmod 600 it", .path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("cannot write {}: {reason}", .path.display())]
    Write {
        path: PathBuf,
        reason: String,
        #[source]
        source: io::Error,
    },
}

impl Credentials {
    /// Where they are kept below the state directory.
    #[must_use]
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("credentials.toml")
    }

    /// Reads them; a missing file is an empty one.
    ///
    /// # Errors
    /// When the file is unreadable, is readable by others, or is not TOML of the known form.
    pub fn load(path: &Path) -> Result<Self, CredentialsError> {
        let read = |source: io::Error| CredentialsError::Read {
            path: path.to_owned(),
            reason: source.to_string(),
            source,
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(read(e)),
        };
        let mode = fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(CredentialsError::Open {
                path: path.to_owned(),
                mode,
            });
        }
        // The parser's own message would show the line, which may hold a password.
        toml::from_str(&text).map_err(|error| CredentialsError::Parse {
            path: path.to_owned(),
            reason: error.message().to_owned(),
        })
    }

    #[must_use]
    pub fn of(&self, instance: &str) -> Option<&Credential> {
        self.instance.get(instance)
    }

    /// Adds or replaces one.
    pub fn set(&mut self, instance: &str, credential: Credential) {
        self.instance.insert(instance.to_owned(), credential);
    }

    /// Writes them for the owner's eyes only, all or nothing.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn store(&self, path: &Path) -> Result<(), CredentialsError> {
        let failed = |source: io::Error| CredentialsError::Write {
            path: path.to_owned(),
            reason: source.to_string(),
            source,
        };
        let stored = Stored {
            instance: self
                .instance
                .iter()
                .map(|(name, credential)| {
                    let stored = StoredCredential {
                        user: credential.user.as_deref(),
                        password: credential.password.expose(),
                    };
                    (name.as_str(), stored)
                })
                .collect(),
        };
        let text = toml::to_string(&stored).map_err(|e| failed(io::Error::other(e)))?;
        let fresh = path.with_extension("toml.new");
        let _ = fs::remove_file(&fresh);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&fresh, path).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_read_again_and_only_by_us() {
        let state = tempfile::tempdir().unwrap();
        let path = Credentials::path(state.path());
        let mut credentials = Credentials::load(&path).unwrap();
        credentials.set(
            "rds \"main\"",
            Credential {
                user: Some("app".to_owned()),
                password: Secret::new("p\"ä\\ss"),
            },
        );
        credentials.store(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let again = Credentials::load(&path).unwrap();
        let one = again.of("rds \"main\"").unwrap();
        assert_eq!(one.password.expose(), "p\"ä\\ss");
        assert_eq!(one.user.as_deref(), Some("app"));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_and_a_broken_one_shows_no_password() {
        let state = tempfile::tempdir().unwrap();
        let path = Credentials::path(state.path());
        fs::write(&path, "[instance.x]\npassword = \"hunter2\" oops").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            Credentials::load(&path),
            Err(CredentialsError::Open { .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = Credentials::load(&path).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
