//! Where the repositories are: the settings as a place, with its credentials.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use holdfast_repository::storage::{Bucket, Place};

use super::credentials::{self, CredentialsError};

/// Of `[repository]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryConfig {
    /// A directory or the URL of a bucket; unset: below the state directory.
    pub location: Option<String>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub credentials_file: Option<PathBuf>,
    /// What hosts are handed out; with `{host}` in it a file for each.
    pub direct_credentials_file: Option<PathBuf>,
    pub authority_file: Option<PathBuf>,
}

/// Why the credentials or the authority cannot be read. Never with what stands in them.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("repository.credentials_file cannot be used")]
    Credentials(#[source] CredentialsError),
    #[error("repository.authority_file {path} cannot be read")]
    Authority {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Variables of the environment that cloud tools share; what the file says goes over them.
const SHARED: [&str; 7] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "GOOGLE_SERVICE_ACCOUNT",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
];

/// Below the state directory.
const DIRECTORY: &str = "repositories";

impl RepositoryConfig {
    /// Reads the files; `environment` gives a variable's value.
    ///
    /// # Errors
    /// A file cannot be read, is open to others, or makes no sense.
    pub fn place(
        &self,
        state_dir: &Path,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Place, PlaceError> {
        let Some(location) = &self.location else {
            return Ok(Place::Directory(state_dir.join(DIRECTORY)));
        };
        let Some((scheme, _)) = location.split_once("://") else {
            return Ok(Place::Directory(location.into()));
        };
        let mut options = shared(scheme, environment);
        options.extend(self.address());
        if let Some(path) = &self.credentials_file {
            options.extend(credentials::read(path).map_err(PlaceError::Credentials)?);
        }
        Ok(Place::Bucket(Bucket {
            url: location.clone(),
            options,
            authority: self.authority()?,
        }))
    }

    /// The bucket without credentials, as hosts are told of it that get some of their own; none unless
    /// they shall. `environment` gives a variable's value.
    ///
    /// # Errors
    /// The authority's file cannot be read.
    pub fn handed_out(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Bucket>, PlaceError> {
        let Some(url) = self.location.as_ref().filter(|_| self.is_direct()) else {
            return Ok(None);
        };
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let mut options = shared(scheme, environment);
        options.retain(|name, _| name.ends_with("_region"));
        options.extend(self.address());
        Ok(Some(Bucket {
            url: url.clone(),
            options,
            authority: self.authority()?,
        }))
    }

    fn is_direct(&self) -> bool {
        self.direct_credentials_file.is_some() && self.is_bucket()
    }

    /// Whether it is no directory.
    #[must_use]
    pub fn is_bucket(&self) -> bool {
        let location = self.location.as_deref();
        location.is_some_and(|location| location.contains("://"))
    }

    /// What hosts would be handed out is what the controller itself works with.
    #[must_use]
    pub fn hands_out_its_own(&self) -> bool {
        match (&self.direct_credentials_file, &self.credentials_file) {
            (Some(direct), Some(own)) => is_same_file(direct, own),
            _ => false,
        }
    }

    /// How the bucket's server is reached.
    fn address(&self) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        for (name, value) in [("endpoint", &self.endpoint), ("region", &self.region)] {
            if let Some(value) = value {
                options.insert(name.to_owned(), value.clone());
            }
        }
        if self
            .endpoint
            .as_ref()
            .is_some_and(|endpoint| endpoint.starts_with("http://"))
        {
            options.insert("allow_http".to_owned(), "true".to_owned());
        }
        options
    }

    fn authority(&self) -> Result<Option<Vec<u8>>, PlaceError> {
        let Some(path) = &self.authority_file else {
            return Ok(None);
        };
        let read = fs::read(path).map_err(|source| PlaceError::Authority {
            path: path.clone(),
            source,
        })?;
        Ok(Some(read))
    }
}

fn shared(scheme: &str, environment: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let prefix = match scheme {
        "s3" | "s3a" => "AWS_",
        "gs" => "GOOGLE_",
        "az" | "azure" | "abfs" | "abfss" | "adl" => "AZURE_",
        _ => return BTreeMap::new(),
    };
    SHARED
        .iter()
        .filter(|name| name.starts_with(prefix))
        .filter_map(|name| Some((name.to_lowercase(), environment(name)?)))
        .collect()
}

/// By another name or a link too. What is not there is the same as nothing but its own name.
#[must_use]
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let same = |(one, other): (fs::Metadata, fs::Metadata)| {
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    one == other
        || fs::metadata(one)
            .ok()
            .zip(fs::metadata(other).ok())
            .is_some_and(same)
}

#[cfg(test)]
mod tests {
    use holdfast_chassis::identity::write_private;

    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_directory_below_the_state_directory_unless_told_otherwise() {
        let state = Path::new("/var/lib/holdfast");
        let mut config = RepositoryConfig::default();
        let place = config.place(state, nothing).unwrap();
        assert_eq!(place, Place::Directory(state.join("repositories")));
        config.location = Some("/srv/backups".to_owned());
        let place = config.place(state, nothing).unwrap();
        assert_eq!(place, Place::Directory("/srv/backups".into()));
    }

    #[test]
    fn a_bucket_takes_its_credentials_from_the_environment_and_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        write_private(&file, b"secret_access_key = \"hunter2\"\n").unwrap();
        let config = RepositoryConfig {
            location: Some("s3://backups/holdfast".to_owned()),
            endpoint: Some("http://127.0.0.1:9000".to_owned()),
            region: Some("eu-1".to_owned()),
            credentials_file: Some(file.clone()),
            direct_credentials_file: Some(folder.path().join("{host}")),
            authority_file: None,
        };
        let environment = |name: &str| (name == "AWS_ACCESS_KEY_ID").then(|| "AK".to_owned());
        let place = config.place(Path::new("/"), environment).unwrap();
        assert!(!format!("{place:?}").contains("hunter2"));
        let Place::Bucket(bucket) = place else {
            panic!("no bucket")
        };
        let options: Vec<_> = bucket
            .options
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            options,
            [
                ("allow_http", "true"),
                ("aws_access_key_id", "AK"),
                ("endpoint", "http://127.0.0.1:9000"),
                ("region", "eu-1"),
                ("secret_access_key", "hunter2"),
            ]
        );
        write_private(&file, b"a = \"b\"\nsecret_access_key: hunter2\n").unwrap();
        let error = config.place(Path::new("/"), nothing).unwrap_err();
        let told = holdfast_chassis::telemetry::Chain(&error).to_string();
        assert!(
            told.contains("line 2") && !told.contains("hunter2"),
            "{told}"
        );
    }

    #[test]
    fn hosts_are_told_of_the_bucket_without_the_controllers_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        write_private(&file, b"secret_access_key = \"hunter2\"\n").unwrap();
        let mut config = RepositoryConfig {
            location: Some("s3://backups/holdfast".to_owned()),
            endpoint: Some("https://s3.example".to_owned()),
            credentials_file: Some(file.clone()),
            ..RepositoryConfig::default()
        };
        let environment = |name: &str| name.starts_with("AWS_").then(|| format!("{name}'s"));
        assert_eq!(config.handed_out(environment).unwrap(), None);
        config.direct_credentials_file = Some("/etc/holdfast/{host}".into());
        let bucket = config.handed_out(environment).unwrap().unwrap();
        let options: Vec<_> = bucket
            .options
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            options,
            [
                ("aws_region", "AWS_REGION's"),
                ("endpoint", "https://s3.example"),
            ]
        );
        assert_eq!(bucket.url, "s3://backups/holdfast");
        assert!(!config.hands_out_its_own());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        config.direct_credentials_file = Some(link);
        assert!(config.hands_out_its_own());
    }
}
