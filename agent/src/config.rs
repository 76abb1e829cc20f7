//! Settings: one TOML file, environment over it, flags over both; refused whole when one is wrong.
//!
//! [`keys`] is the one table of what can be set: what `holdfast-agent config` prints, what is
//! checked and what is read all come from it.

mod keys;
mod layers;
mod parse;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use self::layers::Values;
pub use self::layers::{DEFAULT_FILE, Inputs, Problem, Source};

/// Everything that can be set, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Absolute.
    pub state_dir: PathBuf,
    /// `host:port`; empty: the one that the agent joined.
    pub controllers: Vec<String>,
    /// The first that exists is used.
    pub sockets: Vec<PathBuf>,
    pub peer: Peer,
    /// Between full listings, and between looks at each server.
    pub report_interval: Duration,
    /// 0: as many as there are processors, at most 8.
    pub threads: usize,
    pub log_filter: String,
    pub log_format: LogFormat,
}

/// How other agents reach this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Unset: it does not listen, and images go through the controller.
    pub listen: Option<SocketAddr>,
    /// `host:port`; empty: the address that leads to the controller.
    pub advertise: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// All mistakes of a configuration.
#[derive(Debug)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl Config {
    /// Reads, merges and checks; opens nothing.
    ///
    /// # Errors
    /// All mistakes at once, each with its file or variable, key, value and reason.
    pub fn load(inputs: &Inputs) -> Result<Self, ConfigError> {
        let (values, mut problems) = Values::gather(inputs);
        problems.extend(values.check());
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        Self::read(&values).map_err(|problem| ConfigError {
            problems: vec![problem],
        })
    }

    fn read(values: &Values) -> Result<Self, Problem> {
        Ok(Self {
            state_dir: values.get(&keys::STATE_DIR)?.unwrap_or_default(),
            controllers: values.get(&keys::CONTROLLERS)?.unwrap_or_default(),
            sockets: values.get(&keys::SOCKETS)?.unwrap_or_default(),
            peer: Peer {
                listen: values.get(&keys::PEER_LISTEN)?.flatten(),
                advertise: values.get(&keys::PEER_ADVERTISE)?.unwrap_or_default(),
            },
            report_interval: values.get(&keys::REPORT_INTERVAL)?.unwrap_or_default(),
            threads: values.get(&keys::THREADS)?.unwrap_or_default(),
            log_filter: values.get(&keys::LOG_FILTER)?.unwrap_or_default(),
            log_format: values.get(&keys::LOG_FORMAT)?.unwrap_or(LogFormat::Text),
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "the configuration is refused, {count} to correct:")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A file with every key commented out, each with its explanation, at its default.
#[must_use]
pub fn commented_defaults() -> String {
    use fmt::Write;
    let mut text = "# Settings of holdfast-agent. Each line shows the default, or an example where there is none.\n\
                    # The environment goes over this file: HOLDFAST_AGENT__SECTION__KEY; flags go over both.\n"
        .to_owned();
    let mut current = "";
    for key in keys::TABLE {
        let (section, name) = key.path().split_once('.').unwrap_or(("", key.path()));
        if section != current {
            let _ = writeln!(text, "\n[{section}]");
            current = section;
        }
        let _ = writeln!(text, "# {}\n#{name} = {}", key.what(), key.as_toml());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("agent.toml");
        std::fs::write(&file, toml).unwrap();
        Config::load(&Inputs {
            file: Some(file),
            environment: environment
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
            flags: Vec::new(),
        })
    }

    #[test]
    fn every_default_is_valid_and_reads_back_as_itself() {
        let uncommented: String = commented_defaults()
            .lines()
            .filter_map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.starts_with(' ') => None,
                Some(rest) => Some(rest),
                None => Some(line),
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let shown = load(&uncommented, &[]).unwrap();
        let mut defaults = load("", &[]).unwrap();
        assert_eq!(defaults.peer.listen, Some("0.0.0.0:7444".parse().unwrap()));
        assert_eq!(defaults.report_interval, Duration::from_secs(30));
        // What has no default is shown with an example.
        defaults.controllers.clone_from(&shown.controllers);
        defaults.peer.advertise.clone_from(&shown.peer.advertise);
        assert_eq!(shown, defaults);
        assert!(!shown.controllers.is_empty());
    }

    #[test]
    fn the_environment_goes_over_the_file_and_lists_may_be_written_either_way() {
        let toml = "[container]\nsockets = [\"/a.sock\", \"/b.sock\"]\n[peer]\nlisten = \"off\"\n";
        let config = load(toml, &[]).unwrap();
        assert_eq!(config.sockets, ["/a.sock", "/b.sock"].map(PathBuf::from));
        assert_eq!(config.peer.listen, None);
        let variables = [
            ("HOLDFAST_AGENT__CONTAINER__SOCKETS", "/c.sock, /d.sock"),
            ("HOLDFAST_AGENT__REPORT__INTERVAL", "5s"),
            ("HOLDFAST_AGENT_OTHER", "not ours"),
        ];
        let config = load(toml, &variables).unwrap();
        assert_eq!(config.sockets, ["/c.sock", "/d.sock"].map(PathBuf::from));
        assert_eq!(config.report_interval, Duration::from_secs(5));
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_place_key_value_and_reason() {
        let toml = "state-dir = \"/x\"\npeer = 3\n[report]\ninterval = \"often\"\n[container]\nsockets = [1]\n";
        let variables = [
            ("HOLDFAST_AGENT__PEER__LISTEN", "everywhere"),
            ("HOLDFAST_AGENT__PEER__LISEN", "off"),
        ];
        let error = load(toml, &variables).unwrap_err();
        let text = error.to_string();
        for part in [
            "agent.toml: state-dir: there is no such key",
            "agent.toml: peer: is a section",
            "agent.toml: report.interval = \"often\": ",
            "agent.toml: container.sockets: must be ",
            "HOLDFAST_AGENT__PEER__LISTEN: peer.listen = \"everywhere\": ",
            "HOLDFAST_AGENT__PEER__LISEN: peer.lisen: there is no such key",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
        assert_eq!(error.problems.len(), 6, "{text}");
    }
}
