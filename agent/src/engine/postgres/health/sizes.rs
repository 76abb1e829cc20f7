//! Sizes of databases: the server walks all files for them, so they are asked only as often as
//! they are cheap, and at once when a database comes or goes.

use std::time::{Duration, Instant};

use holdfast_proto::fleet::Database;
use tokio_postgres::{Error, Row};

use super::{asking::Asking, count};

/// Sizes may take at most one part in this many of our time on a server.
const SHARE: u32 = 50;
const AT_LEAST: Duration = Duration::from_secs(25);

const SIZES: &str = "\
    SELECT datname, CASE WHEN pg_catalog.has_database_privilege(oid, 'CONNECT') \
      OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') \
      THEN pg_catalog.pg_database_size(oid) END \
    FROM pg_catalog.pg_database";

#[derive(Debug, Clone, Default)]
pub(super) struct Sizes {
    /// A size is unset when it may not be asked for.
    known: Vec<(String, Option<i64>)>,
    due: Option<Instant>,
}

impl Sizes {
    /// Sets the sizes: fresh ones when they are due, else those of before.
    pub(super) async fn fill(
        &mut self,
        ask: &mut Asking<'_>,
        databases: &mut [Database],
    ) -> Result<(), Error> {
        let news = databases.iter().any(|d| self.of(&d.name).is_none());
        let begun = Instant::now();
        if news || self.due.is_none_or(|due| begun >= due) {
            let part = "sizes of the databases";
            ask.renew(part, SIZES, size, &mut self.known).await?;
            // What was not told is asked again when it is due, not at the next look.
            for database in databases.iter() {
                if self.of(&database.name).is_none() {
                    self.known.push((database.name.clone(), None));
                }
            }
            self.due = Some(Instant::now() + AT_LEAST.max(begun.elapsed() * SHARE));
        }
        for database in databases {
            let known = self.of(&database.name).flatten();
            database.size_bytes = count(known.unwrap_or_default());
        }
        Ok(())
    }

    fn of(&self, name: &str) -> Option<Option<i64>> {
        let known = self.known.iter().find(|(known, _)| known == name);
        known.map(|(_, size)| *size)
    }
}

/// Unset too when it was dropped a moment ago.
fn size(row: &Row) -> Result<(String, Option<i64>), Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}
