//! One look at a server: the first route that lets us in, and its health.

use std::{path::PathBuf, time::Duration};

use holdfast_proto::fleet::InstanceHealth;
use tokio_postgres::Client;

use super::{
    access::Access,
    health::{self, Memory},
    route::{ConnectError, Route},
};
use crate::observe::instances::Located;

/// Of a whole look; a server that hangs costs no more.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// What came of it.
#[derive(Debug)]
pub enum Probed {
    Up {
        located: Box<Located>,
        health: Box<InstanceHealth>,
    },
    Down {
        reason: String,
        /// It said itself that it will come up.
        soon: bool,
    },
}

/// Looks. `memory` is of earlier looks at the same server.
pub async fn probe(access: &Access, memory: &mut Memory) -> Probed {
    match tokio::time::timeout(PROBE_LIMIT, look(access, memory)).await {
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

async fn look(access: &Access, memory: &mut Memory) -> Probed {
    let (route, client) = match connect(access).await {
        Ok(connected) => connected,
        Err(error) => {
            let advice = error.advice(&access.name);
            return Probed::Down {
                soon: matches!(error, ConnectError::NotReady { .. }),
                reason: if advice.is_empty() {
                    error.to_string()
                } else {
                    format!("{error}: {advice}")
                },
            };
        }
    };
    let data = access
        .server_pid
        .map(|pid| PathBuf::from(format!("/proc/{pid}/cwd")));
    match health::read(&client, &access.name, memory, data.as_deref()).await {
        Ok(health) => Probed::Up {
            located: Box::new(access.located(route)),
            health: Box::new(health),
        },
        Err(error) => {
            let told = error.as_db_error().map(|e| e.message().to_owned());
            Probed::Down {
                reason: format!(
                    "connected ({}), but its health could not be read: {}",
                    route.how,
                    told.unwrap_or_else(|| error.to_string())
                ),
                soon: false,
            }
        }
    }
}

async fn connect(access: &Access) -> Result<(Route, Client), ConnectError> {
    let mut worst: Option<ConnectError> = None;
    for route in &access.routes {
        match connect_to_any(route, &access.databases).await {
            Ok(client) => return Ok((route.clone(), client)),
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

async fn connect_to_any(route: &Route, databases: &[String]) -> Result<Client, ConnectError> {
    let mut last = None;
    for database in databases {
        match route.connect(database).await {
            Err(error @ ConnectError::NoDatabase { .. }) => last = Some(error),
            other => return other,
        }
    }
    Err(last.unwrap_or_else(|| ConnectError::Failed {
        how: route.how.clone(),
        reason: "no database to connect to is known".to_owned(),
        source: None,
    }))
}

/// Of several reasons, the one nearest to the server itself says most.
fn weight(error: &ConnectError) -> u8 {
    match error {
        ConnectError::NotReady { .. } => 6,
        ConnectError::TooMany { .. } => 5,
        ConnectError::WrongPassword { .. } | ConnectError::NotLetIn { .. } => 4,
        ConnectError::PasswordUnknown { .. } | ConnectError::NoDatabase { .. } => 3,
        ConnectError::QueueFull { .. } | ConnectError::TimedOut { .. } => 2,
        ConnectError::Refused { .. } | ConnectError::Failed { .. } => 1,
        ConnectError::NoSocket { .. } => 0,
    }
}
