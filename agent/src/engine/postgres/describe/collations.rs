//! Collations of single columns, indexes, domains and types: what the source uses, what a new database has.

use holdfast_proto::task::Collation;
use tokio_postgres::{Client, Error, Row};

use crate::engine::postgres::plan::Chosen;

/// Objects below it were there when the server was made: so they are in template0, and in a new database.
const FIRST_OF_USERS: u32 = 16_384;

/// Of everything that is no part of the server itself; `$1`: all of it, else `$2` names the tables; never of `$3`.
const USED: &str = "
    WITH theirs AS (
        SELECT oid FROM pg_catalog.pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    ), used (coll, by) AS (
        SELECT a.attcollation, pg_catalog.format('column %s.%s.%s', n.nspname, c.relname, a.attname)
        FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'i' AND c.relkind <> 'I'
          AND n.oid IN (SELECT oid FROM theirs) AND ($1 OR c.oid = ANY ($2)) AND c.oid <> ALL ($3)
      UNION ALL
        SELECT k.coll, pg_catalog.format('index %s.%s', n.nspname, c.relname)
        FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
        pg_catalog.unnest(i.indcollation::oid[]) AS k (coll)
        WHERE n.oid IN (SELECT oid FROM theirs) AND ($1 OR i.indrelid = ANY ($2))
          AND i.indrelid <> ALL ($3)
      UNION ALL
        SELECT p.coll, pg_catalog.format('partitions of %s.%s', n.nspname, c.relname)
        FROM pg_catalog.pg_partitioned_table t
        JOIN pg_catalog.pg_class c ON c.oid = t.partrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
        pg_catalog.unnest(t.partcollation::oid[]) AS p (coll)
        WHERE n.oid IN (SELECT oid FROM theirs) AND ($1 OR c.oid = ANY ($2)) AND c.oid <> ALL ($3)
      UNION ALL
        SELECT t.typcollation, pg_catalog.format('domain %s.%s', n.nspname, t.typname)
        FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
        WHERE t.typtype = 'd' AND n.oid IN (SELECT oid FROM theirs) AND $1
      UNION ALL
        SELECT r.rngcollation, pg_catalog.format('type %s.%s', n.nspname, t.typname)
        FROM pg_catalog.pg_range r
        JOIN pg_catalog.pg_type t ON t.oid = r.rngtypid
        JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
        WHERE n.oid IN (SELECT oid FROM theirs) AND $1
      UNION ALL
        SELECT c.oid, '' FROM pg_catalog.pg_collation c
        WHERE c.collnamespace IN (SELECT oid FROM theirs) AND $1
    )";

/// # Errors
/// When the server does not answer.
pub(super) async fn used(
    client: &Client,
    chosen: &Chosen,
    version_num: u32,
) -> Result<Vec<Collation>, Error> {
    let [tables, left_out] =
        [&chosen.included, &chosen.left_out].map(|oids| oids.iter().copied().collect::<Vec<u32>>());
    let sql = format!(
        "{USED} SELECT {name}, ns.nspname <> 'pg_catalog', c.collprovider::text, {locale}::text, max(u.by) \
         FROM used u JOIN pg_catalog.pg_collation c ON c.oid = u.coll \
         JOIN pg_catalog.pg_namespace ns ON ns.oid = c.collnamespace \
         WHERE c.collprovider <> 'd' AND c.collname NOT IN ('C', 'POSIX') GROUP BY 1, 2, 3, 4 ORDER BY 1",
        name = "CASE WHEN ns.nspname = 'pg_catalog' THEN c.collname::text \
                ELSE ns.nspname || '.' || c.collname END",
        locale = locale(version_num),
    );
    let rows = client
        .query(&sql, &[&chosen.whole_database, &tables, &left_out])
        .await?;
    Ok(rows.iter().map(collation).collect())
}

/// What a database made from template0 has from the beginning.
///
/// # Errors
/// When the server does not answer.
pub(super) async fn of_new_databases(
    client: &Client,
    version_num: u32,
) -> Result<Vec<Collation>, Error> {
    let sql = format!(
        "SELECT c.collname::text, false, c.collprovider::text, {}::text, '' \
         FROM pg_catalog.pg_collation c WHERE c.oid < {FIRST_OF_USERS} ORDER BY 1",
        locale(version_num)
    );
    let rows = client.query(&sql, &[]).await?;
    Ok(rows.iter().map(collation).collect())
}

/// The column that says so was renamed from version to version.
fn locale(version_num: u32) -> &'static str {
    match version_num / 10_000 {
        ..15 => "c.collcollate",
        15 | 16 => "coalesce(c.colliculocale, c.collcollate)",
        _ => "coalesce(c.colllocale, c.collcollate)",
    }
}

fn collation(row: &Row) -> Collation {
    let provider = match row.get::<_, String>(2).as_str() {
        "i" => "icu",
        "b" => "builtin",
        _ => "libc",
    };
    Collation {
        name: row.get(0),
        own: row.get(1),
        provider: provider.to_owned(),
        locale: row.get::<_, Option<String>>(3).unwrap_or_default(),
        used_by: row.get(4),
    }
}
