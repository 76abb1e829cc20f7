//! Tables and sequences.

use std::collections::BTreeMap;

use holdfast_proto::fleet::Engine;
use mysql_async::{Conn, Error, Row, prelude::Queryable};

use super::{Limits, named, text};
use crate::engine::mariadb::{
    document::{Column, Form, Made, Table, own},
    quote::{ident, literal},
};

/// Engines whose rows a snapshot holds still.
const TRANSACTIONAL: [&str; 2] = ["InnoDB", "ROCKSDB"];
/// Types of shapes. A MySQL reads them as it prints them; there a well-known binary would have its axes turned where
/// the reference system says so.
const SHAPES: [&str; 9] = [
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "geomcollection",
];
/// Types that take text only; what a MariaDB calls json is a text anyway.
const TEXTUAL: [&str; 4] = ["uuid", "inet4", "inet6", "json"];

/// Name, engine, kind, and the rows, bytes and next number that the server estimates.
type Listed = (
    String,
    Option<String>,
    String,
    Option<u64>,
    Option<u64>,
    Option<u64>,
);

pub(super) async fn read(
    conn: &mut Conn,
    engine: Engine,
    database: &str,
    limits: &mut Limits,
) -> Result<Vec<Table>, Error> {
    let name = literal(database);
    let rows = conn
        .query::<Listed, _>(format!(
            "SELECT table_name, engine, table_type, table_rows, COALESCE(data_length, 0) + COALESCE(index_length, 0), \
               auto_increment \
             FROM information_schema.tables WHERE table_schema = {name} \
               AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_name"
        ))
        .await?;
    let mut columns = columns(conn, engine, &name).await?;
    let mut keys = keys(conn, &name).await?;
    let mut tables = Vec::with_capacity(rows.len());
    let (mut unsafe_names, mut versioned) = (Vec::new(), Vec::new());
    for (table, engine, kind, rows, bytes, next) in rows {
        let engine = engine.unwrap_or_default();
        if kind == "SYSTEM VERSIONED" {
            versioned.push(table.clone());
        } else if !TRANSACTIONAL.contains(&engine.as_str()) {
            unsafe_names.push(format!("{table} ({engine})"));
        }
        let create: Option<Row> = conn
            .query_first(format!("SHOW CREATE TABLE {}", ident(&table)))
            .await?;
        let create = create.map(|row| text(&row, 1)).unwrap_or_default();
        tables.push(Table {
            create: own(&create, database),
            engine,
            columns: columns.remove(&table).unwrap_or_default(),
            key: keys.remove(&table).unwrap_or_default(),
            rows: rows.unwrap_or_default(),
            bytes: bytes.unwrap_or_default(),
            next: next.filter(|next| *next > 1),
            name: table,
        });
    }
    if !unsafe_names.is_empty() {
        limits.warnings.push(format!(
            "no snapshot holds these tables still, so rows written meanwhile may be in the image or not: {}",
            unsafe_names.join(", ")
        ));
    }
    if !versioned.is_empty() {
        limits.obstacles.push(format!(
            "tables with system versioning cannot be copied with their history: {}",
            versioned.join(", ")
        ));
    }
    Ok(tables)
}

/// Of every table those whose values travel.
async fn columns(
    conn: &mut Conn,
    engine: Engine,
    schema: &str,
) -> Result<BTreeMap<String, Vec<Column>>, Error> {
    let rows: Vec<(String, String, String, String)> = conn
        .query(format!(
            "SELECT table_name, column_name, data_type, extra FROM information_schema.columns \
             WHERE table_schema = {schema} ORDER BY table_name, ordinal_position"
        ))
        .await?;
    let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    for (table, name, kind, extra) in rows {
        let columns = tables.entry(table).or_default();
        if extra.to_ascii_uppercase().contains("GENERATED") && !extra.contains("DEFAULT_GENERATED")
        {
            continue;
        }
        let kind = kind.to_ascii_lowercase();
        let form = if kind == "float" {
            Form::Float
        } else if engine == Engine::Mariadb && SHAPES.contains(&kind.as_str()) {
            Form::Shape
        } else if TEXTUAL.contains(&kind.as_str()) {
            Form::Text
        } else {
            Form::Bytes
        };
        columns.push(Column { name, form });
    }
    Ok(tables)
}

async fn keys(conn: &mut Conn, schema: &str) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let rows: Vec<(String, String)> = conn
        .query(format!(
            "SELECT table_name, column_name FROM information_schema.statistics \
             WHERE table_schema = {schema} AND index_name = 'PRIMARY' ORDER BY table_name, seq_in_index"
        ))
        .await?;
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (table, column) in rows {
        keys.entry(table).or_default().push(column);
    }
    Ok(keys)
}

pub(super) async fn sequences(conn: &mut Conn, database: &str) -> Result<Vec<Made>, Error> {
    let names: Vec<String> = conn
        .query(format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = {} \
             AND table_type = 'SEQUENCE' ORDER BY table_name",
            literal(database)
        ))
        .await?;
    let mut sequences = Vec::with_capacity(names.len());
    for name in names {
        let row: Option<Row> = conn
            .query_first(format!("SHOW CREATE SEQUENCE {}", ident(&name)))
            .await?;
        sequences.push(Made {
            kind: "SEQUENCE".to_owned(),
            create: row
                .map(|row| named(&row, "Create Table"))
                .unwrap_or_default(),
            name,
            ..Made::default()
        });
    }
    Ok(sequences)
}
