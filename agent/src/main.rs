//! `holdfast-agent`: the command line around [`holdfast_agent::run`].

use std::{
    borrow::Cow,
    io::{IsTerminal, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use holdfast_agent::{
    config::{Config, Inputs, LogFormat, commented_defaults},
    credentials::{Credential, Credentials},
    guard::cmd::Guard,
    identity::Enrolment,
    join::{Join, Next},
    run::run,
    secret::Secret,
};
use holdfast_chassis::{shutdown, telemetry};

// The agent lives for months: memory that a large copy took has to go back to the machine.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The arguments or the configuration are wrong.
const USAGE: u8 = 2;

/// Reports a host's containers, volumes and databases to the controller, and works on them.
#[derive(Parser)]
#[command(name = "holdfast-agent", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Work until SIGTERM or SIGINT.
    Run,
    /// Make this machine a host of the fleet, with the token of `ctl host enrol`.
    Join(Join),
    /// Passwords of database servers; they stay on this host.
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// Refuse what would destroy a database of this host: a Docker authorization plugin.
    Guard(Guard),
    /// Show every setting with its default.
    Config,
    /// Show the version.
    Version,
}

#[derive(Subcommand)]
enum CredentialCommand {
    /// Store the password for an instance; the agent uses it from its next look on.
    Set(SetCredential),
}

#[derive(Args)]
struct SetCredential {
    /// Name of the instance, as `ctl instance list` shows it without the host.
    instance: String,
    /// User to connect as; unset: as registered, or as the container was told.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File with the password in its first line, "-" for standard input; asked for otherwise.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Flags go over the environment (HOLDFAST_AGENT__SECTION__KEY), which goes over the file.
#[derive(Args)]
struct Settings {
    /// The settings file; /etc/holdfast/agent.toml, if there is one, when not given.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything that lasts is kept.
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<String>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match Config::load(&cli.settings.inputs()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error}");
            match cli.fallback() {
                Some(config) => config,
                None => return USAGE.into(),
            }
        }
    };
    let standard = cli.settings.config.is_none() && cli.settings.state_dir.is_none();
    let done = match cli.command {
        Command::Run => work(config, None),
        Command::Join(join) => work(config, Some((join, standard))),
        Command::Credential(CredentialCommand::Set(set)) => set_credential(&config, set),
        Command::Guard(guard) => guard_host(guard, &config, cli.settings.arguments()),
        Command::Config => print(&commented_defaults()),
        Command::Version => print(&format!("holdfast-agent {}\n", env!("CARGO_PKG_VERSION"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", telemetry::Chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    /// For what has to work in an emergency, also with a configuration that is refused: the defaults.
    fn fallback(&self) -> Option<Config> {
        match &self.command {
            Command::Guard(guard) if guard.must_not_fail() => Config::load(&Inputs {
                // A file that is there and says nothing.
                file: Some("/dev/null".into()),
                ..Inputs::default()
            })
            .ok(),
            _ => None,
        }
    }
}

fn guard_host(guard: Guard, config: &Config, arguments: String) -> Result<(), Failure> {
    let _telemetry = match guard.is_process() {
        true => Some(telemetry::init(&log_settings(config))?),
        false => None,
    };
    guard.run(config, arguments)
}

impl Settings {
    /// As they were typed, each with a space before it.
    fn arguments(&self) -> String {
        let config = self
            .config
            .as_ref()
            .map(|path| format!(" --config {}", path.display()));
        let state_dir = self
            .state_dir
            .as_ref()
            .map(|dir| format!(" --state-dir {dir}"));
        [config, state_dir].into_iter().flatten().collect()
    }

    fn inputs(&self) -> Inputs {
        let state_dir = self.state_dir.clone().map(|dir| ("state_dir", dir));
        Inputs {
            file: self.config.clone(),
            environment: std::env::vars_os().collect(),
            flags: state_dir.into_iter().collect(),
        }
    }
}

/// Runs the agent; joins first when asked to. `bool`: the systemd unit would run the same.
fn work(config: Config, join: Option<(Join, bool)>) -> Result<(), Failure> {
    let _telemetry = telemetry::init(&log_settings(&config))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads(config.threads))
        .thread_name("agent")
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        if let Some((join, standard)) = join
            && join.run(&config.state_dir, standard).await? != Next::RunHere
        {
            return Ok(());
        }
        let enrolment = Enrolment::load(&config.state_dir)?;
        let shutdown = shutdown::on_signal()?;
        Box::pin(run(config, enrolment, shutdown)).await?;
        Ok(())
    })
}

fn log_settings(config: &Config) -> telemetry::Settings {
    telemetry::Settings {
        service: "holdfast-agent",
        version: env!("CARGO_PKG_VERSION"),
        format: match config.log_format {
            LogFormat::Text => telemetry::LogFormat::Text,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
        default_filter: Cow::Owned(config.log_filter.clone()),
    }
}

fn threads(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 8)),
        set => set,
    }
}

fn set_credential(config: &Config, set: SetCredential) -> Result<(), Failure> {
    let path = Credentials::path(&config.state_dir);
    let mut credentials = Credentials::load(&path)?;
    let password = password(&set)?;
    if password.is_empty() {
        return Err("the password is empty".into());
    }
    let credential = Credential {
        user: set.user,
        password: Secret::new(password),
    };
    credentials.set(&set.instance, credential);
    credentials.store(&path)?;
    print(&format!(
        "stored for {} in {}; the agent uses it within {}\n",
        set.instance,
        path.display(),
        humantime::format_duration(config.report_interval)
    ))
}

fn password(set: &SetCredential) -> Result<String, Failure> {
    let text = match &set.password_file {
        Some(path) if path.as_os_str() == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        None if std::io::stdin().is_terminal() => {
            let prompt = format!("Password for {}", set.instance);
            dialoguer::Password::new().with_prompt(prompt).interact()?
        }
        None => return Err("there is no terminal to ask on: give --password-file".into()),
    };
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
