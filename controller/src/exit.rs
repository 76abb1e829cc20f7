//! Exit codes of `holdfast-controller`; documented in `docs/exit-codes.md`.

use std::process::ExitCode;

/// Why the process ended. 2 is clap's, for a command line that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// As asked: the command is done, or the controller was told to end.
    Ok = 0,
    /// Something failed while it ran that ends it; starting again may help.
    Failed = 1,
    /// The configuration was refused. Nothing was opened.
    Config = 3,
    /// The state directory cannot be used; another controller works in it.
    StateDir = 4,
    /// The private PostgreSQL does not start.
    PrivateServer = 5,
    /// The catalog cannot be reached, or failed: trying again may help.
    Catalog = 6,
    /// The authority's files cannot be used.
    Identity = 7,
    /// The address to listen on cannot be had.
    Listen = 8,
    /// The catalog's server answered, and the catalog cannot be worked with: a person must do something.
    CatalogRefused = 9,
    /// The storage of the repositories cannot be used as it is configured.
    Repository = 10,
}

impl Exit {
    /// As documented.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Config => "config",
            Self::StateDir => "state-dir",
            Self::PrivateServer => "private-server",
            Self::Catalog => "catalog",
            Self::Identity => "identity",
            Self::Listen => "listen",
            Self::CatalogRefused => "catalog-refused",
            Self::Repository => "repository",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_every_code() {
        let documented = include_str!("../../docs/exit-codes.md");
        let (_, ours) = documented
            .split_once("# Exit codes of `holdfast-controller`")
            .unwrap();
        let rows = ours
            .lines()
            .filter_map(|line| line.strip_prefix("| "))
            .skip(1);
        let found: Vec<_> = rows
            .map(|row| row.split(" | ").take(2).collect::<Vec<_>>().join(" "))
            .collect();
        let all = [
            Exit::Ok,
            Exit::Failed,
            Exit::Config,
            Exit::StateDir,
            Exit::PrivateServer,
            Exit::Catalog,
            Exit::Identity,
            Exit::Listen,
            Exit::CatalogRefused,
            Exit::Repository,
        ];
        let mut expected: Vec<_> = all
            .iter()
            .map(|exit| format!("{} {}", *exit as u8, exit.name()))
            .collect();
        expected.insert(2, "2 usage".to_owned());
        assert_eq!(found, expected);
    }
}
