//! The contexts file: which controllers this operator knows, and the key for each.
//!
//! It holds private keys, so it is 0600 and refused when others can read it.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

use holdfast_chassis::identity::{
    Credentials, CredentialsError, PrivateFileError, read_private, write_private,
};
use serde::{Deserialize, Serialize};

use crate::{exit::Exit, nearest::nearest};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    /// The one that is used when none is named.
    pub current: Option<String>,
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One controller, and who we are there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// `host:port`.
    pub controller: String,
    /// Every authority to trust, PEM.
    pub authorities: String,
    /// Leaf first, PEM.
    pub certificate: String,
    /// PEM; a secret.
    pub key: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("cannot tell where the contexts file is: neither HOME nor XDG_CONFIG_HOME is set")]
    NoHome,
    #[error("cannot read the contexts file {path}")]
    Read {
        path: PathBuf,
        #[source]
        cause: PrivateFileError,
    },
    #[error(
        "the contexts file {path} holds private keys, but others can read it (mode {mode:03o})"
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("the contexts file {path} is not valid")]
    Parse {
        path: PathBuf,
        #[source]
        cause: Box<toml::de::Error>,
    },
    #[error("cannot turn the contexts into TOML")]
    Serialize(#[source] toml::ser::Error),
    #[error("cannot write the contexts file {path}")]
    Write {
        path: PathBuf,
        #[source]
        cause: PrivateFileError,
    },
    #[error("cannot make the folder {path}")]
    Folder {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("not logged in: there is no context in {path}")]
    Empty { path: PathBuf },
    #[error("no context is current")]
    NoCurrent,
    #[error("there is no context {name}")]
    Missing { name: String, near: Option<String> },
    #[error("the certificate or key of context {name} is not usable")]
    Credentials {
        name: String,
        #[source]
        cause: CredentialsError,
    },
}

impl ContextError {
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Missing { .. } => Exit::NotFound,
            Self::Open { .. } | Self::Empty { .. } | Self::NoCurrent | Self::Credentials { .. } => {
                Exit::Refused
            }
            Self::NoHome | Self::Parse { .. } => Exit::Usage,
            Self::Read { .. } | Self::Serialize(_) | Self::Write { .. } | Self::Folder { .. } => {
                Exit::Unexpected
            }
        }
    }

    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Open { path, .. } => format!("chmod 600 {}", path.display()),
            Self::NoHome => "give --contexts-file or HOLDFAST_CONTEXTS_FILE".to_owned(),
            Self::Parse { path, .. } => {
                format!("mend {} or move it away and log in again", path.display())
            }
            Self::Empty { .. } => "sudo ctl login (on the controller's machine), \
                                   or ask an admin for `ctl operator invite YOUR-NAME`"
                .to_owned(),
            Self::NoCurrent => "ctl context list, then ctl context use NAME".to_owned(),
            Self::Missing {
                near: Some(near), ..
            } => {
                format!("did you mean {near}? ctl context list shows all")
            }
            Self::Missing { near: None, .. } => "ctl context list".to_owned(),
            Self::Credentials { .. } => {
                "log in again with a token of `ctl operator invite`".to_owned()
            }
            Self::Read { .. } | Self::Serialize(_) | Self::Write { .. } | Self::Folder { .. } => {
                String::new()
            }
        }
    }
}

impl Context {
    /// Key and certificate, checked to belong together.
    ///
    /// # Errors
    /// The file was edited by hand, or is damaged.
    pub fn credentials(&self, name: &str) -> Result<Credentials, ContextError> {
        Credentials::from_pem(self.key.clone(), self.certificate.clone()).map_err(|cause| {
            ContextError::Credentials {
                name: name.to_owned(),
                cause,
            }
        })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("controller", &self.controller)
            .finish_non_exhaustive()
    }
}

impl Contexts {
    /// Reads the file; no file is no contexts.
    ///
    /// # Errors
    /// Others can read it, or it is not what we wrote.
    pub fn load(path: &Path) -> Result<Self, ContextError> {
        if !path.exists() {
            return Ok(Self::default());
        }
        refuse_open(path)?;
        let text = read_private(path).map_err(|cause| ContextError::Read {
            path: path.to_owned(),
            cause,
        })?;
        toml::from_str(&text).map_err(|cause| ContextError::Parse {
            path: path.to_owned(),
            cause: Box::new(cause),
        })
    }

    /// Writes the file anew, mode 0600, at once: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// Folder or file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ContextError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|cause| ContextError::Folder {
                path: folder.to_owned(),
                cause,
            })?;
        }
        let text = toml::to_string_pretty(self).map_err(ContextError::Serialize)?;
        write_private(path, text.as_bytes()).map_err(|cause| ContextError::Write {
            path: path.to_owned(),
            cause,
        })
    }

    /// The named context, or the current one.
    ///
    /// # Errors
    /// There is none (of that name).
    pub fn pick(&self, named: Option<&str>, path: &Path) -> Result<(&str, &Context), ContextError> {
        let name = match (named, &self.current) {
            (Some(name), _) => name,
            (None, Some(current)) => current.as_str(),
            (None, None) if self.contexts.is_empty() => {
                return Err(ContextError::Empty {
                    path: path.to_owned(),
                });
            }
            (None, None) => return Err(ContextError::NoCurrent),
        };
        match self.contexts.get_key_value(name) {
            Some((name, context)) => Ok((name, context)),
            None => Err(self.missing(name)),
        }
    }

    /// # Errors
    /// There is none of that name.
    pub fn switch_to(&mut self, name: &str) -> Result<(), ContextError> {
        if !self.contexts.contains_key(name) {
            return Err(self.missing(name));
        }
        self.current = Some(name.to_owned());
        Ok(())
    }

    /// Forgets a context; the current one leaves no current one behind.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove(&mut self, name: &str) -> Result<(), ContextError> {
        if self.contexts.remove(name).is_none() {
            return Err(self.missing(name));
        }
        if self.current.as_deref() == Some(name) {
            self.current = None;
        }
        Ok(())
    }

    fn missing(&self, name: &str) -> ContextError {
        ContextError::Missing {
            name: name.to_owned(),
            near: nearest(name, self.contexts.keys().map(String::as_str)).map(str::to_owned),
        }
    }
}

/// `$XDG_CONFIG_HOME/holdfast/contexts.toml`, else below `~/.config`.
///
/// # Errors
/// Neither variable is set.
pub fn default_path() -> Result<PathBuf, ContextError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".config")))
        .ok_or(ContextError::NoHome)?;
    Ok(base.join("holdfast").join("contexts.toml"))
}

/// Refuses with the mode, so that the advice can be given in our own words.
fn refuse_open(path: &Path) -> Result<(), ContextError> {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(metadata) = std::fs::metadata(path) else {
        return Ok(());
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(ContextError::Open {
        path: path.to_owned(),
        mode,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::{Context, ContextError, Contexts};
    use crate::exit::Exit;

    fn context(controller: &str) -> Context {
        Context {
            controller: controller.to_owned(),
            authorities: "CA\nPEM\n".to_owned(),
            certificate: "CERT\n".to_owned(),
            key: "SECRET\n".to_owned(),
        }
    }

    fn two() -> Contexts {
        Contexts {
            current: Some("prod".to_owned()),
            contexts: [("prod", "a:7443"), ("lab", "b:7443")]
                .map(|(name, address)| (name.to_owned(), context(address)))
                .into(),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/holdfast/contexts.toml");
        assert_eq!(Contexts::load(&path).expect("no file"), Contexts::default());
        two().save(&path).expect("saved");
        assert_eq!(Contexts::load(&path).expect("loaded"), two());
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_advice() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("contexts.toml");
        two().save(&path).expect("saved");
        for mode in [0o640, 0o604, 0o644, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            let error = Contexts::load(&path).expect_err("refused");
            assert_eq!(error.exit(), Exit::Refused);
            assert_eq!(error.advice(), format!("chmod 600 {}", path.display()));
            assert!(
                error.to_string().contains(&format!("{mode:03o}")),
                "{error}"
            );
        }
    }

    #[test]
    fn picking_says_what_is_missing() {
        let path = Path::new("contexts.toml");
        let all = two();
        assert_eq!(all.pick(None, path).expect("current").0, "prod");
        assert_eq!(
            all.pick(Some("lab"), path).expect("named").1.controller,
            "b:7443"
        );
        let error = all.pick(Some("prd"), path).expect_err("no such");
        assert!(matches!(&error, ContextError::Missing { near: Some(near), .. } if near == "prod"));
        let error = Contexts::default().pick(None, path).expect_err("none");
        assert!(matches!(error, ContextError::Empty { .. }));
        let mut left = two();
        left.remove("prod").expect("removed");
        let error = left.pick(None, path).expect_err("none is current");
        assert!(matches!(error, ContextError::NoCurrent));
        left.switch_to("lab").expect("there");
        assert_eq!(left.pick(None, path).expect("current").0, "lab");
        assert!(left.switch_to("prod").is_err());
    }

    #[test]
    fn a_key_is_never_printed() {
        assert!(!format!("{:?}", two()).contains("SECRET"));
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("contexts.toml");
        fs::write(&path, "current = 3\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        let error = Contexts::load(&path).expect_err("refused");
        assert!(matches!(error, ContextError::Parse { .. }));
        assert_eq!(error.exit(), Exit::Usage);
    }
}
