//! Bring the rows of the kept database that the live one does not have like that into a temporary table there.
//!
//! A table at a time comes over whole; what is equal goes at once, so that the server's disk holds one table and
//! the differences. Nothing that anybody uses is touched or locked.

use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _};
use holdfast_proto::task::TaskFailure;
use tokio_postgres::{Client, CopyInSink};

use super::facts::Relation;
use crate::engine::{
    merge::Pair,
    postgres::{
        failure::failed,
        quote::{ident, list, qualified},
    },
};

/// Columns beside a row's own: its number, whether it is new (`n`) or in conflict (`c`), why it cannot stand.
pub const ORD: &str = "\"holdfast$ord\"";
pub const STATE: &str = "\"holdfast$state\"";
pub const WHY: &str = "\"holdfast$why\"";

const ARRIVING: &str = "pg_temp.\"holdfast$arriving\"";

/// Rows of one table that are not equal on both sides, in a temporary table.
#[derive(Debug, Clone)]
pub struct Staged {
    pub oid: u32,
    pub pair: Pair,
    /// In SQL.
    pub name: String,
}

/// How many rows a table had, and which of them differ.
#[derive(Debug)]
pub struct Compared {
    pub rows: u64,
    /// None: all are equal.
    pub staged: Option<Staged>,
}

/// The two sessions of a merge.
#[derive(Debug)]
pub struct Sides {
    pub live: Client,
    /// In one snapshot that only reads.
    pub kept: Client,
}

impl Sides {
    /// Compares a table row by row. `number` makes the temporary table's name.
    ///
    /// # Errors
    /// What a server said; a value that does not fit the live column is among it.
    pub async fn compare(
        &self,
        kept: &Relation,
        live: &Relation,
        pair: &Pair,
        number: usize,
    ) -> Result<Compared, TaskFailure> {
        let title = live.table.title();
        let doing = format!("comparing the rows of {title}");
        let explain = |error| failed(&doing, &error);
        self.live
            .batch_execute(&arriving(live))
            .await
            .map_err(explain)?;
        let rows = self.bring(kept, pair).await;
        let staged = match rows {
            Ok(_) => self.keep_differences(live, pair, number).await,
            Err(ref error) => {
                let failure = failed(&doing, error);
                self.forget_arriving().await?;
                return Err(failure);
            }
        };
        self.forget_arriving().await?;
        Ok(Compared {
            rows: rows.map_err(explain)?,
            staged: staged.map_err(explain)?,
        })
    }

    async fn bring(&self, kept: &Relation, pair: &Pair) -> Result<u64, tokio_postgres::Error> {
        let columns = list(&pair.columns);
        let read = format!("COPY (SELECT {columns} FROM {}) TO STDOUT", kept.from());
        let write = format!("COPY {ARRIVING} ({columns}) FROM STDIN");
        let rows = self.kept.copy_out(&read).await?;
        let sink: CopyInSink<Bytes> = self.live.copy_in(&write).await?;
        tokio::pin!(rows, sink);
        while let Some(piece) = rows.try_next().await? {
            sink.send(piece).await?;
        }
        sink.as_mut().finish().await
    }

    async fn keep_differences(
        &self,
        live: &Relation,
        pair: &Pair,
        number: usize,
    ) -> Result<Option<Staged>, tokio_postgres::Error> {
        let staged = Staged {
            oid: live.oid,
            pair: pair.clone(),
            name: format!("pg_temp.\"holdfast$rows_{number}\""),
        };
        let missing = live.table.key.first().map(|column| ident(column));
        let sql = format!(
            "ANALYZE {ARRIVING}; CREATE TEMPORARY TABLE {} AS \
             SELECT pg_catalog.row_number() OVER () AS {ORD}, ' '::\"char\" AS {STATE}, NULL::text AS {WHY}, s.* \
             FROM {ARRIVING} s LEFT JOIN {} l ON {} WHERE l.{} IS NULL OR {}; ANALYZE {}",
            staged.name,
            live.from(),
            live.same_key("l", "s"),
            missing.unwrap_or_default(),
            staged.differs("l", "s"),
            staged.name
        );
        self.live.batch_execute(&sql).await?;
        let count = format!("SELECT EXISTS (SELECT FROM {})", staged.name);
        let any: bool = self.live.query_one(&count, &[]).await?.get(0);
        if any {
            return Ok(Some(staged));
        }
        let drop = format!("DROP TABLE {}", staged.name);
        self.live.batch_execute(&drop).await?;
        Ok(None)
    }

    async fn forget_arriving(&self) -> Result<(), TaskFailure> {
        let drop = format!("DROP TABLE IF EXISTS {ARRIVING}");
        let dropped = self.live.batch_execute(&drop).await;
        dropped.map_err(|error| failed("dropping a temporary table", &error))
    }
}

impl Staged {
    /// Any value that travels is another one. As text: some types have no equality, and others think that
    /// different values are equal.
    #[must_use]
    pub fn differs(&self, left: &str, right: &str) -> String {
        let parts: Vec<_> = self
            .values()
            .map(|name| differs(name, left, right))
            .collect();
        if parts.is_empty() {
            "false".to_owned()
        } else {
            format!("({})", parts.join(" OR "))
        }
    }

    /// Columns that travel and are not the key.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let key = &self.pair.live.key;
        let values = self.pair.columns.iter().filter(|name| !key.contains(name));
        values.map(String::as_str)
    }
}

/// Of one column.
#[must_use]
pub fn differs(column: &str, left: &str, right: &str) -> String {
    let column = ident(column);
    format!("{left}.{column}::text IS DISTINCT FROM {right}.{column}::text")
}

/// A table of the live one's columns: generated values are computed, and nothing is refused or filled in yet.
fn arriving(live: &Relation) -> String {
    let name = qualified(&live.table.schema, &live.table.name);
    let required = live.table.columns.iter().filter(|column| column.required);
    let free = required.map(|column| format!("ALTER COLUMN {} DROP NOT NULL", ident(&column.name)));
    let free: Vec<_> = free.collect();
    let mut sql = format!(
        "DROP TABLE IF EXISTS {ARRIVING}; CREATE TEMPORARY TABLE {} (LIKE {name} INCLUDING GENERATED);",
        ARRIVING
    );
    if !free.is_empty() {
        sql.push_str(&format!("ALTER TABLE {ARRIVING} {}", free.join(", ")));
    }
    sql
}
