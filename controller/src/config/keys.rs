//! The table of all keys: name, default, explanation, reader.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::parse::{self, CatalogUrl, LogFormat};

/// One thing that can be set.
pub struct Key<T> {
    /// `section.name`, or a name alone.
    pub path: &'static str,
    /// As it stands in the TOML file; none: unset.
    pub default: Option<&'static str>,
    /// Shown where there is no default.
    pub example: &'static str,
    /// One line.
    pub what: &'static str,
    /// Its value may hold a password.
    pub secret: bool,
    pub parse: fn(&str) -> Result<T, String>,
}

/// A key without the type of its value.
pub trait AnyKey: Sync {
    fn path(&self) -> &'static str;
    fn default(&self) -> Option<&'static str>;
    fn example(&self) -> &'static str;
    fn what(&self) -> &'static str;
    fn is_secret(&self) -> bool;
    /// # Errors
    /// Why the text is no value of this key.
    fn check(&self, text: &str) -> Result<(), String>;
}

impl<T> AnyKey for Key<T> {
    fn path(&self) -> &'static str {
        self.path
    }

    fn default(&self) -> Option<&'static str> {
        self.default
    }

    fn example(&self) -> &'static str {
        self.example
    }

    fn what(&self) -> &'static str {
        self.what
    }

    fn is_secret(&self) -> bool {
        self.secret
    }

    fn check(&self, text: &str) -> Result<(), String> {
        (self.parse)(text).map(drop)
    }
}

const fn key<T>(
    path: &'static str,
    default: &'static str,
    parse: fn(&str) -> Result<T, String>,
    what: &'static str,
) -> Key<T> {
    Key {
        path,
        default: Some(default),
        example: default,
        what,
        secret: false,
        parse,
    }
}

const fn unset<T>(
    path: &'static str,
    example: &'static str,
    parse: fn(&str) -> Result<T, String>,
    what: &'static str,
) -> Key<T> {
    Key {
        path,
        default: None,
        example,
        what,
        secret: false,
        parse,
    }
}

pub const STATE_DIR: Key<PathBuf> = key(
    "state_dir",
    "/var/lib/holdfast",
    parse::absolute_path,
    "Where the authority's key, the private PostgreSQL and everything else that lasts is kept.",
);
pub const LISTEN: Key<SocketAddr> = key(
    "listen",
    "0.0.0.0:7443",
    parse::socket_address,
    "Where agents and operators are answered.",
);
pub const ADVERTISE: Key<String> = unset(
    "advertise",
    "controller.example.com:7443",
    parse::host_and_port,
    "The address they are told to dial; unset: this machine's name and the port of listen.",
);
pub const CATALOG_URL: Key<CatalogUrl> = Key {
    secret: true,
    ..unset(
        "catalog.url",
        "postgres://holdfast@db.example.com/holdfast",
        parse::catalog_url,
        "The PostgreSQL of the catalog; unset: a private one under state_dir, from this machine's binaries.",
    )
};
pub const EMBEDDED_BIN_DIR: Key<PathBuf> = unset(
    "embedded.bin_dir",
    "/usr/lib/postgresql/17/bin",
    parse::absolute_path,
    "Where the private PostgreSQL's binaries are; unset: the newest of this machine, or those of its data.",
);
pub const EMBEDDED_USER: Key<String> = unset(
    "embedded.user",
    "holdfast",
    parse::text,
    "Whom the private PostgreSQL runs as when the controller is root; unset: holdfast, else postgres.",
);
pub const CERTIFICATE_LIFE: Key<Duration> = key(
    "identity.certificate_life",
    "30days",
    parse::at_least_ten_seconds,
    "How long a certificate is valid; it renews by itself at 70 % of it.",
);
pub const TOKEN_LIFE: Key<Duration> = key(
    "identity.token_life",
    "1h",
    parse::at_least_one_second,
    "How long the one-time token of `ctl host enrol` is valid.",
);
pub const HEARTBEAT_INTERVAL: Key<Duration> = key(
    "session.heartbeat_interval",
    "10s",
    parse::at_least_one_second,
    "How often host and controller tell each other that they are there; 3 missed ones are silence.",
);
pub const HOST_PATIENCE: Key<Duration> = key(
    "session.host_patience",
    "10m",
    parse::at_least_one_second,
    "How long a job's step waits for a host that is away before it counts as failed.",
);
pub const CONCURRENT: Key<u32> = key(
    "jobs.concurrent",
    "4",
    parse::from_1_to_1000,
    "How many jobs this controller runs at the same time.",
);
pub const LEASE: Key<Duration> = key(
    "jobs.lease",
    "30s",
    parse::at_least_one_second,
    "How long a controller's claim on a job holds without being renewed; then another may take it over.",
);
pub const KEEP_REPLACED: Key<Duration> = key(
    "jobs.keep_replaced",
    "24h",
    parse::duration,
    "How long a replaced database is kept for `ctl job undo`, unless the job says otherwise.",
);
pub const HISTORY_DAYS: Key<u32> = key(
    "checks.history_days",
    "90",
    parse::from_1_to_10000,
    "How many days the results of checks, and findings that are over, are kept.",
);
pub const REPOSITORY_LOCATION: Key<String> = unset(
    "repository.location",
    "s3://backups/holdfast",
    parse::repository_location,
    "Where backups are kept: a directory, or s3://, gs:// or az:// bucket/folder; unset: repositories under state_dir.",
);
pub const REPOSITORY_ENDPOINT: Key<String> = unset(
    "repository.endpoint",
    "https://s3.example.com",
    parse::text,
    "The address of a bucket's server; unset: that of the cloud. http:// is for tests: nothing hides the bucket's credentials.",
);
pub const REPOSITORY_REGION: Key<String> = unset(
    "repository.region",
    "eu-central-1",
    parse::text,
    "The bucket's region.",
);
pub const REPOSITORY_CREDENTIALS_FILE: Key<PathBuf> = unset(
    "repository.credentials_file",
    "/etc/holdfast/bucket.toml",
    parse::absolute_path,
    "Lines like secret_access_key = \"...\", mode 0600; unset: AWS_, GOOGLE_ or AZURE_ variables of the environment.",
);
pub const REPOSITORY_DIRECT_CREDENTIALS_FILE: Key<PathBuf> = unset(
    "repository.direct_credentials_file",
    "/etc/holdfast/hosts/{host}.toml",
    parse::absolute_path,
    "Credentials that hosts get to write to the bucket themselves, read anew for each job; unset: through the controller.",
);
pub const REPOSITORY_AUTHORITY_FILE: Key<PathBuf> = unset(
    "repository.authority_file",
    "/etc/holdfast/bucket-ca.pem",
    parse::absolute_path,
    "An authority that the bucket's server is trusted by, beside those of this machine.",
);
pub const LOG_FILTER: Key<String> = key(
    "log.filter",
    "info",
    parse::log_filter,
    "What is logged: a level, or target=level pairs with commas between them.",
);
pub const LOG_FORMAT: Key<LogFormat> = key(
    "log.format",
    "text",
    parse::log_format,
    "How it is logged to stderr: text or json.",
);

/// In the order in which they are shown; keys of one section stand together.
pub const TABLE: &[&dyn AnyKey] = &[
    &STATE_DIR,
    &LISTEN,
    &ADVERTISE,
    &CATALOG_URL,
    &EMBEDDED_BIN_DIR,
    &EMBEDDED_USER,
    &CERTIFICATE_LIFE,
    &TOKEN_LIFE,
    &HEARTBEAT_INTERVAL,
    &HOST_PATIENCE,
    &CONCURRENT,
    &LEASE,
    &KEEP_REPLACED,
    &HISTORY_DAYS,
    &REPOSITORY_LOCATION,
    &REPOSITORY_ENDPOINT,
    &REPOSITORY_REGION,
    &REPOSITORY_CREDENTIALS_FILE,
    &REPOSITORY_DIRECT_CREDENTIALS_FILE,
    &REPOSITORY_AUTHORITY_FILE,
    &LOG_FILTER,
    &LOG_FORMAT,
];

/// The key with this path.
pub fn find(path: &str) -> Option<&'static dyn AnyKey> {
    TABLE.iter().copied().find(|key| key.path() == path)
}

/// Whether keys begin with this name.
pub fn is_section(name: &str) -> bool {
    TABLE.iter().any(|key| {
        key.path()
            .split_once('.')
            .is_some_and(|(section, _)| section == name)
    })
}

/// The key that was probably meant.
pub fn nearest(path: &str) -> Option<&'static str> {
    TABLE
        .iter()
        .map(|key| (strsim::damerau_levenshtein(path, key.path()), key.path()))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
        .map(|(_, known)| known)
}
