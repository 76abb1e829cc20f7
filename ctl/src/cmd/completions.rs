//! `ctl completions`: what makes the shell complete commands and names.

use clap::{Args, ValueEnum};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::{exit::Exit, failure::Failure, output::console::ConsoleError, session::Session};

#[derive(Debug, Args)]
#[command(
    after_help = "bash: source <(ctl completions bash)\nzsh:  source <(ctl completions zsh)\nfish: ctl completions fish | source"
)]
pub struct Completions {
    /// Shell to print it for.
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let shell: &dyn EnvCompleter = match self.shell {
            Shell::Bash => &Bash,
            Shell::Zsh => &Zsh,
            Shell::Fish => &Fish,
        };
        let mut script = Vec::new();
        shell
            .write_registration("COMPLETE", "ctl", "ctl", "ctl", &mut script)
            .map_err(ConsoleError::Stdout)?;
        session.console.raw(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Ok)
    }
}
