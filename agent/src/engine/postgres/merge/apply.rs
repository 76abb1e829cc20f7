//! Judge what differs, write what may stand, and note all of it for the way back.

use holdfast_proto::task::{FailureKind, MergeRow, MergeRows, TaskFailure};
use tokio_postgres::Client;

use super::{
    Work,
    facts::{Facts, Relation},
    is_taken, rules,
    stage::{ORD, STATE, Staged, WHY, differs},
};
use crate::engine::{
    merge::{Ledger, LedgerTable, SHOWN},
    postgres::{
        databases::internal,
        failure::{failed, failure},
        quote::{ident, list, literal, qualified},
    },
};

/// Beside a row in the ledger: `i` brought in, `w` as it was before it was overwritten, `n` as it was after.
pub const WHAT: &str = "\"holdfast$what\"";

impl Work {
    /// Says of every row that differs what becomes of it, and counts.
    pub(super) async fn judge(&mut self, client: &Client, take: bool) -> Result<(), TaskFailure> {
        for staged in &self.staged {
            let relation = self.relation(staged)?;
            let doing = format!("judging the rows of {}", relation.table.title());
            let mut statements = classify(staged, relation);
            statements.extend(rules::of_rows(&self.facts, staged, take));
            for sql in statements {
                let done = client.batch_execute(&sql).await;
                done.map_err(|error| failed(&doing, &error))?;
            }
        }
        let orphans = rules::orphans(&self.facts, &self.staged, take);
        loop {
            let mut refused = 0;
            for sql in &orphans {
                let done = client.execute(sql.as_str(), &[]).await;
                refused += done.map_err(|error| failed("judging what rows refer to", &error))?;
            }
            if refused == 0 {
                break;
            }
        }
        for at in 0..self.staged.len() {
            self.count(client, at, take).await?;
        }
        Ok(())
    }

    async fn count(&mut self, client: &Client, at: usize, take: bool) -> Result<(), TaskFailure> {
        let staged = &self.staged[at];
        let relation = self.relation(staged)?;
        let title = relation.table.title();
        let doing = format!("counting the rows of {title}");
        let sql = format!(
            "SELECT count(*), count(*) FILTER (WHERE {STATE} = 'n'), count(*) FILTER (WHERE {STATE} = 'c'), \
               count(*) FILTER (WHERE {STATE} = 'n' AND {WHY} IS NULL), \
               count(*) FILTER (WHERE {STATE} = 'c' AND {WHY} IS NULL), count({WHY}), \
               count(*) FILTER (WHERE {STATE} = 'e') FROM {}",
            staged.name
        );
        let row = client.query_one(&sql, &[]).await;
        let row = row.map_err(|error| failed(&doing, &error))?;
        let number = |column: usize| u64::try_from(row.get::<_, i64>(column)).unwrap_or_default();
        let rows = client.query(&shown(staged, relation), &[]).await;
        let rows = rows.map_err(|error| failed(&doing, &error))?;
        let (schema, name) = (&staged.pair.live.schema, &staged.pair.live.name);
        let mut tables = self.tables.iter_mut();
        let table = tables.find(|table| &table.schema == schema && &table.name == name);
        let table = table.ok_or_else(|| internal("a staged table is not in the report"))?;
        table.equal = table.equal.saturating_sub(number(0)) + number(6);
        table.only_there = number(1);
        table.conflicts = number(2);
        table.merged = number(3);
        table.taken = if take { number(4) } else { 0 };
        table.refused = number(5);
        table.rows = rows
            .iter()
            .map(|row| MergeRow {
                key: row.get(0),
                columns: row.get(1),
                reason: row.get::<_, Option<String>>(2).unwrap_or_default(),
            })
            .collect();
        Ok(())
    }

    /// Writes them, with what the way back needs. User triggers rest: they ran when the rows were written first.
    pub(super) async fn apply(
        &self,
        client: &Client,
        spec: &MergeRows,
    ) -> Result<Vec<LedgerTable>, TaskFailure> {
        let begin = format!(
            "SET LOCAL session_replication_role = replica; CREATE SCHEMA {}",
            ident(&spec.ledger)
        );
        client.batch_execute(&begin).await.map_err(|error| {
            if is_taken(&error) {
                let message = format!("a schema {:?} is there that is no merge's", spec.ledger);
                return failure(FailureKind::Conflict, message, "rename or drop it");
            }
            failed("preparing the record of the merge", &error)
        })?;
        let mut tables = Vec::new();
        for staged in &self.staged {
            let relation = self.relation(staged)?;
            let rows = format!("rows_{}", tables.len() + 1);
            let into = qualified(&spec.ledger, &rows);
            let doing = format!("merging rows into {}", relation.table.title());
            for sql in writing(staged, relation, &into, spec.take) {
                let done = client.batch_execute(&sql).await;
                done.map_err(|error| failed(&doing, &error))?;
            }
            for sql in counting_on(&self.facts, staged) {
                let done = client.batch_execute(&sql).await;
                done.map_err(|error| failed(&doing, &error))?;
            }
            tables.push(LedgerTable {
                rows,
                schema: relation.table.schema.clone(),
                name: relation.table.name.clone(),
                key: relation.table.key.clone(),
                columns: names(relation),
                written: staged.pair.overwritten().map(str::to_owned).collect(),
            });
        }
        Ok(tables)
    }

    fn relation(&self, staged: &Staged) -> Result<&Relation, TaskFailure> {
        let found = self.facts.relation(staged.oid);
        found.ok_or_else(|| internal("a staged table has no facts"))
    }
}

/// The last thing before the commit: with it the merge is done.
pub(super) async fn note(client: &Client, name: &str, ledger: &Ledger) -> Result<(), TaskFailure> {
    let text = serde_json::to_string(ledger)
        .map_err(|error| internal(&format!("writing the record of a merge: {error}")))?;
    let sql = format!(
        "CREATE TABLE {0}.merge (document text NOT NULL); INSERT INTO {0}.merge VALUES ({1})",
        ident(name),
        literal(&text)
    );
    let noted = client.batch_execute(&sql).await;
    noted.map_err(|error| failed("noting the merge", &error))
}

/// Anew, now that nobody writes: what has become equal needs nothing.
fn classify(staged: &Staged, relation: &Relation) -> Vec<String> {
    let (table, live) = (&staged.name, relation.from());
    let same = relation.same_key("l", "s");
    vec![
        format!("UPDATE {table} s SET {STATE} = 'n'"),
        format!(
            "UPDATE {table} s SET {STATE} = CASE WHEN {} THEN 'c' ELSE 'e' END FROM {live} l WHERE {same}",
            staged.differs("l", "s")
        ),
    ]
}

fn shown(staged: &Staged, relation: &Relation) -> String {
    let columns = staged.values().map(|name| {
        let (differs, name) = (differs(name, "l", "s"), literal(name));
        format!("CASE WHEN s.{STATE} = 'c' AND {differs} THEN {name} END")
    });
    let columns: Vec<_> = columns.collect();
    let columns = format!(
        "pg_catalog.array_remove(ARRAY[{}]::text[], NULL)",
        columns.join(", ")
    );
    let part = |which: &str| {
        format!(
            "(SELECT {}, {columns}, s.{WHY}, s.{ORD} FROM {} s LEFT JOIN {} l ON {} WHERE {which} \
             ORDER BY s.{ORD} LIMIT {SHOWN})",
            rules::key_text(relation, "s"),
            staged.name,
            relation.from(),
            relation.same_key("l", "s")
        )
    };
    format!(
        "{} UNION ALL {}",
        part(&format!("s.{STATE} = 'c' AND s.{WHY} IS NULL")),
        part(&format!("s.{WHY} IS NOT NULL"))
    )
}

/// The ledger's table of rows, and the rows themselves.
fn writing(staged: &Staged, relation: &Relation, into: &str, take: bool) -> Vec<String> {
    let (table, live) = (&staged.name, relation.from());
    let target = qualified(&relation.table.schema, &relation.table.name);
    let all = names(relation);
    let all: Vec<_> = all
        .iter()
        .map(|name| format!("l.{}", ident(name)))
        .collect();
    let all = all.join(", ");
    let same = relation.same_key("l", "s");
    let of = |state: &str| format!("s.{STATE} = '{state}' AND s.{WHY} IS NULL");
    let live_rows = |what: &str, state: &str| {
        format!(
            "SELECT '{what}'::\"char\" AS {WHAT}, {all} FROM {live} l JOIN {table} s ON {same} WHERE {}",
            of(state)
        )
    };
    let columns = list(&staged.pair.columns);
    let brought = staged.pair.columns.iter();
    let brought: Vec<_> = brought.map(|name| format!("s.{}", ident(name))).collect();
    let mut statements = vec![
        // Empty, unless rows are overwritten.
        format!(
            "CREATE TABLE {into} AS {}{}",
            live_rows("w", "c"),
            if take { "" } else { " LIMIT 0" }
        ),
        format!(
            "INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {} FROM {table} s WHERE {} ORDER BY s.{ORD}",
            brought.join(", "),
            of("n")
        ),
        format!("INSERT INTO {into} {}", live_rows("i", "n")),
    ];
    let overwritten: Vec<_> = staged.pair.overwritten().map(ident).collect();
    if take && !overwritten.is_empty() {
        let set = overwritten.iter().map(|name| format!("{name} = s.{name}"));
        let set: Vec<_> = set.collect();
        statements.push(format!(
            "UPDATE {live} l SET {} FROM {table} s WHERE {same} AND {}",
            set.join(", "),
            of("c")
        ));
        statements.push(format!("INSERT INTO {into} {}", live_rows("n", "c")));
    }
    statements
}

/// Sequences go on behind the keys that came; never back.
fn counting_on(facts: &Facts, staged: &Staged) -> Vec<String> {
    let counters = facts.counters.iter();
    let counters = counters.filter(|counter| {
        counter.table == staged.oid && staged.pair.columns.contains(&counter.column)
    });
    let statements = counters.map(|counter| {
        format!(
            "SELECT pg_catalog.setval({0}::pg_catalog.regclass, x.highest) FROM \
             (SELECT max(s.{1})::bigint AS highest FROM {2} s WHERE s.{WHY} IS NULL AND s.{STATE} <> 'e') x, \
             {3} q JOIN pg_catalog.pg_sequence d ON d.seqrelid = {0}::pg_catalog.regclass \
             WHERE d.seqincrement > 0 AND x.highest <= d.seqmax \
               AND (x.highest > q.last_value OR x.highest = q.last_value AND NOT q.is_called)",
            literal(&counter.sequence),
            ident(&counter.column),
            staged.name,
            counter.sequence
        )
    });
    statements.collect()
}

fn names(relation: &Relation) -> Vec<String> {
    let columns = relation.table.columns.iter();
    columns.map(|column| column.name.clone()).collect()
}
