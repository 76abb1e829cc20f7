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
    /// The catalog cannot be reached, or is newer than this program.
    Catalog = 6,
    /// The authority's files cannot be used.
    Identity = 7,
    /// The address to listen on cannot be had.
    Listen = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
