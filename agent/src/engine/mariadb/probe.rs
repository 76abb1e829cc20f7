//! One look at a server: the first route that lets us in, and its health.

use std::{path::PathBuf, time::Duration};

use holdfast_proto::fleet::Engine;
use mysql_async::Error;

use super::{
    health::{self, Memory},
    session::{ConnectError, Session},
};
use crate::engine::postgres::{access::Access, probe::Probed, route::Route};

/// Of a whole look; a server that hangs costs no more.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// Looks. `engine` is what the process or the operator says; the server itself knows better. `memory` is of
/// earlier looks at the same server.
pub async fn probe(access: &Access, engine: Engine, memory: &mut Memory) -> Probed {
    match tokio::time::timeout(PROBE_LIMIT, look(access, engine, memory)).await {
        Ok(probed) => probed,
        Err(_) => Probed::Down {
            reason: format!(
                "connected, but no answer within {} s: the server hangs",
                PROBE_LIMIT.as_secs()
            ),
            soon: false,
        },
    }
}

async fn look(access: &Access, engine: Engine, memory: &mut Memory) -> Probed {
    let (route, mut session) = match connect(access).await {
        Ok(connected) => connected,
        Err(error) => return unreached(access, engine, &error),
    };
    let root = access
        .server_pid
        .map(|pid| PathBuf::from(format!("/proc/{pid}/root")));
    match health::read(&mut session, memory, root.as_deref()).await {
        Ok(health) => {
            let mut located = access.located(route);
            located.engine = session.engine;
            located.data_directory.clone_from(&health.data_directory);
            let ended = session.conn.disconnect().await;
            if let Err(error) = ended {
                tracing::debug!(%error, "a session did not say goodbye");
            }
            Probed::Up {
                located: Box::new(located),
                health: Box::new(health),
            }
        }
        Err(error) => {
            let told = match &error {
                Error::Server(answer) => answer.message.clone(),
                error => error.to_string(),
            };
            Probed::Down {
                reason: format!(
                    "connected ({}), but its health could not be read: {told}",
                    route.how
                ),
                soon: false,
            }
        }
    }
}

fn unreached(access: &Access, engine: Engine, error: &ConnectError) -> Probed {
    let advice = error.advice(&access.name);
    let soon = matches!(
        error,
        ConnectError::NotReady { .. }
            | ConnectError::NoSocket { .. }
            | ConnectError::Refused { .. }
    ) && access.server_pid.is_some();
    let reason = if soon && matches!(error, ConnectError::NoSocket { .. }) {
        format!("{} is starting up: {error}", engine.label())
    } else if advice.is_empty() {
        error.to_string()
    } else {
        format!("{error}: {advice}")
    };
    Probed::Down { reason, soon }
}

async fn connect(access: &Access) -> Result<(Route, Session), ConnectError> {
    let mut worst: Option<ConnectError> = None;
    for route in &access.routes {
        match Session::open(route).await {
            Ok(session) => return Ok((route.clone(), session)),
            Err(error) => {
                let ready = !matches!(error, ConnectError::NotReady { .. });
                if worst.as_ref().is_none_or(|w| weight(&error) > weight(w)) {
                    worst = Some(error);
                }
                if !ready {
                    break;
                }
            }
        }
    }
    Err(worst.unwrap_or_else(|| ConnectError::Failed {
        how: "no route".to_owned(),
        reason: "the server listens on no socket and no address that can be reached from here"
            .to_owned(),
        source: None,
    }))
}

/// Of several reasons, the one nearest to the server itself says most.
fn weight(error: &ConnectError) -> u8 {
    match error {
        ConnectError::NotReady { .. } => 6,
        ConnectError::TooMany { .. } => 5,
        ConnectError::WrongPassword { .. } | ConnectError::NotLetIn { .. } => 4,
        ConnectError::PasswordUnknown { .. } => 3,
        ConnectError::TimedOut { .. } => 2,
        ConnectError::Refused { .. } | ConnectError::Failed { .. } => 1,
        ConnectError::NoSocket { .. } => 0,
    }
}
