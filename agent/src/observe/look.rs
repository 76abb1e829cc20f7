//! One look at one instance: connect and read its health, or find out why nothing runs.

use std::path::Path;

use holdfast_proto::fleet::Engine;

use super::{
    listing::last_lines,
    place,
    watched::{Look, Looked, Subject},
};
use crate::{
    container::ContainerEngine,
    credentials::Credentials,
    engine::{
        discover::{Found, Standing},
        mariadb,
        postgres::{
            access::Access,
            probe::{Probed, probe},
            route::Route,
        },
        server::{Memory, Server},
    },
};

/// How much of a container's log is asked for, and how much of a line is shown.
const LOG_LINES: u16 = 20;
const LINE_SHOWN: usize = 300;

/// Takes it. Always ends: every wait on the way has its limit.
pub async fn look(mut look: Look, engine: &ContainerEngine, credentials: &Path) -> Looked {
    let stored = Credentials::load(credentials);
    let (stored, trouble) = match stored {
        Ok(stored) => (stored, None),
        Err(error) => (Credentials::default(), Some(error.to_string())),
    };
    let data = match &look.subject {
        Subject::Found(found) => place::of(found).await,
        Subject::Registered(_) | Subject::Gone { .. } => None,
    };
    let mut probed = match &look.subject {
        Subject::Found(found) => {
            let route = look.route.as_ref();
            look_at_found(found, &stored, route, &mut look.memory, engine).await
        }
        Subject::Registered(registered) => match registered.engine {
            Engine::Postgres => {
                let access = Access::to_registered(registered, &stored);
                probe(&access, &mut look.memory.postgres).await
            }
            Engine::Mariadb | Engine::Mysql => {
                let access = mariadb::access::to_registered(registered, &stored);
                mariadb::probe::probe(&access, registered.engine, &mut look.memory.mariadb).await
            }
        },
        Subject::Gone { reason, .. } => Probed::Down {
            reason: reason.clone(),
            soon: false,
        },
    };
    if let (Probed::Down { reason, .. }, Some(trouble)) = (&mut probed, trouble) {
        reason.push_str(&format!(" ({trouble})"));
    }
    Looked {
        name: look.name,
        probed,
        data,
        memory: look.memory,
    }
}

async fn look_at_found(
    found: &Found,
    stored: &Credentials,
    route: Option<&Route>,
    memory: &mut Memory,
    engine: &ContainerEngine,
) -> Probed {
    match &found.standing {
        Standing::Running(server) => {
            let container = found.container.as_ref();
            let mut access = match server {
                Server::Postgres(server) => {
                    Access::to_server(&found.name, container, server, stored)
                }
                Server::Mariadb(server) => {
                    mariadb::access::to_server(&found.name, container, server, stored)
                }
            };
            if let Some(route) = route {
                access.prefer(route);
            }
            match server {
                Server::Postgres(_) => probe(&access, &mut memory.postgres).await,
                Server::Mariadb(server) => {
                    mariadb::probe::probe(&access, server.engine, &mut memory.mariadb).await
                }
            }
        }
        Standing::Down {
            reason,
            ask_logs,
            soon,
        } => {
            let mut reason = reason.clone();
            if let (true, Some(seen)) = (ask_logs, &found.container) {
                let lines = last_lines(engine, &seen.container.id, LOG_LINES).await;
                if let Some(line) = lines.ok().as_deref().and_then(telling_line) {
                    reason.push_str(": ");
                    reason.push_str(&line);
                }
            }
            Probed::Down {
                reason,
                soon: *soon,
            }
        }
    }
}

/// The line that says most: the last PANIC or FATAL, else the last ERROR, else the last of all.
fn telling_line(lines: &[String]) -> Option<String> {
    let last_with = |words: &[&str]| {
        let mut reversed = lines.iter().rev();
        reversed.find(|line| words.iter().any(|word| line.contains(word)))
    };
    let line = last_with(&["PANIC:", "FATAL:"])
        .or_else(|| last_with(&["ERROR:", "[ERROR]", "Error:", "error:"]))
        .or(lines.last())?;
    Some(line.chars().take(LINE_SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panic_is_told_not_the_farewell() {
        let lines = [
            "LOG:  database system was interrupted",
            "PANIC:  could not locate a valid checkpoint record",
            "LOG:  startup process was terminated by signal 6: Aborted",
            "LOG:  database system is shut down",
        ]
        .map(str::to_owned);
        assert!(telling_line(&lines).unwrap().starts_with("PANIC:"));
        assert_eq!(telling_line(&[]), None);
        assert_eq!(telling_line(&lines[3..]).unwrap(), lines[3]);
    }
}
