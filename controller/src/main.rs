//! `holdfast-controller`: the command line around [`holdfast_controller::serve`].

use std::{borrow::Cow, io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Parser, Subcommand, ValueEnum};
use holdfast_chassis::{clock::SystemClock, shutdown, telemetry};
use holdfast_controller::{
    config::{Config, Inputs, Loaded, LogFormat, commented_defaults, effective_as_toml},
    exit::Exit,
    serve::{ServeError, invite_admin, serve},
};
use holdfast_proto::names::OperatorName;

/// Keeps the catalog of a fleet's databases and runs the jobs on them.
#[derive(Parser)]
#[command(name = "holdfast-controller", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controller until SIGTERM or SIGINT.
    Serve(Settings),
    /// Print a one-time token with which somebody becomes an admin: for who has lost every other way in.
    InviteAdmin {
        /// Who it is for.
        name: OperatorName,
        #[command(flatten)]
        settings: Settings,
        #[arg(short, long, value_enum)]
        output: Option<Output>,
    },
    /// Show every setting with its default, or what is in effect and why.
    Config {
        #[command(flatten)]
        settings: Settings,
        /// What is in effect, and where each value comes from.
        #[arg(long)]
        effective: bool,
        /// Only with --effective.
        #[arg(short, long, value_enum, requires = "effective")]
        output: Option<Output>,
    },
    /// Show the version.
    Version {
        #[arg(short, long, value_enum)]
        output: Option<Output>,
    },
}

/// Flags go over the environment (HOLDFAST_CONTROLLER__SECTION__KEY), which goes over the file.
#[derive(Args)]
struct Settings {
    /// The settings file; /etc/holdfast/controller.toml, if there is one, when not given.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of the catalog's PostgreSQL; a private one is started when none is set.
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
    /// Where everything that lasts is kept.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// Where agents and operators are answered.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
}

impl Settings {
    fn load(self) -> Result<Loaded, Exit> {
        let flags = [
            ("catalog.url", self.catalog),
            ("state_dir", self.state_dir),
            ("listen", self.listen),
        ];
        let inputs = Inputs {
            file: self.config,
            environment: std::env::vars_os().collect(),
            flags: flags
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)))
                .collect(),
        };
        Config::load(&inputs).map_err(|error| {
            eprintln!("error: {error}");
            Exit::Config
        })
    }
}

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Serve(settings) => settings.load().and_then(|loaded| run(loaded.config)),
        Command::InviteAdmin {
            name,
            settings,
            output,
        } => settings
            .load()
            .and_then(|loaded| invite(&loaded.config, &name, output)),
        Command::Config {
            settings,
            effective: true,
            output,
        } => settings.load().and_then(|loaded| {
            print(&match output {
                Some(Output::Json) => json(&loaded.effective)?,
                None => effective_as_toml(&loaded.effective),
            })
        }),
        Command::Config { .. } => print(&commented_defaults()),
        Command::Version { output } => version(output),
    };
    ended.err().unwrap_or(Exit::Ok).into()
}

fn run(config: Config) -> Result<(), Exit> {
    let settings = telemetry::Settings {
        service: "holdfast-controller",
        version: env!("CARGO_PKG_VERSION"),
        format: match config.log.format {
            LogFormat::Text => telemetry::LogFormat::Text,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
        default_filter: Cow::Owned(config.log.filter.clone()),
    };
    let _telemetry = telemetry::init(&settings).map_err(|error| tell(&error, Exit::Config))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| tell(&error, Exit::Failed))?;
    runtime
        .block_on(async {
            let shutdown = shutdown::on_signal().map_err(ServeError::Signals)?;
            serve(config, Arc::new(SystemClock), shutdown).await
        })
        .map_err(|error| {
            let exit = error.exit();
            tracing::error!(
                error = &error as &dyn std::error::Error,
                exit = exit as u8,
                "ended"
            );
            exit
        })
}

fn invite(config: &Config, name: &OperatorName, output: Option<Output>) -> Result<(), Exit> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| tell(&error, Exit::Failed))?;
    let invitation = runtime
        .block_on(invite_admin(config, name, Arc::new(SystemClock)))
        .map_err(|error| tell(&error, error.exit()))?;
    print(&match output {
        Some(Output::Json) => json(&serde_json::json!({
            "name": name,
            "command": invitation.command,
            "expires_at": invitation.expires_at,
        }))?,
        None => format!("{}\n", invitation.command),
    })
}

/// For what fails before there is a log.
fn tell(error: &(dyn std::error::Error + 'static), exit: Exit) -> Exit {
    eprintln!("error: {}", telemetry::Chain(error));
    exit
}

fn version(output: Option<Output>) -> Result<(), Exit> {
    let version = env!("CARGO_PKG_VERSION");
    print(&match output {
        Some(Output::Json) => json(&serde_json::json!({
            "name": "holdfast-controller",
            "version": version,
            "catalog_version": holdfast_controller::catalog::latest_known(),
        }))?,
        None => format!("holdfast-controller {version}\n"),
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, Exit> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        eprintln!("error: {error}");
        Exit::Failed
    })?;
    Ok(text + "\n")
}

/// A reader that has gone away is no failure worth a message.
fn print(text: &str) -> Result<(), Exit> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|_| Exit::Failed)
}
