//! What a source database holds, as its catalog says under one snapshot.

use std::collections::BTreeMap;

use tokio_postgres::GenericClient;

/// Everything the plan is made from.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    pub relations: Vec<RelationFacts>,
    pub types: BTreeMap<u32, TypeFacts>,
    /// (view or materialised view, relation that it reads).
    pub reads: Vec<(u32, u32)>,
    /// Rows of large objects' pages: their bytes.
    pub large_object_bytes: u64,
}

#[derive(Debug, Clone, Default)]
pub struct RelationFacts {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// `relkind`: r, p, v, m, f, S.
    pub kind: char,
    pub is_partition: bool,
    /// Parents by inheritance or partitioning.
    pub parents: Vec<u32>,
    /// Of an extension; its rows travel only as configuration.
    pub of_extension: bool,
    /// Set for a configuration table of an extension; may be empty (every row).
    pub config_filter: Option<String>,
    /// Sequences: the table that owns it.
    pub owned_by: Option<u32>,
    /// Partitioned by hash of an enum, whose hash is another on every server.
    pub scattered: bool,
    pub heap_bytes: u64,
    /// With TOAST.
    pub table_bytes: u64,
    /// With indexes.
    pub total_bytes: u64,
    pub block_bytes: u64,
    pub columns: Vec<ColumnFacts>,
    pub constraint_indexes: Vec<ConstraintIndexFacts>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFacts {
    pub name: String,
    pub type_oid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConstraintIndexFacts {
    pub constraint: String,
    pub index: String,
    pub primary: bool,
    /// `CREATE UNIQUE INDEX …` by the server itself.
    pub definition: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeFacts {
    /// `typtype`: b, c, d, e, m, p, r.
    pub kind: char,
    pub is_array: bool,
    /// Element of an array, base of a domain, subtype of a range: what its values are made of.
    pub made_of: u32,
    pub has_binary: bool,
    /// Name and version of the extension that it belongs to.
    pub extension: Option<(String, String)>,
}

const NOT_OURS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
    AND c.relpersistence <> 't'";

/// Reads the catalog of the database that the client is connected to.
///
/// # Errors
/// What the server answers.
pub async fn read<C: GenericClient + Sync>(client: &C) -> Result<Inventory, tokio_postgres::Error> {
    let mut inventory = Inventory {
        relations: relations(client).await?,
        types: types(client).await?,
        reads: reads(client).await?,
        large_object_bytes: large_objects(client).await?,
    };
    let at: BTreeMap<u32, usize> = inventory
        .relations
        .iter()
        .enumerate()
        .map(|(at, relation)| (relation.oid, at))
        .collect();
    for row in client.query(&columns_sql(), &[]).await? {
        if let Some(&at) = at.get(&row.get::<_, u32>(0)) {
            inventory.relations[at].columns.push(ColumnFacts {
                name: row.get(1),
                type_oid: row.get(2),
            });
        }
    }
    for row in client.query(CONSTRAINT_INDEXES, &[]).await? {
        if let Some(&at) = at.get(&row.get::<_, u32>(0)) {
            inventory.relations[at]
                .constraint_indexes
                .push(ConstraintIndexFacts {
                    constraint: row.get(1),
                    index: row.get(2),
                    primary: row.get(3),
                    definition: row.get(4),
                });
        }
    }
    Ok(inventory)
}

async fn relations<C: GenericClient + Sync>(
    client: &C,
) -> Result<Vec<RelationFacts>, tokio_postgres::Error> {
    let sql = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relispartition, \
           ARRAY(SELECT inhparent FROM pg_catalog.pg_inherits WHERE inhrelid = c.oid), \
           EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
             AND d.objid = c.oid AND d.deptype = 'e'), \
           (SELECT x.condition FROM pg_catalog.pg_extension e, \
             LATERAL ROWS FROM (pg_catalog.unnest(e.extconfig), pg_catalog.unnest(e.extcondition)) AS x(rel, condition) \
             WHERE x.rel = c.oid LIMIT 1), \
           (SELECT d.refobjid FROM pg_catalog.pg_depend d WHERE c.relkind = 'S' \
             AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.objsubid = 0 \
             AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') LIMIT 1), \
           EXISTS (SELECT FROM pg_catalog.pg_partitioned_table p JOIN pg_catalog.pg_attribute a \
             ON a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs) JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
             WHERE p.partrelid = c.oid AND p.partstrat = 'h' AND t.typtype = 'e'), \
           CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_relation_size(c.oid) ELSE 0 END, \
           CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_table_size(c.oid) ELSE 0 END, \
           CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_total_relation_size(c.oid) ELSE 0 END, \
           pg_catalog.current_setting('block_size')::bigint \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {NOT_OURS} ORDER BY 2, 3"
    );
    let rows = client.query(&sql, &[]).await?;
    Ok(rows.iter().map(relation).collect())
}

fn relation(row: &tokio_postgres::Row) -> RelationFacts {
    RelationFacts {
        oid: row.get(0),
        schema: row.get(1),
        name: row.get(2),
        kind: row.get::<_, String>(3).chars().next().unwrap_or(' '),
        is_partition: row.get(4),
        parents: row.get(5),
        of_extension: row.get(6),
        config_filter: row.get(7),
        owned_by: row.get(8),
        scattered: row.get(9),
        heap_bytes: unsigned(row.get::<_, Option<i64>>(10)),
        table_bytes: unsigned(row.get::<_, Option<i64>>(11)),
        total_bytes: unsigned(row.get::<_, Option<i64>>(12)),
        block_bytes: unsigned(row.get::<_, Option<i64>>(13)),
        columns: Vec::new(),
        constraint_indexes: Vec::new(),
    }
}

/// Sizes are null for a table dropped a moment ago.
fn unsigned(value: Option<i64>) -> u64 {
    value.and_then(|v| u64::try_from(v).ok()).unwrap_or(0)
}

fn columns_sql() -> String {
    format!(
        "SELECT a.attrelid, a.attname::text, a.atttypid FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
           AND {NOT_OURS} ORDER BY a.attrelid, a.attnum"
    )
}

/// Only those whose end state is the same whether the index or the constraint came first.
const CONSTRAINT_INDEXES: &str = "\
    SELECT k.conrelid, k.conname::text, ic.relname::text, k.contype = 'p', pg_catalog.pg_get_indexdef(i.indexrelid) \
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid \
    JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = ic.relam \
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
    WHERE k.contype IN ('p', 'u') AND NOT k.condeferrable AND c.relkind = 'r' AND m.amname = 'btree' \
      AND NOT i.indisclustered AND NOT i.indisreplident AND i.indisvalid \
      AND pg_catalog.pg_get_indexdef(i.indexrelid) NOT LIKE '%NULLS NOT DISTINCT%' \
    ORDER BY 1, 2";

async fn types<C: GenericClient + Sync>(
    client: &C,
) -> Result<BTreeMap<u32, TypeFacts>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT t.oid, t.typtype::text, t.typcategory = 'A' AND t.typelem <> 0, \
               CASE WHEN t.typtype = 'd' THEN t.typbasetype \
                    WHEN r.rngsubtype IS NOT NULL THEN r.rngsubtype ELSE t.typelem END, \
               t.typsend <> 0, e.extname::text, e.extversion \
             FROM pg_catalog.pg_type t \
             LEFT JOIN pg_catalog.pg_range r ON t.oid IN (r.rngtypid, r.rngmultitypid) \
             LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass \
               AND d.objid = t.oid AND d.deptype = 'e' \
             LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| {
            let facts = TypeFacts {
                kind: row.get::<_, String>(1).chars().next().unwrap_or(' '),
                is_array: row.get(2),
                made_of: row.get(3),
                has_binary: row.get(4),
                extension: row
                    .get::<_, Option<String>>(5)
                    .zip(row.get::<_, Option<String>>(6)),
            };
            (row.get(0), facts)
        })
        .collect())
}

async fn reads<C: GenericClient + Sync>(
    client: &C,
) -> Result<Vec<(u32, u32)>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT DISTINCT r.ev_class, d.refobjid FROM pg_catalog.pg_depend d \
             JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid \
             JOIN pg_catalog.pg_class c ON c.oid = r.ev_class \
             WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
               AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
               AND d.refobjid <> r.ev_class AND d.refobjid >= 16384 AND c.relkind IN ('v', 'm')",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn large_objects<C: GenericClient + Sync>(client: &C) -> Result<u64, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata) \
             THEN greatest(1, pg_catalog.pg_table_size('pg_catalog.pg_largeobject'::pg_catalog.regclass)) ELSE 0 END",
            &[],
        )
        .await?;
    Ok(unsigned(row.get(0)))
}
