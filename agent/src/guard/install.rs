//! The guard goes into an engine's settings and out of them: never before it answers, never after it has gone.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use holdfast_proto::guard::GuardProcess;

use super::{
    daemon_json::{DaemonJson, DaemonJsonError},
    dockerd::{self, Dockerd, EngineFailure},
    paths::Paths,
    probe,
    units::{self, UnitsError},
};

/// An engine that cannot reach a plugin gives up after 15 s.
const ENGINE_SETTLES: Duration = Duration::from_secs(30);
const ENGINE_ANSWERS: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Sites {
    /// Of the guard.
    pub socket: PathBuf,
    pub daemon_json: PathBuf,
    /// Of engines.
    pub engines: Vec<PathBuf>,
    pub paths: Paths,
    /// This program, and what it was called with before `guard`.
    pub program: PathBuf,
    pub arguments: String,
}

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(transparent)]
    Engine(#[from] EngineFailure),
    #[error(transparent)]
    Settings(#[from] DaemonJsonError),
    #[error(transparent)]
    Units(#[from] UnitsError),
    #[error(
        "no guard answers on {}, and this machine has no systemd to run it: have it run by whatever keeps your \
         services running (`holdfast-agent guard serve`), from before Docker starts, then try again", .socket.display()
    )]
    NotRunning {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the guard does not answer on {}; see: journalctl -u holdfast-guard", .socket.display())]
    Silent {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "Docker did not ask the guard although its settings say so; they are as they were. Docker's log says why"
    )]
    NotAsked,
    #[error("Docker still asks the guard, which therefore stays: restart Docker, then try again")]
    StillAsked,
    #[error("Docker does not answer on {}; its log says why", .socket.display())]
    EngineSilent {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot say what was done")]
    Say(#[from] io::Error),
}

/// Puts the guard before the engine; done twice, it changes nothing.
///
/// # Errors
/// When a step fails; the engine's settings are as they were then.
pub fn install(sites: &Sites, out: &mut dyn Write) -> Result<(), InstallError> {
    let (engine, version) = dockerd::engine(&sites.engines, ENGINE_ANSWERS)?;
    writeln!(out, "Docker {version} answers on {}", engine.display())?;
    let mut settings = DaemonJson::load(&sites.daemon_json)?;
    let pid_file = Dockerd::pid_file(Some(&settings));
    let dockerd = Dockerd::find(Some(&settings)).ok_or(EngineFailure::NoProcess(pid_file))?;
    dockerd.takes_its_list_from_the_file()?;
    if units::has_systemd() {
        for path in units::install(&sites.program, &sites.arguments)? {
            writeln!(out, "wrote {}", path.display())?;
        }
    }
    let guard = answers(sites)?;
    writeln!(
        out,
        "the guard answers on {} (pid {})",
        sites.socket.display(),
        guard.pid
    )?;
    let is_new = settings.add()?;
    if is_new {
        writeln!(out, "put it into {}", sites.daemon_json.display())?;
        if settings.backup().exists() {
            writeln!(out, "the file as it was: {}", settings.backup().display())?;
        }
    }
    if is_new || !is_asked(sites, &engine) {
        dockerd.reload()?;
        writeln!(
            out,
            "told Docker to read its settings again, without a restart"
        )?;
        if !wait(ENGINE_SETTLES, || is_asked(sites, &engine)) {
            settings.remove()?;
            dockerd.reload()?;
            return Err(InstallError::NotAsked);
        }
    }
    writeln!(out, "Docker asks the guard before every call")?;
    Ok(())
}

fn answers(sites: &Sites) -> Result<GuardProcess, InstallError> {
    let socket = sites.socket.clone();
    let asked = probe::activate(&socket, probe::PATIENCE)
        .and_then(|()| probe::standing(&socket, probe::PATIENCE));
    asked.map_err(|source| match units::has_systemd() {
        true => InstallError::Silent { socket, source },
        false => InstallError::NotRunning { socket, source },
    })
}

/// Takes the guard away while it still answers, then ends it; done twice, it changes nothing.
///
/// # Errors
/// When a step fails. The guard goes on as long as the engine asks it.
pub fn uninstall(sites: &Sites, out: &mut dyn Write) -> Result<(), InstallError> {
    take_out(sites, out)?;
    if let Ok((engine, _)) = dockerd::engine(&sites.engines, ENGINE_ANSWERS)
        && !wait(ENGINE_SETTLES, || !is_asked(sites, &engine))
    {
        return Err(InstallError::StillAsked);
    }
    writeln!(out, "Docker does not ask the guard")?;
    if units::has_systemd() {
        for path in units::uninstall()? {
            writeln!(out, "removed {}", path.display())?;
        }
    } else if let Ok(guard) = probe::standing(&sites.socket, probe::PATIENCE) {
        writeln!(
            out,
            "the guard itself still runs (pid {}): end it where it was started",
            guard.pid
        )?;
    }
    Ok(())
}

/// Brings an engine back whose guard is dead, hung or gone. Needs nothing of the agent's to be whole.
///
/// # Errors
/// When the engine's settings cannot be changed, or it does not answer afterwards.
pub fn recover(sites: &Sites, only_if_dead: bool, out: &mut dyn Write) -> Result<(), InstallError> {
    if only_if_dead && probe::standing(&sites.socket, probe::PATIENCE).is_ok() {
        writeln!(out, "the guard answers: nothing to do")?;
        return Ok(());
    }
    take_out(sites, out)?;
    if let Some(pid) = end_hung(sites) {
        writeln!(out, "ended the guard that hung (pid {pid})")?;
    }
    let settings = DaemonJson::load(&sites.daemon_json).ok();
    if Dockerd::find(settings.as_ref()).is_none() {
        if only_if_dead {
            writeln!(out, "Docker can start")?;
            return Ok(());
        }
        if !units::has_systemd() {
            writeln!(out, "Docker does not run: start it now")?;
            return Ok(());
        }
        units::start_docker()?;
        writeln!(out, "started Docker")?;
    }
    let mut engines = sites.engines.iter().filter(|socket| socket.exists());
    let socket = engines.next().cloned();
    let socket = socket.ok_or_else(|| EngineFailure::Silent(sites.engines.clone()))?;
    let mut last = Ok(());
    let answers = wait(ENGINE_SETTLES, || {
        last = dockerd::ping(&socket, Duration::from_secs(5));
        last.is_ok()
    });
    if let (false, Err(source)) = (answers, last) {
        return Err(InstallError::EngineSilent { socket, source });
    }
    writeln!(
        out,
        "Docker answers, and nothing guards its volumes; when the guard is well again run: holdfast-agent guard install"
    )?;
    Ok(())
}

fn take_out(sites: &Sites, out: &mut dyn Write) -> Result<(), InstallError> {
    let mut settings = DaemonJson::load(&sites.daemon_json)?;
    if settings.remove()? {
        writeln!(out, "took the guard out of {}", sites.daemon_json.display())?;
    } else {
        writeln!(out, "the guard is not in {}", sites.daemon_json.display())?;
    }
    // Also when it was out already: the last one to try may have died before this.
    if let Some(dockerd) = Dockerd::find(Some(&settings)) {
        dockerd.reload()?;
        writeln!(
            out,
            "told Docker to read its settings again, without a restart"
        )?;
    }
    Ok(())
}

/// A call goes through the engine; did it come by the guard?
fn is_asked(sites: &Sites, engine: &Path) -> bool {
    let calls = || {
        let standing = probe::standing(&sites.socket, probe::PATIENCE);
        standing.map(|standing| standing.calls)
    };
    let Ok(before) = calls() else {
        return false;
    };
    let pinged = dockerd::ping(engine, ENGINE_ANSWERS);
    pinged.is_ok() && calls().is_ok_and(|after| after > before)
}

/// The calls that wait for it fail then, and their callers go on.
fn end_hung(sites: &Sites) -> Option<i32> {
    if probe::standing(&sites.socket, probe::PATIENCE).is_ok() {
        return None;
    }
    let pid = fs::read_to_string(sites.paths.pid()).ok()?;
    let pid: i32 = pid.trim().parse().ok()?;
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments: Vec<_> = arguments.split(|byte| *byte == 0).collect();
    let is_guard = arguments
        .windows(2)
        .any(|two| two == [&b"guard"[..], &b"work"[..]]);
    let process = rustix::process::Pid::from_raw(pid).filter(|_| is_guard)?;
    rustix::process::kill_process(process, rustix::process::Signal::KILL).ok()?;
    Some(pid)
}

fn wait(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    while !is_so() {
        if Instant::now() >= end {
            return false;
        }
        pause();
    }
    true
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is waited for happens in another process, which tells nobody"
)]
fn pause() {
    sleep(POLL);
}
