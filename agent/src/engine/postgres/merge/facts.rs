//! What the catalog says of tables that rows go from and to: columns, keys, and all that a row must obey.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::engine::{
    merge::{Column, Table},
    postgres::quote::{ident, qualified},
};

/// Every table of a database, and its rules.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub tables: Vec<Relation>,
    pub uniques: Vec<Unique>,
    pub checks: Vec<Check>,
    pub foreign: Vec<Foreign>,
    pub counters: Vec<Counter>,
}

#[derive(Debug, Clone, Default)]
pub struct Relation {
    pub oid: u32,
    /// Its partitions' rows are its own; else those of heirs are not.
    pub partitioned: bool,
    pub table: Table,
    /// Of each column of the key the operator that makes its values equal.
    pub key_operators: Vec<String>,
}

/// A unique index or an exclusion constraint.
#[derive(Debug, Clone, Default)]
pub struct Unique {
    pub table: u32,
    pub name: String,
    /// Expression and operator; two rows for which all hold exclude each other.
    pub parts: Vec<(String, String)>,
    /// Only rows for which this holds; empty: all.
    pub predicate: String,
    pub nulls_equal: bool,
}

#[derive(Debug, Clone)]
pub struct Check {
    pub table: u32,
    pub name: String,
    pub expression: String,
}

#[derive(Debug, Clone, Default)]
pub struct Foreign {
    pub name: String,
    pub child: u32,
    pub parent: u32,
    /// MATCH FULL: all columns are null or none is.
    pub full: bool,
    pub child_columns: Vec<String>,
    pub parent_columns: Vec<String>,
    /// `parent operator child`.
    pub operators: Vec<String>,
}

/// A sequence that gives a column its values.
#[derive(Debug, Clone)]
pub struct Counter {
    pub table: u32,
    pub column: String,
    pub sequence: String,
}

impl Facts {
    /// Reads the catalog of the database that the client is in.
    ///
    /// # Errors
    /// What the server says.
    pub async fn read(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let mut facts = Self {
            tables: tables(client).await?,
            ..Self::default()
        };
        facts.uniques = facts.read_indexes(client).await?;
        for row in client.query(CHECKS, &[]).await? {
            facts.checks.push(Check {
                table: row.get(0),
                name: row.get(1),
                expression: row.get(2),
            });
        }
        for row in client.query(FOREIGN, &[]).await? {
            facts.foreign.push(Foreign {
                name: row.get(0),
                child: row.get(1),
                parent: row.get(2),
                full: row.get(3),
                child_columns: row.get(4),
                parent_columns: row.get(5),
                operators: row.get(6),
            });
        }
        for row in client.query(COUNTERS, &[]).await? {
            facts.counters.push(Counter {
                table: row.get(0),
                column: row.get(1),
                sequence: qualified(row.get(2), row.get(3)),
            });
        }
        Ok(facts)
    }

    #[must_use]
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.tables.iter().find(|relation| relation.oid == oid)
    }

    #[must_use]
    pub fn named(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.tables
            .iter()
            .find(|relation| relation.table.schema == schema && relation.table.name == name)
    }

    /// Keys go to their tables; every other index that rows must not break is given back.
    async fn read_indexes(
        &mut self,
        client: &Client,
    ) -> Result<Vec<Unique>, tokio_postgres::Error> {
        let mut uniques: BTreeMap<(u32, String), Unique> = BTreeMap::new();
        for row in client.query(INDEXES, &[]).await? {
            let (table, index): (u32, String) = (row.get(0), row.get(1));
            let (primary, expression): (bool, String) = (row.get(2), row.get(3));
            let operator: String = row.get(5);
            if primary {
                let found = self.tables.iter_mut().find(|known| known.oid == table);
                if let (Some(known), Some(column)) = (found, row.get::<_, Option<String>>(4)) {
                    known.table.key.push(column);
                    known.key_operators.push(operator);
                }
                continue;
            }
            let unique = uniques.entry((table, index.clone())).or_default();
            unique.table = table;
            unique.name = index;
            unique.parts.push((expression, operator));
            unique.predicate = row.get(6);
            unique.nulls_equal = row.get(7);
        }
        Ok(uniques.into_values().collect())
    }
}

impl Relation {
    /// In a FROM clause.
    #[must_use]
    pub fn from(&self) -> String {
        let name = qualified(&self.table.schema, &self.table.name);
        if self.partitioned {
            name
        } else {
            format!("ONLY {name}")
        }
    }

    /// `l."id" OPERATOR(pg_catalog.=) s."id" AND …`
    #[must_use]
    pub fn same_key(&self, left: &str, right: &str) -> String {
        let parts = self.table.key.iter().zip(&self.key_operators);
        let parts = parts.map(|(column, operator)| {
            let column = ident(column);
            format!("{left}.{column} {operator} {right}.{column}")
        });
        parts.collect::<Vec<_>>().join(" AND ")
    }
}

async fn tables(client: &Client) -> Result<Vec<Relation>, tokio_postgres::Error> {
    let mut relations: Vec<Relation> = Vec::new();
    for row in client.query(TABLES, &[]).await? {
        let kind: String = row.get(3);
        let of_extension: bool = row.get(4);
        relations.push(Relation {
            oid: row.get(0),
            partitioned: kind == "p",
            table: Table {
                schema: row.get(1),
                name: row.get(2),
                obstacle: if of_extension {
                    "it belongs to an extension".to_owned()
                } else {
                    String::new()
                },
                ..Table::default()
            },
            key_operators: Vec::new(),
        });
    }
    for row in client.query(COLUMNS, &[]).await? {
        let table: u32 = row.get(0);
        if let Some(relation) = relations.iter_mut().find(|known| known.oid == table) {
            relation.table.columns.push(Column {
                name: row.get(1),
                generated: row.get(2),
                required: row.get(3),
                filled: row.get(4),
                fixed: row.get(5),
            });
        }
    }
    Ok(relations)
}

/// Records of merges are no tables of the application.
const TABLES: &str = "\
    SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, \
      EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
        AND d.objid = c.oid AND d.deptype = 'e') \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' \
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname !~ '__merged_[0-9]+$' \
    ORDER BY 2, 3";

const COLUMNS: &str = "\
    SELECT a.attrelid, a.attname::text, a.attgenerated <> '', a.attnotnull, \
      a.atthasdef OR a.attidentity <> '', a.attidentity = 'a' \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
    WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

const INDEXES: &str = "\
    SELECT i.indrelid, ic.relname::text, i.indisprimary, pg_catalog.pg_get_indexdef(i.indexrelid, k.pos, false), \
      a.attname::text, 'OPERATOR(' || pg_catalog.quote_ident(n.nspname) || '.' || o.oprname || ')', \
      COALESCE(pg_catalog.pg_get_expr(i.indpred, i.indrelid), ''), \
      COALESCE((pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false) \
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid \
    CROSS JOIN LATERAL pg_catalog.generate_series(1, i.indnkeyatts::int) AS k(pos) \
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.pos - 1] AND a.attnum <> 0 \
    LEFT JOIN pg_catalog.pg_constraint x ON x.conindid = i.indexrelid AND x.contype = 'x' \
    LEFT JOIN pg_catalog.pg_opclass oc ON oc.oid = i.indclass[k.pos - 1] \
    LEFT JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amoplefttype = oc.opcintype \
      AND ao.amoprighttype = oc.opcintype AND ao.amopstrategy = 3 AND ao.amoppurpose = 's' \
    JOIN pg_catalog.pg_operator o ON o.oid = COALESCE(x.conexclop[k.pos], ao.amopopr) \
    JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace \
    WHERE (i.indisunique OR i.indisexclusion) AND i.indislive \
    ORDER BY 1, 2, k.pos";

const CHECKS: &str = "\
    SELECT conrelid, conname::text, pg_catalog.pg_get_expr(conbin, conrelid) FROM pg_catalog.pg_constraint \
    WHERE contype = 'c' AND conrelid <> 0";

const FOREIGN: &str = "\
    SELECT f.conname::text, f.conrelid, f.confrelid, f.confmatchtype = 'f', \
      ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(f.conkey) WITH ORDINALITY u(num, pos) \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = u.num ORDER BY u.pos), \
      ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(f.confkey) WITH ORDINALITY u(num, pos) \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = u.num ORDER BY u.pos), \
      ARRAY(SELECT 'OPERATOR(' || pg_catalog.quote_ident(n.nspname) || '.' || o.oprname || ')' \
        FROM pg_catalog.unnest(f.conpfeqop) WITH ORDINALITY u(op, pos) \
        JOIN pg_catalog.pg_operator o ON o.oid = u.op JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace \
        ORDER BY u.pos) \
    FROM pg_catalog.pg_constraint f WHERE f.contype = 'f' AND f.conparentid = 0";

/// By ownership (serial, identity), and by a default that names the sequence.
const COUNTERS: &str = "\
    SELECT t.rel, a.attname::text, n.nspname::text, s.relname::text FROM ( \
      SELECT d.refobjid, d.refobjsubid, d.objid FROM pg_catalog.pg_depend d \
      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 \
      UNION SELECT ad.adrelid, ad.adnum::int, d.refobjid FROM pg_catalog.pg_depend d \
      JOIN pg_catalog.pg_attrdef ad ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = ad.oid \
      WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass) AS t(rel, att, seq) \
    JOIN pg_catalog.pg_class s ON s.oid = t.seq AND s.relkind = 'S' \
    JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = t.rel AND a.attnum = t.att";
