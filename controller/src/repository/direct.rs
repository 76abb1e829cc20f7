//! Credentials that a host is handed for its job, so that it writes to its folder of the bucket itself.
//!
//! They are read for each job: whoever rotates them only writes the file anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use holdfast_proto::names::HostName;
use holdfast_repository::storage::{Bucket, Place, Storage, StorageError};

use crate::config::{
    CredentialsError, PlaceError, RepositoryConfig, is_same_file, read_credentials,
};

/// In the setting: the host's name.
const HOST: &str = "{host}";

/// What hands them out. Cheap to clone; `Debug` shows none.
#[derive(Clone)]
pub struct Direct(Arc<Inner>);

struct Inner {
    /// Without credentials.
    bucket: Bucket,
    file: PathBuf,
    own: Own,
    /// Hosts without a file of their own: told once each.
    without: Mutex<BTreeSet<HostName>>,
}

/// What the controller itself works with.
struct Own {
    file: Option<PathBuf>,
    credentials: Vec<String>,
}

/// Why a host is handed none though it shall be. Never with what stands in the file.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    #[error(
        "the credentials for {host} cannot be read: repository.direct_credentials_file in the controller's settings"
    )]
    File {
        host: HostName,
        #[source]
        source: CredentialsError,
    },
    #[error(
        "{path} holds no credentials for {host}: write access_key_id = \"…\" and what belongs to it, or remove it"
    )]
    Empty { host: HostName, path: PathBuf },
    #[error(
        "{path} is the controller's own credentials: they are not for {host}. Make others that reach its folder only"
    )]
    Own { host: HostName, path: PathBuf },
    #[error(
        "{path}: {option} is the controller's own: it is not for {host}. Make credentials that reach its folder only"
    )]
    OwnValue {
        host: HostName,
        path: PathBuf,
        option: String,
    },
    #[error("{path} does not open the bucket for {host}")]
    Settings {
        host: HostName,
        path: PathBuf,
        #[source]
        source: Box<StorageError>,
    },
}

impl Direct {
    /// None when the settings name no file for it. `place` is what the controller itself works with.
    ///
    /// # Errors
    /// The authority's file cannot be read.
    pub fn of(
        config: &RepositoryConfig,
        place: &Place,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, PlaceError> {
        let (Some(bucket), Some(file)) = (
            config.handed_out(environment)?,
            &config.direct_credentials_file,
        ) else {
            return Ok(None);
        };
        let credentials = match place {
            Place::Directory(_) => Vec::new(),
            Place::Bucket(own) => own
                .credentials()
                .map(|(_, value)| value.to_owned())
                .collect(),
        };
        Ok(Some(Self(Arc::new(Inner {
            bucket,
            file: file.clone(),
            own: Own {
                file: config.credentials_file.clone(),
                credentials,
            },
            without: Mutex::default(),
        }))))
    }

    /// The host's folder with credentials for it; none for a host without a file of its own.
    ///
    /// # Errors
    /// The file is there and cannot be used, or there has to be one and is not.
    pub fn bucket(&self, host: &HostName) -> Result<Option<Bucket>, DirectError> {
        let Some(path) = self.file(host) else {
            return Ok(None);
        };
        if let Some(own) = &self.0.own.file
            && is_same_file(&path, own)
        {
            let host = host.clone();
            return Err(DirectError::Own { host, path });
        }
        let handed = read_credentials(&path).map_err(|source| DirectError::File {
            host: host.clone(),
            source,
        })?;
        self.with(host, path, handed).map(Some)
    }

    /// The host's file, if it has one.
    fn file(&self, host: &HostName) -> Option<PathBuf> {
        let pattern = self.0.file.to_string_lossy();
        if !pattern.contains(HOST) {
            return Some(self.0.file.clone());
        }
        let path = PathBuf::from(pattern.replace(HOST, host.as_str()));
        let mut without = self
            .0
            .without
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if is_absent(&path) {
            if without.insert(host.clone()) {
                tracing::info!(
                    %host,
                    path = %path.display(),
                    "no credentials for this host: its backups go through the controller"
                );
            }
            return None;
        }
        without.remove(host);
        Some(path)
    }

    fn with(
        &self,
        host: &HostName,
        path: PathBuf,
        handed: BTreeMap<String, String>,
    ) -> Result<Bucket, DirectError> {
        let mut bucket = self.0.bucket.clone();
        bucket.url = format!("{}/{host}", bucket.url.trim_end_matches('/'));
        bucket.options.extend(handed);
        let host = host.clone();
        let own = &self.0.own.credentials;
        let found: Vec<_> = bucket.credentials().collect();
        if found.is_empty() {
            return Err(DirectError::Empty { host, path });
        }
        if let Some((option, _)) = found
            .iter()
            .find(|(_, value)| own.iter().any(|own| own == value))
        {
            let option = (*option).to_owned();
            return Err(DirectError::OwnValue { host, path, option });
        }
        // A mistake is told here, where it is made, and not on the host.
        match Storage::open(&Place::Bucket(bucket.clone())) {
            Ok(_) => Ok(bucket),
            Err(source) => Err(DirectError::Settings {
                host,
                path,
                source: Box::new(source),
            }),
        }
    }
}

/// A link to nothing is there: somebody meant it.
fn is_absent(path: &Path) -> bool {
    let found = std::fs::symlink_metadata(path);
    found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Direct").field(&self.0.file).finish()
    }
}

#[cfg(test)]
mod tests {
    use holdfast_chassis::{identity::write_private, telemetry::Chain};

    use super::*;

    struct Hosts {
        folder: tempfile::TempDir,
        direct: Direct,
    }

    impl Hosts {
        fn new(file: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let own = folder.path().join("own");
            write_private(&own, b"secret_access_key = \"the controller's\"\n").unwrap();
            let config = RepositoryConfig {
                location: Some("s3://backups/holdfast/".to_owned()),
                region: Some("eu-1".to_owned()),
                credentials_file: Some(own),
                direct_credentials_file: Some(folder.path().join(file)),
                ..RepositoryConfig::default()
            };
            let place = config.place(folder.path(), |_| None).unwrap();
            let direct = Direct::of(&config, &place, |_| None).unwrap().unwrap();
            Self { folder, direct }
        }

        fn write(&self, file: &str, text: &str) {
            write_private(&self.folder.path().join(file), text.as_bytes()).unwrap();
        }

        fn of(&self, host: &str) -> Result<Option<Bucket>, DirectError> {
            self.direct.bucket(&host.parse().unwrap())
        }

        /// Why it gets none; never with a secret.
        fn why(&self, host: &str) -> (DirectError, String) {
            let error = self.of(host).unwrap_err();
            let told = Chain(&error).to_string();
            let shown = format!("{told} {error:?} {:?}", self.direct);
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(!shown.contains("controller's\""), "{shown}");
            (error, told)
        }
    }

    const GOOD: &str = "access_key_id = \"AK\"\nsecret_access_key = \"hunter2\"\n";

    #[test]
    fn a_host_gets_what_stands_in_its_file_now_and_its_folder() {
        let hosts = Hosts::new("{host}.toml");
        hosts.write("web-1.toml", GOOD);
        let bucket = hosts.of("web-1").unwrap().unwrap();
        assert_eq!(bucket.url, "s3://backups/holdfast/web-1");
        let options: Vec<_> = bucket.options.values().map(String::as_str).collect();
        assert_eq!(options, ["AK", "eu-1", "hunter2"]);
        hosts.write("web-1.toml", &GOOD.replace("AK", "rotated"));
        let bucket = hosts.of("web-1").unwrap().unwrap();
        assert_eq!(bucket.options["access_key_id"], "rotated");
    }

    #[test]
    fn a_host_without_a_file_of_its_own_goes_through_the_controller() {
        let hosts = Hosts::new("{host}.toml");
        assert_eq!(hosts.of("web-2").unwrap(), None);
        hosts.write("web-2.toml", GOOD);
        assert!(hosts.of("web-2").unwrap().is_some());
        // One file for all has to be there.
        let hosts = Hosts::new("hosts.toml");
        let (error, told) = hosts.why("web-2");
        assert!(matches!(error, DirectError::File { .. }), "{error:?}");
        assert!(told.contains("hosts.toml"), "{told}");
        hosts.write("hosts.toml", GOOD);
        assert!(hosts.of("web-2").unwrap().is_some());
    }

    #[test]
    fn a_file_that_is_there_and_wrong_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let hosts = Hosts::new("{host}.toml");
        hosts.write("web-1.toml", "a = \"b\"\nsecret_access_key: hunter2\n");
        let (_, told) = hosts.why("web-1");
        assert!(told.contains("web-1.toml: line 2"), "{told}");
        for empty in ["", "region = \"eu-2\"\n"] {
            hosts.write("web-1.toml", empty);
            let (error, told) = hosts.why("web-1");
            assert!(matches!(error, DirectError::Empty { .. }), "{error:?}");
            assert!(told.contains("web-1.toml"), "{told}");
        }
        hosts.write("web-1.toml", "acess_key = \"hunter2\"\n");
        let (_, told) = hosts.why("web-1");
        assert!(told.contains("no option \"acess_key\""), "{told}");
        hosts.write("web-1.toml", GOOD);
        let path = hosts.folder.path().join("web-1.toml");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let (_, told) = hosts.why("web-1");
        assert!(told.contains("open to others (mode 640)"), "{told}");
        std::os::unix::fs::symlink("nowhere", hosts.folder.path().join("web-3.toml")).unwrap();
        let (error, _) = hosts.why("web-3");
        assert!(matches!(error, DirectError::File { .. }), "{error:?}");
    }

    #[test]
    fn the_controllers_own_are_never_handed_out() {
        let hosts = Hosts::new("{host}.toml");
        let link = hosts.folder.path().join("web-1.toml");
        std::os::unix::fs::symlink(hosts.folder.path().join("own"), link).unwrap();
        let (error, _) = hosts.why("web-1");
        assert!(matches!(error, DirectError::Own { .. }), "{error:?}");
        // A copy of them.
        let copied = "access_key_id = \"AK\"\nsecret_access_key = \"the controller's\"\n";
        hosts.write("web-2.toml", copied);
        let (_, told) = hosts.why("web-2");
        assert!(
            told.contains("secret_access_key is the controller's own"),
            "{told}"
        );
    }
}
