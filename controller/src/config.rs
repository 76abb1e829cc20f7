//! Settings: one TOML file, environment over it, flags over both; refused whole when one is wrong.
//!
//! [`keys`] is the one table of what can be set: what `holdfast-controller config` prints, what is
//! checked and what is read all come from it.

mod credentials;
mod keys;
mod layers;
mod parse;
mod problem;
mod repository;
mod show;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use self::{
    credentials::{CredentialsError, read as read_credentials},
    layers::{DEFAULT_FILE, Inputs, Source},
    parse::{CatalogUrl, LogFormat},
    problem::{ConfigError, Problem},
    repository::{PlaceError, RepositoryConfig, is_same_file},
    show::{EffectiveKey, commented_defaults, effective_as_toml},
};
use self::{keys::Key, layers::Values};

/// Everything that can be set, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Absolute.
    pub state_dir: PathBuf,
    pub listen: SocketAddr,
    /// `host:port` that agents and operators dial; unset: this machine's name and the port of `listen`.
    pub advertise: Option<String>,
    pub catalog: CatalogConfig,
    pub embedded: EmbeddedConfig,
    pub identity: IdentityConfig,
    pub session: SessionConfig,
    pub jobs: JobsConfig,
    pub checks: ChecksConfig,
    pub repository: RepositoryConfig,
    pub log: LogConfig,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogConfig {
    /// Unset: the private PostgreSQL.
    pub url: Option<CatalogUrl>,
}

/// Of the private PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedConfig {
    pub bin_dir: Option<PathBuf>,
    pub user: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityConfig {
    /// Of every certificate, the controller's own too; it renews at 70 % of it.
    pub certificate_life: Duration,
    /// Of a one-time enrolment token.
    pub token_life: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    pub heartbeat_interval: Duration,
    /// How long work waits for a host that is away.
    pub host_patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobsConfig {
    /// That this controller runs at the same time.
    pub concurrent: u32,
    /// How long a claim on a job holds without being renewed.
    pub lease: Duration,
    /// How long a database that was replaced is kept, unless the job says otherwise.
    pub keep_replaced: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChecksConfig {
    /// How long the results of checks, and findings that are over, are kept.
    pub history_days: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// As `tracing-subscriber` reads it: `info`, `holdfast_controller=debug,info`.
    pub filter: String,
    pub format: LogFormat,
}

/// A configuration and where each part of it comes from.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub effective: Vec<EffectiveKey>,
}

impl Config {
    /// Reads, merges and checks; opens nothing.
    ///
    /// # Errors
    /// All mistakes at once, each with its file or variable, key, value and reason.
    pub fn load(inputs: &Inputs) -> Result<Loaded, ConfigError> {
        let (values, mut problems) = Values::gather(inputs);
        problems.extend(values.check());
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        let config = Self::from_values(&values).map_err(ConfigError::from)?;
        let problems = config.contradictions(&values);
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        Ok(Loaded {
            config,
            effective: show::effective(&values),
        })
    }

    fn from_values(values: &Values) -> Result<Self, Problem> {
        Ok(Self {
            state_dir: values.get(&keys::STATE_DIR)?,
            listen: values.get(&keys::LISTEN)?,
            advertise: values.get_optional(&keys::ADVERTISE)?,
            catalog: CatalogConfig {
                url: values.get_optional(&keys::CATALOG_URL)?,
            },
            embedded: EmbeddedConfig {
                bin_dir: values.get_optional(&keys::EMBEDDED_BIN_DIR)?,
                user: values.get_optional(&keys::EMBEDDED_USER)?,
            },
            identity: IdentityConfig {
                certificate_life: values.get(&keys::CERTIFICATE_LIFE)?,
                token_life: values.get(&keys::TOKEN_LIFE)?,
            },
            session: SessionConfig {
                heartbeat_interval: values.get(&keys::HEARTBEAT_INTERVAL)?,
                host_patience: values.get(&keys::HOST_PATIENCE)?,
            },
            jobs: JobsConfig {
                concurrent: values.get(&keys::CONCURRENT)?,
                lease: values.get(&keys::LEASE)?,
                keep_replaced: values.get(&keys::KEEP_REPLACED)?,
            },
            checks: ChecksConfig {
                history_days: values.get(&keys::HISTORY_DAYS)?,
            },
            repository: RepositoryConfig {
                location: values.get_optional(&keys::REPOSITORY_LOCATION)?,
                endpoint: values.get_optional(&keys::REPOSITORY_ENDPOINT)?,
                region: values.get_optional(&keys::REPOSITORY_REGION)?,
                credentials_file: values.get_optional(&keys::REPOSITORY_CREDENTIALS_FILE)?,
                direct_credentials_file: values
                    .get_optional(&keys::REPOSITORY_DIRECT_CREDENTIALS_FILE)?,
                authority_file: values.get_optional(&keys::REPOSITORY_AUTHORITY_FILE)?,
            },
            log: LogConfig {
                filter: values.get(&keys::LOG_FILTER)?,
                format: values.get(&keys::LOG_FORMAT)?,
            },
        })
    }

    /// Values that are each right and wrong together.
    fn contradictions(&self, values: &Values) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.session.host_patience < self.session.heartbeat_interval * 3 {
            problems.push(values.problem(
                &keys::HOST_PATIENCE,
                "must be at least 3 times session.heartbeat_interval: a host is called silent only then",
            ));
        }
        let direct = &keys::REPOSITORY_DIRECT_CREDENTIALS_FILE;
        if self.repository.direct_credentials_file.is_some() && !self.repository.is_bucket() {
            problems.push(values.problem(
                direct,
                "is for a bucket: repository.location is a directory, which hosts reach through the controller",
            ));
        }
        if self.repository.hands_out_its_own() {
            problems.push(values.problem(
                direct,
                "is repository.credentials_file: the controller's own credentials are not for hosts, make others for them",
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        toml: &str,
        environment: &[(&str, &str)],
        flags: &[(&'static str, &str)],
    ) -> Result<Loaded, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("controller.toml");
        std::fs::write(&file, toml).unwrap();
        Config::load(&Inputs {
            file: Some(file),
            environment: environment
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            flags: flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect(),
        })
    }

    fn nothing() -> Inputs {
        Inputs {
            file: None,
            environment: Vec::new(),
            flags: Vec::new(),
        }
    }

    #[test]
    fn every_default_is_valid_and_shown_and_reads_back_as_itself() {
        let shown = commented_defaults();
        let uncommented: String = shown
            .lines()
            .filter_map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.starts_with(' ') || rest.is_empty() => None,
                Some(rest) => Some(rest),
                None => Some(line),
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let from_text = load(&uncommented, &[], &[]).unwrap().config;
        let mut defaults = load("", &[], &[]).unwrap().config;
        // What has no default is shown with an example.
        defaults.advertise.clone_from(&from_text.advertise);
        defaults.catalog.url.clone_from(&from_text.catalog.url);
        defaults.embedded = from_text.embedded.clone();
        defaults.repository = from_text.repository.clone();
        assert_eq!(from_text, defaults);
        assert!(from_text.catalog.url.is_some() && from_text.embedded.user.is_some());
    }

    #[test]
    fn flags_go_over_environment_over_file_over_default() {
        let toml = "listen = \"127.0.0.1:1\"\n[jobs]\nconcurrent = 2\n[session]\nheartbeat_interval = \"3s\"\n";
        let environment = [
            ("HOLDFAST_CONTROLLER__JOBS__CONCURRENT", "3"),
            ("HOLDFAST_CONTROLLER__LISTEN", "127.0.0.1:2"),
            ("HOLDFAST_CONTROLLER_OTHER", "not ours"),
        ];
        let loaded = load(toml, &environment, &[("listen", "127.0.0.1:3")]).unwrap();
        assert_eq!(loaded.config.listen.port(), 3);
        assert_eq!(loaded.config.jobs.concurrent, 3);
        assert_eq!(
            loaded.config.session.heartbeat_interval,
            Duration::from_secs(3)
        );
        assert_eq!(loaded.config.checks.history_days, 90);
        let source = |key| {
            &loaded
                .effective
                .iter()
                .find(|found| found.key == key)
                .unwrap()
                .source
        };
        assert_eq!(source("listen"), "flag");
        assert_eq!(source("jobs.concurrent"), "environment");
        assert_eq!(source("session.heartbeat_interval"), "file");
        assert_eq!(source("checks.history_days"), "default");
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_place_key_value_and_reason() {
        let toml = "lisen = \"x\"\nlog = 3\n[session]\nheartbeat_interval = \"soon\"\n[jobs]\nconcurent = 4\nlease = \"0s\"\n";
        let environment = [
            ("HOLDFAST_CONTROLLER__CHECKS__HISTORY_DAYS", "-1"),
            ("HOLDFAST_CONTROLLER__JOBS__LEES", "3s"),
        ];
        let error = load(toml, &environment, &[("listen", "everywhere")]).unwrap_err();
        let text = error.to_string();
        for part in [
            "controller.toml: lisen: there is no such key; did you mean listen?",
            "controller.toml: log = 3: is a section",
            "controller.toml: session.heartbeat_interval = \"soon\": ",
            "controller.toml: jobs.concurent: there is no such key; did you mean jobs.concurrent?",
            "controller.toml: jobs.lease = \"0s\": ",
            "HOLDFAST_CONTROLLER__CHECKS__HISTORY_DAYS: checks.history_days = \"-1\": ",
            "HOLDFAST_CONTROLLER__JOBS__LEES: jobs.lees: there is no such key; did you mean jobs.lease?",
            "--listen: listen = \"everywhere\": ",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
        assert_eq!(error.problems.len(), 8, "{text}");
    }

    #[test]
    fn values_that_contradict_each_other_are_refused() {
        let error = load(
            "[session]\nheartbeat_interval = \"10s\"\nhost_patience = \"20s\"\n",
            &[],
            &[],
        )
        .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("session.host_patience = \"20s\": must be at least 3 times")
        );
    }

    #[test]
    fn credentials_for_hosts_are_others_and_for_a_bucket() {
        let refused = |toml: &str| load(toml, &[], &[]).unwrap_err().to_string();
        let direct = "direct_credentials_file = \"/nowhere/bucket.toml\"\n";
        let text = refused(&format!(
            "[repository]\nlocation = \"/srv/backups\"\n{direct}"
        ));
        assert!(
            text.contains("repository.direct_credentials_file"),
            "{text}"
        );
        assert!(text.contains("is for a bucket"), "{text}");
        assert!(refused(&format!("[repository]\n{direct}")).contains("is for a bucket"));
        let bucket = "[repository]\nlocation = \"s3://backups\"\n";
        let own = "credentials_file = \"/nowhere/bucket.toml\"\n";
        let text = refused(&format!("{bucket}{own}{direct}"));
        assert!(text.contains("not for hosts"), "{text}");
        let config = load(&format!("{bucket}{direct}"), &[], &[]).unwrap().config;
        assert!(config.repository.direct_credentials_file.is_some());
    }

    #[test]
    fn a_file_that_is_no_toml_or_is_not_there_is_named() {
        let error = load("listen = ", &[], &[]).unwrap_err().to_string();
        assert!(error.contains("controller.toml: "), "{error}");
        let missing = Inputs {
            file: Some("/nowhere/controller.toml".into()),
            ..nothing()
        };
        let error = Config::load(&missing).unwrap_err().to_string();
        assert!(
            error.contains("/nowhere/controller.toml: cannot be read"),
            "{error}"
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = "postgres://holdfast:hunter2@db.example/catalog";
        let loaded = load("", &[("HOLDFAST_CONTROLLER__CATALOG__URL", url)], &[]).unwrap();
        let shown = format!("{loaded:?} {}", effective_as_toml(&loaded.effective));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("db.example"), "{shown}");
        assert_eq!(loaded.config.catalog.url.unwrap().reveal(), url);
        let wrong = load(
            "[catalog]\nurl = \"mysql://holdfast:hunter2@db.example\"",
            &[],
            &[],
        )
        .unwrap_err()
        .to_string();
        assert!(
            wrong.contains("catalog.url") && !wrong.contains("hunter2"),
            "{wrong}"
        );
    }
}
