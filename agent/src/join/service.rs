//! Starting the agent after it has joined: by systemd where that runs, else right here.

use std::{io, path::Path};

use tokio::process::Command;

/// Exists while systemd is the init of this machine.
const SYSTEMD: &str = "/run/systemd/system";
const UNIT: &str = "holdfast-agent.service";

/// What is left to do after joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// As asked for: the agent is not started.
    Nothing,
    /// systemd runs the agent now, and after each boot.
    StartedByService,
    /// Go on as `run` in this process.
    RunHere,
}

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("systemctl could not be run")]
    Run(#[source] io::Error),
    #[error("`systemctl {what} {UNIT}` failed: {said}")]
    Failed { what: &'static str, said: String },
}

/// A pure decision.
fn next(no_start: bool, unit_fits: bool, unit_installed: bool) -> Next {
    match (no_start, unit_fits && unit_installed) {
        (true, _) => Next::Nothing,
        (false, true) => Next::StartedByService,
        (false, false) => Next::RunHere,
    }
}

/// # Errors
/// When systemd does not start the unit.
pub(super) async fn start(no_start: bool, unit_fits: bool) -> Result<Next, ServiceError> {
    let next = next(no_start, unit_fits, unit_is_installed().await);
    if next == Next::StartedByService {
        systemctl("enable").await?;
        // It may run already, with the identity that was replaced.
        systemctl("restart").await?;
    }
    Ok(next)
}

async fn unit_is_installed() -> bool {
    if !Path::new(SYSTEMD).is_dir() {
        return false;
    }
    let found = Command::new("systemctl").args(["cat", UNIT]).output().await;
    found.is_ok_and(|output| output.status.success())
}

async fn systemctl(what: &'static str) -> Result<(), ServiceError> {
    let output = Command::new("systemctl")
        .args([what, UNIT])
        .output()
        .await
        .map_err(ServiceError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ServiceError::Failed { what, said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_used_where_it_would_run_the_same() {
        assert_eq!(next(true, true, true), Next::Nothing);
        assert_eq!(next(false, true, true), Next::StartedByService);
        assert_eq!(next(false, false, true), Next::RunHere);
        assert_eq!(next(false, true, false), Next::RunHere);
    }
}
