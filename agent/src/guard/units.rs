//! The guard as services of systemd.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// Exists while systemd is the init of this machine.
const SYSTEMD: &str = "/run/systemd/system";
const FOLDER: &str = "/etc/systemd/system";
pub const SOCKET_UNIT: &str = "holdfast-guard.socket";
pub const SERVICE_UNIT: &str = "holdfast-guard.service";
/// Before Docker starts, a guard that does not answer is taken out of its settings.
const DROP_IN: &str = "docker.service.d/50-holdfast-guard.conf";
/// As the packaged units have it.
const PROGRAM: &str = "/usr/bin/holdfast-agent";

const SOCKET: &str = include_str!("../../../deploy/systemd/holdfast-guard.socket");
const SERVICE: &str = include_str!("../../../deploy/systemd/holdfast-guard.service");
const BEFORE_DOCKER: &str = include_str!("../../../deploy/systemd/docker-holdfast-guard.conf");

#[derive(Debug, thiserror::Error)]
pub enum UnitsError {
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot remove {}", .path.display())]
    Remove { path: PathBuf, source: io::Error },
    #[error("systemctl could not be run")]
    Run(#[source] io::Error),
    #[error("`systemctl {what}` failed: {said}")]
    Failed { what: String, said: String },
}

#[must_use]
pub fn has_systemd() -> bool {
    Path::new(SYSTEMD).is_dir()
}

/// The units as they have to be for this program, with these arguments before `guard`.
fn texts(program: &Path, arguments: &str) -> [(PathBuf, String); 3] {
    let folder = Path::new(FOLDER);
    let program = program.display().to_string();
    let line = |text: &str| {
        text.replace(
            &format!("{PROGRAM} guard"),
            &format!("{program}{arguments} guard"),
        )
    };
    [
        (folder.join(SOCKET_UNIT), SOCKET.to_owned()),
        (folder.join(SERVICE_UNIT), line(SERVICE)),
        (folder.join(DROP_IN), line(BEFORE_DOCKER)),
    ]
}

/// Writes them where they differ, and has the socket open now and after each boot. Gives the files written.
///
/// # Errors
/// When a file cannot be written, or systemd refuses.
pub fn install(program: &Path, arguments: &str) -> Result<Vec<PathBuf>, UnitsError> {
    let mut written = Vec::new();
    for (path, text) in texts(program, arguments) {
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        let folder = path.parent().unwrap_or(Path::new(FOLDER));
        let failed = |source| UnitsError::Write {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        fs::write(&path, text).map_err(failed)?;
        written.push(path);
    }
    if !written.is_empty() {
        systemctl(&["daemon-reload"])?;
    }
    systemctl(&["enable", "--now", SOCKET_UNIT])?;
    Ok(written)
}

/// Ends the guard and removes the files. Gives those that were there.
///
/// # Errors
/// When a file cannot be removed, or systemd refuses.
pub fn uninstall() -> Result<Vec<PathBuf>, UnitsError> {
    let files: Vec<_> = texts(Path::new(PROGRAM), "")
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path.exists())
        .collect();
    if files.is_empty() {
        return Ok(files);
    }
    systemctl(&["disable", "--now", SOCKET_UNIT, SERVICE_UNIT])?;
    for path in &files {
        fs::remove_file(path).map_err(|source| UnitsError::Remove {
            path: path.clone(),
            source,
        })?;
    }
    systemctl(&["daemon-reload"])?;
    Ok(files)
}

/// # Errors
/// When systemd does not start it.
pub fn start_docker() -> Result<(), UnitsError> {
    // It may have failed too often to be started again.
    let _ = systemctl(&["reset-failed", "docker.service"]);
    systemctl(&["start", "docker.service"])
}

fn systemctl(arguments: &[&str]) -> Result<(), UnitsError> {
    let output = Command::new("systemctl")
        .args(arguments)
        .output()
        .map_err(UnitsError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    Err(UnitsError::Failed {
        what: arguments.join(" "),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_run_the_program_that_installed_them() {
        let [socket, service, drop_in] = texts(Path::new("/opt/h"), " --state-dir /s");
        assert!(socket.1.contains(crate::guard::paths::SOCKET));
        assert!(
            service
                .1
                .contains("\nExecStart=/opt/h --state-dir /s guard serve\n"),
            "{}",
            service.1
        );
        assert!(
            drop_in
                .1
                .contains("=-/opt/h --state-dir /s guard recover --only-if-dead"),
            "{}",
            drop_in.1
        );
        assert!(!service.1.contains(PROGRAM) && !drop_in.1.contains(PROGRAM));
    }
}
