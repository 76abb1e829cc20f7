//! Our own sessions on a server: named so that they can be found, and ended when given up.

use holdfast_proto::task::{FailureKind, TaskFailure};
use tracing::warn;
use uuid::Uuid;

use super::{databases::MAINTENANCE, failure::failure};
use crate::observe::instances::Located;

/// Free memory to assume of a server whose host we do not see.
const UNSEEN_MEMORY: u64 = 2 << 30;

/// A name that no other run has, within the 63 bytes of `application_name`.
#[must_use]
pub fn name(what: &str) -> String {
    format!("holdfast {what} {}", Uuid::now_v7())
}

/// Ends every session of that name, and with it what the server does for it: a dropped
/// connection alone does not stop an index build at once.
pub async fn end(located: &Located, application: &str) {
    for database in MAINTENANCE {
        let Ok(client) = located.route.connect(database).await else {
            continue;
        };
        let ended = client
            .execute(
                "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
                 WHERE application_name = $1 AND pid <> pg_catalog.pg_backend_pid()",
                &[&application],
            )
            .await;
        if let Err(error) = ended {
            warn!(instance = %located.name, %error, "could not end our sessions");
        }
        return;
    }
}

#[must_use]
pub fn cancelled(doing: &str) -> TaskFailure {
    failure(FailureKind::Cancelled, format!("{doing} was cancelled"), "")
}

/// Memory that the server's host could give, when it is this host.
#[must_use]
pub fn free_memory(located: &Located) -> u64 {
    if located.server_pid.is_none() && located.container.is_none() {
        return UNSEEN_MEMORY;
    }
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    available(&text).unwrap_or(UNSEEN_MEMORY)
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_available() {
        assert_eq!(
            available("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(available("MemTotal: 9 kB\n"), None);
        assert!(name("receive").len() <= 63);
    }
}
