//! What the server says of tables that rows go from and to: columns, keys, and all that a row must obey.

use std::collections::BTreeMap;

use mysql_async::{Conn, Error, prelude::Queryable};

use crate::engine::{
    mariadb::{
        check_constraints::{self, Check},
        quote::{ident, literal, qualified},
        session::Session,
    },
    merge::{Column, Table},
};

/// Engines that write all of a transaction or nothing.
const TRANSACTIONAL: [&str; 2] = ["InnoDB", "ROCKSDB"];
const TEXTS: [&str; 9] = [
    "char",
    "varchar",
    "tinytext",
    "text",
    "mediumtext",
    "longtext",
    "enum",
    "set",
    "json",
];
const BYTES: [&str; 7] = [
    "binary",
    "varbinary",
    "tinyblob",
    "blob",
    "mediumblob",
    "longblob",
    "bit",
];
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

/// Every table of a database, and its rules.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub database: String,
    pub tables: Vec<Table>,
    /// Type of each column, by table and column.
    pub types: BTreeMap<(String, String), String>,
    pub uniques: Vec<Unique>,
    pub checks: Vec<Check>,
    /// From or to tables of this database.
    pub foreign: Vec<Foreign>,
    pub triggers: Vec<Trigger>,
    /// A column, and the sequence that its default counts on with.
    pub counters: Vec<(String, String, String)>,
}

#[derive(Debug, Clone, Default)]
pub struct Unique {
    pub table: String,
    pub name: String,
    /// Column, and how many characters of it count; none: all.
    pub parts: Vec<(String, Option<u64>)>,
}

#[derive(Debug, Clone, Default)]
pub struct Foreign {
    pub name: String,
    /// Database and table.
    pub child: (String, String),
    pub parent: (String, String),
    /// Of the child, of the parent.
    pub columns: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub struct Trigger {
    pub table: String,
    pub name: String,
    /// INSERT, UPDATE or DELETE.
    pub event: String,
}

/// Every referring column with what it refers to.
type Referring = (String, String, String, String, String, String, String);

impl Facts {
    /// # Errors
    /// What the server says.
    pub async fn read(session: &mut Session, database: &str) -> Result<Self, Error> {
        let conn = &mut session.conn;
        let mut facts = Self {
            database: database.to_owned(),
            ..Self::default()
        };
        let schema = literal(database);
        facts.read_tables(conn, &schema).await?;
        facts.read_columns(conn, &schema).await?;
        facts.read_indexes(conn, &schema).await?;
        facts.read_foreign(conn, &schema).await?;
        let triggers: Vec<(String, String, String)> = conn
            .query(format!(
                "SELECT event_object_table, trigger_name, event_manipulation FROM information_schema.triggers \
                 WHERE event_object_schema = {schema} ORDER BY 1, 2"
            ))
            .await?;
        let triggers = triggers.into_iter();
        facts.triggers = triggers
            .map(|(table, name, event)| Trigger { table, name, event })
            .collect();
        facts.checks = match check_constraints::read(session, database).await {
            Ok(checks) => checks,
            // An older server has none.
            Err(Error::Server(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(facts)
    }

    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    #[must_use]
    pub fn name_of(&self, table: &str) -> String {
        qualified(&self.database, table)
    }

    /// Whether two values are the same to the byte: collations call different texts equal.
    #[must_use]
    pub fn same(&self, table: &str, column: &str, left: &str, right: &str) -> String {
        let value = |alias: &str| {
            let name = format!("{alias}.{}", ident(column));
            match self.kind(table, column) {
                kind if TEXTS.contains(&kind) => {
                    format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)")
                }
                kind if SHAPES.contains(&kind) => format!("HEX({name})"),
                _ => name,
            }
        };
        format!("({} <=> {})", value(left), value(right))
    }

    /// Any of the columns is another one; never, when there are none.
    #[must_use]
    pub fn differ<'a>(
        &self,
        table: &str,
        columns: impl Iterator<Item = &'a str>,
        (left, right): (&str, &str),
    ) -> String {
        let parts = columns.map(|column| self.same(table, column, left, right));
        let parts: Vec<_> = parts.collect();
        if parts.is_empty() {
            "FALSE".to_owned()
        } else {
            format!("NOT ({})", parts.join(" AND "))
        }
    }

    /// `a=1, b=2` of a row.
    #[must_use]
    pub fn key_text(&self, table: &Table, alias: &str) -> String {
        let parts = table.key.iter().map(|column| {
            let name = format!("{alias}.{}", ident(column));
            let value = if BYTES.contains(&self.kind(&table.name, column)) {
                format!("HEX({name})")
            } else {
                format!("CONVERT({name} USING utf8mb4)")
            };
            format!(
                "CONCAT({}, LEFT({value}, 100))",
                literal(&format!("{column}="))
            )
        });
        let parts: Vec<_> = parts.collect();
        format!("CONCAT_WS(', ', {})", parts.join(", "))
    }

    fn kind(&self, table: &str, column: &str) -> &str {
        let known = self.types.get(&(table.to_owned(), column.to_owned()));
        known.map(String::as_str).unwrap_or_default()
    }

    async fn read_tables(&mut self, conn: &mut Conn, schema: &str) -> Result<(), Error> {
        let rows: Vec<(String, Option<String>, String)> = conn
            .query(format!(
                "SELECT table_name, engine, table_type FROM information_schema.tables WHERE table_schema = {schema} \
                   AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_name"
            ))
            .await?;
        for (name, engine, kind) in rows {
            let engine = engine.unwrap_or_default();
            let obstacle = if kind == "SYSTEM VERSIONED" {
                "it keeps its own history, in which rows that come back would begin now".to_owned()
            } else if TRANSACTIONAL.contains(&engine.as_str()) {
                String::new()
            } else {
                format!("its engine {engine} cannot take changes back")
            };
            self.tables.push(Table {
                name,
                obstacle,
                ..Table::default()
            });
        }
        Ok(())
    }

    async fn read_columns(&mut self, conn: &mut Conn, schema: &str) -> Result<(), Error> {
        let rows: Vec<(String, String, String, String, String, Option<String>)> = conn
            .query(format!(
                "SELECT table_name, column_name, data_type, is_nullable, extra, column_default \
                 FROM information_schema.columns WHERE table_schema = {schema} ORDER BY table_name, ordinal_position"
            ))
            .await?;
        for (table, name, kind, nullable, extra, default) in rows {
            let extra = extra.to_ascii_uppercase();
            if let Some(sequence) = default.as_deref().and_then(counts_on) {
                let counter = (table.clone(), name.clone(), sequence);
                self.counters.push(counter);
            }
            let kind = kind.to_ascii_lowercase();
            self.types.insert((table.clone(), name.clone()), kind);
            if let Some(known) = self.tables.iter_mut().find(|known| known.name == table) {
                known.columns.push(Column {
                    name,
                    generated: extra.contains("GENERATED") && !extra.contains("DEFAULT_GENERATED"),
                    required: nullable == "NO",
                    filled: default.is_some() || extra.contains("AUTO_INCREMENT"),
                    fixed: false,
                });
            }
        }
        Ok(())
    }

    async fn read_indexes(&mut self, conn: &mut Conn, schema: &str) -> Result<(), Error> {
        let rows: Vec<(String, String, Option<String>, Option<u64>)> = conn
            .query(format!(
                "SELECT table_name, index_name, column_name, sub_part FROM information_schema.statistics \
                 WHERE table_schema = {schema} AND non_unique = 0 ORDER BY table_name, index_name, seq_in_index"
            ))
            .await?;
        for (table, index, column, sub_part) in rows {
            // An index of MySQL over an expression: what breaks it is found when rows are written.
            let Some(column) = column else { continue };
            if index == "PRIMARY" {
                if let Some(known) = self.tables.iter_mut().find(|known| known.name == table) {
                    known.key.push(column);
                }
                continue;
            }
            match self.uniques.last_mut() {
                Some(last) if (&last.table, &last.name) == (&table, &index) => {
                    last.parts.push((column, sub_part));
                }
                _ => self.uniques.push(Unique {
                    table,
                    name: index,
                    parts: vec![(column, sub_part)],
                }),
            }
        }
        Ok(())
    }

    async fn read_foreign(&mut self, conn: &mut Conn, schema: &str) -> Result<(), Error> {
        let rows: Vec<Referring> = conn
            .query(format!(
                "SELECT constraint_name, table_schema, table_name, column_name, referenced_table_schema, \
                   referenced_table_name, referenced_column_name FROM information_schema.key_column_usage \
                 WHERE referenced_table_name IS NOT NULL AND (table_schema = {schema} OR referenced_table_schema = {schema}) \
                 ORDER BY table_schema, table_name, constraint_name, ordinal_position"
            ))
            .await?;
        for (name, child_schema, child, column, parent_schema, parent, refers_to) in rows {
            let child = (child_schema, child);
            match self.foreign.last_mut() {
                Some(last) if (&last.child, &last.name) == (&child, &name) => {
                    last.columns.push((column, refers_to));
                }
                _ => self.foreign.push(Foreign {
                    name,
                    child,
                    parent: (parent_schema, parent),
                    columns: vec![(column, refers_to)],
                }),
            }
        }
        Ok(())
    }
}

impl Foreign {
    /// `parent` stands for what `child` refers to.
    #[must_use]
    pub fn refers(&self, parent: &str, child: &str) -> String {
        let columns = self.columns.iter();
        let parts =
            columns.map(|(down, up)| format!("{parent}.{} = {child}.{}", ident(up), ident(down)));
        parts.collect::<Vec<_>>().join(" AND ")
    }
}

/// `l.id = s.id AND …`
#[must_use]
pub fn same_key(table: &Table, left: &str, right: &str) -> String {
    let parts = table.key.iter().map(|column| {
        let column = ident(column);
        format!("{left}.{column} = {right}.{column}")
    });
    parts.collect::<Vec<_>>().join(" AND ")
}

/// "nextval(`shop`.`numbers`)" counts on with that sequence.
fn counts_on(default: &str) -> Option<String> {
    let inside = default.trim().strip_prefix("nextval(")?;
    inside.strip_suffix(')').map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_may_count_on_with_a_sequence() {
        let numbers = counts_on("nextval(`shop`.`numbers`)");
        assert_eq!(numbers.as_deref(), Some("`shop`.`numbers`"));
        assert_eq!(counts_on("'nextval'"), None);
        assert_eq!(counts_on("current_timestamp()"), None);
    }
}
