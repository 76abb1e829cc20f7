//! How much a throwaway server may write: engines limit processors and memory, hardly any the disk.

use std::time::Duration;

use holdfast_chassis::units;
use holdfast_proto::task::{FailureKind, TaskFailure};
use tokio_postgres::Client;

use super::failure::failure;
use crate::observe::instances::Located;

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Ends with the failure when the server holds more than `limit` bytes; 0: never. A server that cannot be asked
/// ends the work itself.
pub async fn until_over(located: &Located, limit: u64) -> TaskFailure {
    if limit == 0 {
        return std::future::pending().await;
    }
    let mut session: Option<Client> = None;
    loop {
        if session.as_ref().is_none_or(Client::is_closed) {
            session = located.route.connect("postgres").await.ok();
        }
        if let Some(client) = &session
            && let Ok(held) = held(client).await
            && held > limit
        {
            return failure(
                FailureKind::Exhausted,
                format!(
                    "the throwaway server holds {}, more than its limit of {}",
                    units::size(held),
                    units::size(limit)
                ),
                "the source may have grown much since; report it if it has not",
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Databases, what sorts have put aside, and the log of transactions.
async fn held(client: &Client) -> Result<u64, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT ((SELECT sum(pg_catalog.pg_database_size(oid)) FROM pg_catalog.pg_database) \
              + (SELECT coalesce(sum(size), 0) FROM pg_catalog.pg_ls_tmpdir()) \
              + (SELECT coalesce(sum(size), 0) FROM pg_catalog.pg_ls_waldir()))::bigint",
            &[],
        )
        .await?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}
