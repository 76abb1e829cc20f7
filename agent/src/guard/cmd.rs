//! `holdfast-agent guard`: what can be typed.

use std::{
    error::Error,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::Utc;
use clap::{Args, Subcommand, ValueEnum};
use holdfast_chassis::{
    clock::{Clock as _, SystemClock},
    shutdown,
};

use super::{
    daemon_json,
    gate::Gate,
    install::{self, Sites},
    paths::{self, Paths},
    serve, status, supervise, token,
};
use crate::{config::Config, container::ContainerEngine};

#[derive(Debug, Args)]
pub struct Guard {
    /// Where the engine looks for the guard.
    #[arg(long, global = true, value_name = "FILE", default_value = paths::SOCKET)]
    socket: PathBuf,
    /// The engine's settings.
    #[arg(long, global = true, value_name = "FILE", default_value = daemon_json::USUAL)]
    daemon_json: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer the engine until SIGTERM; systemd runs this where it runs.
    Serve,
    /// Answer on the socket that is standard input.
    #[command(hide = true)]
    Work,
    /// Put the guard before Docker on this host. Docker is not restarted.
    Install,
    /// Take it away, in the order in which nothing fails.
    Uninstall,
    /// Show whether it guards, and what it has refused.
    Status {
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Bring Docker back when the guard is dead, hung or gone. Docker runs unguarded then.
    Recover {
        /// Do nothing while the guard answers; systemd asks this before Docker starts.
        #[arg(long)]
        only_if_dead: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

type Failure = Box<dyn Error>;

/// The guard is not as it should be; what was printed says why.
#[derive(Debug, thiserror::Error)]
#[error("the guard does not guard as it should")]
pub struct NotGuarding;

impl Guard {
    /// Whether it works until it is told to end, and logs.
    #[must_use]
    pub fn is_process(&self) -> bool {
        matches!(self.command, Command::Serve | Command::Work)
    }

    /// Whether it has to do its work also with a configuration that is refused.
    #[must_use]
    pub fn must_not_fail(&self) -> bool {
        matches!(self.command, Command::Recover { .. })
    }

    /// `arguments`: what this program was called with before `guard`.
    ///
    /// # Errors
    /// What failed, and what to do.
    pub fn run(self, config: &Config, arguments: String) -> Result<(), Failure> {
        let sites = Sites {
            socket: self.socket,
            daemon_json: self.daemon_json,
            engines: config.sockets.clone(),
            paths: Paths::of(&config.state_dir),
            program: std::env::current_exe()?,
            arguments,
        };
        let mut out = io::stdout().lock();
        match self.command {
            Command::Serve => block_on(supervised(&sites.socket)),
            Command::Work => block_on(work(config, &sites.paths)),
            Command::Install => Ok(install::install(&sites, &mut out)?),
            Command::Uninstall => Ok(install::uninstall(&sites, &mut out)?),
            Command::Recover { only_if_dead } => {
                Ok(install::recover(&sites, only_if_dead, &mut out)?)
            }
            Command::Status { output } => {
                let now = SystemClock.now();
                let places = status::Places {
                    socket: &sites.socket,
                    daemon_json: &sites.daemon_json,
                    paths: &sites.paths,
                };
                let status = status::status(&places, now);
                let text = match output {
                    Output::Text => status::as_text(&status, now),
                    Output::Json => format!("{}\n", serde_json::to_string_pretty(&status)?),
                };
                out.write_all(text.as_bytes())?;
                if status.guards {
                    Ok(())
                } else {
                    Err(NotGuarding.into())
                }
            }
        }
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("guard")
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

async fn supervised(socket: &Path) -> Result<(), Failure> {
    let shutdown = shutdown::on_signal()?;
    Ok(supervise::run(socket, shutdown).await?)
}

async fn work(config: &Config, paths: &Paths) -> Result<(), Failure> {
    let listener = serve::inherited()?;
    let shutdown = shutdown::on_signal()?;
    paths.prepare()?;
    let token = token::load_or_make(&paths.token())?;
    fs::write(paths.pid(), std::process::id().to_string())?;
    let engine = ContainerEngine::new(config.sockets.clone());
    let gate = Gate::new(paths.clone(), engine, token, Arc::new(SystemClock));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        facts = ?gate.standing().told_at.map(|at| Utc::now() - at),
        "the guard answers"
    );
    Ok(serve::run(listener, Arc::new(gate), shutdown).await?)
}
