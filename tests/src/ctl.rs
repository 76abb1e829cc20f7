//! `ctl` as an operator runs it, each with a home directory of its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::host::binary;

#[derive(Debug, Clone)]
pub struct Ctl {
    home: PathBuf,
}

/// What a run of `ctl` left: exit code, standard output, standard error.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ctl {
    #[must_use]
    pub fn with_home(home: &Path) -> Self {
        std::fs::create_dir_all(home).expect("a home directory");
        Self {
            home: home.to_owned(),
        }
    }

    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary("ctl"));
        command
            .env("HOME", &self.home)
            .env_remove("XDG_CONFIG_HOME")
            .env("NO_COLOR", "1");
        command
    }

    /// Runs it to its end, whatever that is.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Said {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command().args(args).output().expect("ctl starts");
        Said {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8(stdout).expect("UTF-8"),
            err: String::from_utf8(stderr).expect("UTF-8"),
        }
    }

    /// # Panics
    /// When it does not succeed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, 0, "ctl {args:?}\n{}\n{}", said.out, said.err);
        said.out
    }

    /// Runs it with `-o json`.
    ///
    /// # Panics
    /// When it does not succeed, or prints something else.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = vec!["-o", "json"];
        all.extend(args);
        let out = self.ok(&all);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("ctl {args:?}: {error}\n{out}"))
    }
}
