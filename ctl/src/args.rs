//! The command line: what every command takes, and the list of commands.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser};
use clap_complete::engine::ArgValueCompleter;

use crate::{
    cmd::Command,
    complete,
    output::{console::Format, units},
};

/// See, copy and check the databases of a fleet of container hosts.
///
/// Names are HOST, HOST/INSTANCE and HOST/INSTANCE/DATABASE. Exit codes are in docs/exit-codes.md,
/// the fields of `-o json` in docs/json.md.
#[derive(Debug, Parser)]
#[command(
    name = "ctl",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Args)]
pub struct Globals {
    /// How results are shown on stdout.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, env = "HOLDFAST_OUTPUT", hide_env = true)]
    pub output: Format,
    /// Context to use instead of the current one.
    #[arg(long, global = true, env = "HOLDFAST_CONTEXT", value_name = "NAME", add = ArgValueCompleter::new(complete::contexts))]
    pub context: Option<String>,
    /// Address of the controller, instead of the one in the context.
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_CONTROLLER",
        value_name = "HOST:PORT"
    )]
    pub controller: Option<String>,
    /// Contexts file, instead of ~/.config/holdfast/contexts.toml.
    #[arg(
        long,
        global = true,
        env = "HOLDFAST_CONTEXTS_FILE",
        value_name = "PATH"
    )]
    pub contexts_file: Option<PathBuf>,
    /// Never colour (NO_COLOR does the same).
    #[arg(long, global = true)]
    pub no_color: bool,
    /// How long one answer of the controller may take.
    #[arg(long, global = true, env = "HOLDFAST_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = units::parse_span)]
    pub timeout: Duration,
    /// Print the trace id of this command.
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn globals_stand_anywhere() {
        let cli = Cli::try_parse_from(["ctl", "host", "list", "-o", "json", "--timeout", "5s"]);
        assert_eq!(cli.expect("parses").globals.timeout.as_secs(), 5);
        assert!(Cli::try_parse_from(["ctl", "-o", "xml", "host", "list"]).is_err());
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn walk(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} has no help");
            for argument in command.get_arguments().filter(|a| !a.is_hide_set()) {
                assert!(
                    argument.get_help().is_some(),
                    "{path} {} has no help",
                    argument.get_id()
                );
            }
            for inner in command.get_subcommands() {
                walk(inner, &format!("{path} {}", inner.get_name()));
            }
        }
        walk(&Cli::command(), "ctl");
    }
}
