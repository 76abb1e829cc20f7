//! Where repositories are, as configured: a directory, or a bucket of S3, GCS or Azure.

use std::{
    collections::BTreeMap, fmt, fs, io, path::PathBuf, str::FromStr, sync::Arc, time::Duration,
};

use object_store::{
    Certificate, ClientOptions, ObjectStore, ObjectStoreScheme,
    aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder,
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    local::LocalFileSystem,
    path::Path,
};
use reqwest::Url;

use super::Storage;

/// A pack of 16 MiB at half a megabit a second.
const REQUEST: Duration = Duration::from_secs(300);
const CONNECT: Duration = Duration::from_secs(10);
/// What S3 and Azure call it; GCS has another name.
const ENDPOINT: &str = "endpoint";
/// How object_store says that a service account's file is none; what follows quotes it.
const UNDECODED: &str = "Unable to decode service account file";
/// In the names of options whose values open something.
const OPENS: [&str; 4] = ["key", "secret", "token", "service_account"];
/// A shorter value is none that opens something: "true", a test's.
const SHORTEST: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Made when it is not there, for its owner alone.
    Directory(PathBuf),
    Bucket(Bucket),
}

/// A bucket, or a folder in one. `Debug` shows the names of its options, not what they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Bucket {
    /// `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`.
    pub url: String,
    /// As object_store names them: `endpoint`, `region`, `access_key_id`, `secret_access_key`,
    /// `service_account`, `account_name`, `account_key`, `allow_http`, `conditional_put` …
    pub options: BTreeMap<String, String>,
    /// PEM of an authority that is trusted beside the machine's own.
    pub authority: Option<Vec<u8>>,
}

/// Why a place cannot be used. Never with a secret.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("cannot make the directory {path}")]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{url:?} is no bucket: give s3://bucket/folder, gs://bucket/folder or az://container/folder"
    )]
    Url { url: String },
    #[error("{url} has no option {option:?}")]
    Option { url: String, option: String },
    #[error("the authority given for {url} is no PEM certificate")]
    Authority {
        url: String,
        #[source]
        source: object_store::Error,
    },
    /// Without its cause: that would quote the file.
    #[error(
        "the service account given for {url} is no key file of Google Cloud: JSON with private_key, private_key_id and client_email"
    )]
    ServiceAccount { url: String },
    #[error("the settings of {url} do not fit together")]
    Settings {
        url: String,
        #[source]
        source: object_store::Error,
    },
}

impl Place {
    pub(super) fn open(&self) -> Result<Storage, StorageError> {
        match self {
            Self::Directory(path) => directory(path),
            Self::Bucket(bucket) => bucket.open(),
        }
    }
}

impl Bucket {
    /// Names and values of the options that open something: keys, tokens, passwords. What a bucket is
    /// encrypted with is none of them.
    pub fn credentials(&self) -> impl Iterator<Item = (&str, &str)> {
        let opens = |name: &str| OPENS.iter().any(|part| name.contains(part));
        self.options
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(move |(name, _)| opens(name) && !name.contains("sse_"))
    }

    fn open(&self) -> Result<Storage, StorageError> {
        let wrong = || StorageError::Url {
            url: self.url.clone(),
        };
        let url: Url = self.url.parse().map_err(|_| wrong())?;
        let (scheme, folder) = ObjectStoreScheme::parse(&url).map_err(|_| wrong())?;
        // object_store's client has no provider of its own; another one of the process stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = self.connect(scheme)?;
        let mut location = self.url.trim_end_matches('/').to_owned();
        if let Some(query) = location.find('?') {
            location.truncate(query);
        }
        let credentials = self.credentials().map(|(_, value)| value.to_owned());
        Ok(Storage {
            store,
            folder,
            location,
            credentials: credentials
                .filter(|value| value.len() >= SHORTEST)
                .collect(),
        })
    }

    fn connect(&self, scheme: ObjectStoreScheme) -> Result<Arc<dyn ObjectStore>, StorageError> {
        let client = self.client()?;
        let settings = |source| StorageError::Settings {
            url: self.url.clone(),
            source,
        };
        Ok(match scheme {
            ObjectStoreScheme::AmazonS3 => {
                let mut builder = AmazonS3Builder::new()
                    .with_client_options(client)
                    .with_url(&self.url);
                for (key, value) in &self.options {
                    builder = builder.with_config(self.key(key)?, value);
                }
                Arc::new(builder.build().map_err(settings)?)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let mut builder = GoogleCloudStorageBuilder::new()
                    .with_client_options(client)
                    .with_url(&self.url);
                for (key, value) in &self.options {
                    let key = if key == ENDPOINT {
                        GoogleConfigKey::BaseUrl
                    } else {
                        self.key(key)?
                    };
                    builder = builder.with_config(key, value);
                }
                Arc::new(builder.build().map_err(|source| {
                    if source.to_string().contains(UNDECODED) {
                        let url = self.url.clone();
                        return StorageError::ServiceAccount { url };
                    }
                    settings(source)
                })?)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let mut builder = MicrosoftAzureBuilder::new()
                    .with_client_options(client)
                    .with_url(&self.url);
                for (key, value) in &self.options {
                    builder = builder.with_config(self.key(key)?, value);
                }
                Arc::new(builder.build().map_err(settings)?)
            }
            _ => {
                return Err(StorageError::Url {
                    url: self.url.clone(),
                });
            }
        })
    }

    fn client(&self) -> Result<ClientOptions, StorageError> {
        let mut client = ClientOptions::new()
            .with_timeout(REQUEST)
            .with_connect_timeout(CONNECT);
        if let Some(pem) = &self.authority {
            let authority =
                Certificate::from_pem(pem).map_err(|source| StorageError::Authority {
                    url: self.url.clone(),
                    source,
                })?;
            client = client.with_root_certificate(authority);
        }
        Ok(client)
    }

    fn key<T: FromStr>(&self, option: &str) -> Result<T, StorageError> {
        option.parse().map_err(|_| StorageError::Option {
            url: self.url.clone(),
            option: option.to_owned(),
        })
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.options.keys().collect();
        f.debug_struct("Bucket")
            .field("url", &self.url)
            .field("options", &options)
            .finish_non_exhaustive()
    }
}

fn directory(path: &PathBuf) -> Result<Storage, StorageError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = |source| StorageError::Directory {
        path: path.clone(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let store = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| failed(io::Error::other(error)))?
        .with_fsync(true);
    Ok(Storage {
        store: Arc::new(store),
        folder: Path::default(),
        location: path.display().to_string(),
        credentials: Arc::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(url: &str, options: &[(&str, &str)]) -> Bucket {
        Bucket {
            url: url.to_owned(),
            options: options
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            authority: None,
        }
    }

    #[test]
    fn buckets_of_three_kinds_open_and_their_secrets_do_not_show() {
        let secret = [("access_key_id", "AK"), ("secret_access_key", "hunter2")];
        let s3 = bucket("s3://backups/holdfast/", &secret);
        assert!(!format!("{s3:?}").contains("hunter2"));
        let storage = s3.open().unwrap();
        assert_eq!(
            storage.folder("web-1").location,
            "s3://backups/holdfast/web-1"
        );
        assert!(!format!("{storage:?}").contains("hunter2"), "{storage:?}");
        bucket("gs://backups", &[("skip_signature", "true")])
            .open()
            .unwrap();
        let azure = [("account_name", "a"), ("account_key", "aGk=")];
        bucket("az://backups/holdfast", &azure).open().unwrap();
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |bucket: Bucket| bucket.open().unwrap_err();
        assert!(matches!(
            wrong(bucket("ftp://x", &[])),
            StorageError::Url { .. }
        ));
        assert!(matches!(
            wrong(bucket("backups", &[])),
            StorageError::Url { .. }
        ));
        let option = wrong(bucket("s3://x", &[("acess_key", "hunter2")])).to_string();
        assert_eq!(option, "s3://x has no option \"acess_key\"");
    }

    #[test]
    fn an_endpoint_is_one_whatever_the_client_calls_it() {
        let endpoint = ("endpoint", "http://127.0.0.1:9");
        let (signed, azure) = (("skip_signature", "true"), ("account_name", "a"));
        for (url, other) in [("s3://x", signed), ("gs://x", signed), ("az://x", azure)] {
            bucket(url, &[endpoint, other]).open().unwrap();
        }
    }

    #[test]
    fn wrong_settings_are_refused_without_their_secrets() {
        let account =
            r#"{"private_key": "hunter2", "private_key_id": "1", "client_email": "a@b.c"}"#;
        for (url, options) in [
            ("gs://x", &[("service_account_key", "hunter2")][..]),
            ("gs://x", &[("service_account_key", r#""hunter2""#)]),
            ("gs://x", &[("service_account_key", account)]),
            (
                "az://x",
                &[("account_name", "a"), ("account_key", "hunter2!")],
            ),
            ("az://x", &[("account_name", "a"), ("sas_token", "hunter2")]),
        ] {
            let wrong = bucket(url, options).open().unwrap_err();
            let told = holdfast_chassis::telemetry::Chain(&wrong).to_string();
            assert!(!format!("{wrong:?} {told}").contains("hunter2"), "{told}");
        }
    }
}
