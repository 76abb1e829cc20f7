//! Where the repositories are: the settings as a place, with its credentials.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use holdfast_chassis::identity::{PrivateFileError, read_private};
use holdfast_repository::storage::{Bucket, Place};

/// Of `[repository]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryConfig {
    /// A directory or the URL of a bucket; unset: below the state directory.
    pub location: Option<String>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub credentials_file: Option<PathBuf>,
    pub authority_file: Option<PathBuf>,
}

/// Why the credentials or the authority cannot be read. Never with what stands in them.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("repository.credentials_file cannot be used")]
    Credentials(#[source] PrivateFileError),
    #[error("repository.credentials_file {path}: line {line} is not of the form name = \"value\"")]
    CredentialsLine { path: PathBuf, line: usize },
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
        if let Some(path) = &self.credentials_file {
            options.extend(credentials(path)?);
        }
        Ok(Place::Bucket(Bucket {
            url: location.clone(),
            options,
            authority: self.authority()?,
        }))
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

/// TOML, but told by line number only: its errors would quote the secret.
fn credentials(path: &Path) -> Result<BTreeMap<String, String>, PlaceError> {
    let text = read_private(path).map_err(PlaceError::Credentials)?;
    toml::from_str(&text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1;
        let path = path.to_owned();
        PlaceError::CredentialsLine { path, line }
    })
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
}
