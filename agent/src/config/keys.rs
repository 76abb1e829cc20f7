//! The table of all keys: name, default, explanation, reader.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{LogFormat, layers::quoted, parse};

/// One thing that can be set.
pub struct Key<T> {
    /// `section.name`, or a name alone.
    pub path: &'static str,
    /// As in the environment; unset when there is none.
    pub default: Option<&'static str>,
    /// Shown where there is no default.
    pub example: &'static str,
    /// One line.
    pub what: &'static str,
    pub parse: fn(&str) -> Result<T, String>,
}

/// A key without the type of its value.
pub trait AnyKey: Sync {
    fn path(&self) -> &'static str;
    fn default(&self) -> Option<&'static str>;
    fn what(&self) -> &'static str;
    fn as_toml(&self) -> String;
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

    fn what(&self) -> &'static str {
        self.what
    }

    /// Default or example; numbers stand without quotes.
    fn as_toml(&self) -> String {
        let text = self.default.unwrap_or(self.example);
        if text.parse::<i64>().is_ok() {
            text.to_owned()
        } else if text.contains(", ") {
            let parts: Vec<_> = text.split(", ").map(quoted).collect();
            format!("[{}]", parts.join(", "))
        } else {
            quoted(text)
        }
    }

    fn check(&self, text: &str) -> Result<(), String> {
        (self.parse)(text).map(drop)
    }
}

pub const STATE_DIR: Key<PathBuf> = Key {
    path: "state_dir",
    default: Some("/var/lib/holdfast-agent"),
    example: "",
    what: "Where the agent's key, its credentials for servers and everything else that lasts is kept.",
    parse: parse::absolute_path,
};
pub const CONTROLLERS: Key<Vec<String>> = Key {
    path: "controller.addresses",
    default: None,
    example: "controller.example.com:7443",
    what: "Where the controllers answer, one or several; unset: where the agent joined.",
    parse: parse::hosts_and_ports,
};
pub const SOCKETS: Key<Vec<PathBuf>> = Key {
    path: "container.sockets",
    default: Some("/var/run/docker.sock, /run/podman/podman.sock"),
    example: "",
    what: "Sockets of container engines (Docker, or Podman's); the first that exists is used.",
    parse: parse::absolute_paths,
};
pub const PEER_LISTEN: Key<Option<SocketAddr>> = Key {
    path: "peer.listen",
    default: Some("0.0.0.0:7444"),
    example: "",
    what: "Where other agents bring database images; \"off\": images go through the controller.",
    parse: parse::socket_address_or_off,
};
pub const PEER_ADVERTISE: Key<Vec<String>> = Key {
    path: "peer.advertise",
    default: None,
    example: "10.0.0.7:7444",
    what: "The addresses they are told to dial; unset: this host's own towards the controller.",
    parse: parse::hosts_and_ports,
};
pub const REPORT_INTERVAL: Key<Duration> = Key {
    path: "report.interval",
    default: Some("30s"),
    example: "",
    what: "Between two full looks at the engine and at each server; changes are reported at once.",
    parse: parse::at_least_one_second,
};
pub const THREADS: Key<usize> = Key {
    path: "limits.threads",
    default: Some("0"),
    example: "",
    what: "Threads that work at the same time; 0: as many as there are processors, at most 8.",
    parse: parse::up_to_64,
};
pub const LOG_FILTER: Key<String> = Key {
    path: "log.filter",
    default: Some("info"),
    example: "",
    what: "What is logged: a level, or target=level pairs with commas between them.",
    parse: parse::log_filter,
};
pub const LOG_FORMAT: Key<LogFormat> = Key {
    path: "log.format",
    default: Some("text"),
    example: "",
    what: "text or json; to standard error.",
    parse: parse::log_format,
};

/// All, in the order of showing.
pub const TABLE: &[&dyn AnyKey] = &[
    &STATE_DIR,
    &CONTROLLERS,
    &SOCKETS,
    &PEER_LISTEN,
    &PEER_ADVERTISE,
    &REPORT_INTERVAL,
    &THREADS,
    &LOG_FILTER,
    &LOG_FORMAT,
];

pub fn find(path: &str) -> Option<&'static dyn AnyKey> {
    TABLE.iter().find(|key| key.path() == path).copied()
}

pub fn is_section(name: &str) -> bool {
    TABLE.iter().any(|key| {
        let (section, _) = key.path().split_once('.').unwrap_or_default();
        section == name
    })
}
