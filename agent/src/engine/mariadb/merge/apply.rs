//! Judge what differs, write what may stand, and note all of it for the way back.

use holdfast_proto::task::{MergeRow, MergeRows, TaskFailure};
use mysql_async::{Error, prelude::Queryable};

use super::{
    ORD, STATE, Staged, TRIAL, WHY, Work,
    facts::{Facts, same_key},
    rules::{self, wanted},
};
use crate::engine::{
    mariadb::{
        databases::{create, execute},
        failure::failed,
        quote::{ident, literal, qualified},
        session::Session,
    },
    merge::{Ledger, LedgerTable, SHOWN},
    postgres::databases::internal,
};

/// Beside a row in the ledger: `i` brought in, `w` as it was before it was overwritten, `n` as it was after.
pub const WHAT: &str = "`holdfast$what`";
/// A rule that names a column which does not travel cannot be asked.
const UNKNOWN_COLUMN: u16 = 1054;

/// How many rows are in each state.
type Counts = (u64, u64, u64, u64, u64, u64, u64);

impl Work {
    /// Says of every row that differs what becomes of it, and counts.
    pub(super) async fn judge(
        &mut self,
        session: &mut Session,
        take: bool,
    ) -> Result<(), TaskFailure> {
        for staged in &self.staged {
            let doing = format!("judging the rows of {}", staged.pair.live.name);
            for sql in classify(&self.facts, staged) {
                execute(session, &doing, &sql).await?;
            }
            for rule in rules::of_rows(&self.facts, staged, take) {
                follow(session, &doing, &rule).await?;
            }
            try_out(&self.facts, session, staged, take).await?;
        }
        let orphans = rules::orphans(&self.facts, &self.staged, take);
        loop {
            let mut refused = 0;
            for rule in &orphans {
                refused += follow(session, "judging what rows refer to", rule).await?;
            }
            if refused == 0 {
                break;
            }
        }
        for at in 0..self.staged.len() {
            self.count(session, at, take).await?;
        }
        Ok(())
    }

    async fn count(
        &mut self,
        session: &mut Session,
        at: usize,
        take: bool,
    ) -> Result<(), TaskFailure> {
        let staged = &self.staged[at];
        let name = staged.pair.live.name.clone();
        let doing = format!("counting the rows of {name}");
        let sum = |condition: &str| format!("CAST(COALESCE(SUM({condition}), 0) AS UNSIGNED)");
        let sql = format!(
            "SELECT COUNT(*), {}, {}, {}, {}, COUNT({WHY}), {} FROM {}",
            sum(&format!("{STATE} = 'n'")),
            sum(&format!("{STATE} = 'c'")),
            sum(&format!("{STATE} = 'n' AND {WHY} IS NULL")),
            sum(&format!("{STATE} = 'c' AND {WHY} IS NULL")),
            sum(&format!("{STATE} = 'e'")),
            staged.name
        );
        let counts: Result<Option<Counts>, Error> = session.conn.query_first(sql).await;
        let counts = counts.map_err(|error| failed(&doing, &error))?;
        let (all, new, conflicts, merged, taken, refused, equal) = counts.unwrap_or_default();
        let mut rows = Vec::new();
        for sql in shown(&self.facts, staged) {
            let some: Result<Vec<(String, String, Option<String>)>, Error> =
                session.conn.query(sql).await;
            let some = some.map_err(|error| failed(&doing, &error))?;
            rows.extend(some.into_iter().map(|(key, columns, why)| MergeRow {
                key,
                columns: columns.lines().map(str::to_owned).collect(),
                reason: why.unwrap_or_default(),
            }));
        }
        let table = self.tables.iter_mut().find(|table| table.name == name);
        let table = table.ok_or_else(|| internal("a staged table is not in the report"))?;
        table.equal = table.equal.saturating_sub(all) + equal;
        table.only_there = new;
        table.conflicts = conflicts;
        table.merged = merged;
        table.taken = if take { taken } else { 0 };
        table.refused = refused;
        table.rows = rows;
        Ok(())
    }

    /// The empty tables of the record: made ahead, since making a table ends a transaction.
    pub(super) async fn make_ledger(
        &self,
        session: &mut Session,
        ledger: &str,
    ) -> Result<Vec<LedgerTable>, TaskFailure> {
        let doing = "preparing the record of the merge";
        create(session, ledger, "utf8mb4", "").await?;
        let merge = qualified(ledger, "merge");
        let sql = format!("CREATE TABLE {merge} (document LONGTEXT NOT NULL) ENGINE = InnoDB");
        execute(session, doing, &sql).await?;
        let mut tables = Vec::new();
        for staged in &self.staged {
            let live = &staged.pair.live;
            let rows = format!("rows_{}", tables.len() + 1);
            let columns: Vec<_> = live.columns.iter().map(|c| c.name.clone()).collect();
            let sql = format!(
                "CREATE TABLE {} ENGINE = InnoDB AS SELECT CAST('i' AS CHAR(1)) AS {WHAT}, {} FROM {} l LIMIT 0",
                qualified(ledger, &rows),
                of("l", &columns),
                self.facts.name_of(&live.name)
            );
            execute(session, doing, &sql).await?;
            tables.push(LedgerTable {
                rows,
                schema: String::new(),
                name: live.name.clone(),
                key: live.key.clone(),
                columns,
                written: staged.pair.overwritten().map(str::to_owned).collect(),
            });
        }
        Ok(tables)
    }

    pub(super) async fn apply(
        &self,
        session: &mut Session,
        spec: &MergeRows,
        tables: &[LedgerTable],
    ) -> Result<(), TaskFailure> {
        for (staged, noted) in self.staged.iter().zip(tables) {
            let doing = format!("merging rows into {}", noted.name);
            let into = qualified(&spec.ledger, &noted.rows);
            for sql in writing(&self.facts, staged, noted, &into, spec.take) {
                execute(session, &doing, &sql).await?;
            }
        }
        for (table, column, sequence) in &self.facts.counters {
            let staged = self.staged.iter();
            let mut staged = staged.filter(|staged| &staged.pair.live.name == table);
            if let Some(staged) = staged.find(|staged| staged.pair.columns.contains(column)) {
                count_on(session, staged, column, sequence).await?;
            }
        }
        Ok(())
    }
}

/// With it, and the commit after it, the merge is done.
pub(super) async fn note(
    session: &mut Session,
    name: &str,
    ledger: &Ledger,
) -> Result<(), TaskFailure> {
    let text = serde_json::to_string(ledger)
        .map_err(|error| internal(&format!("writing the record of a merge: {error}")))?;
    let merge = qualified(name, "merge");
    let doing = "noting the merge";
    execute(session, doing, &format!("DELETE FROM {merge}")).await?;
    let sql = format!("INSERT INTO {merge} VALUES ({})", literal(&text));
    execute(session, doing, &sql).await
}

/// Does what belongs together; gives how many rows the last statement changed.
async fn follow(session: &mut Session, doing: &str, rule: &[String]) -> Result<u64, TaskFailure> {
    for sql in rule {
        match session.conn.query_drop(sql.as_str()).await {
            Ok(()) => {}
            Err(Error::Server(answer)) if answer.code == UNKNOWN_COLUMN => return Ok(0),
            Err(error) => return Err(failed(doing, &error)),
        }
    }
    Ok(session.conn.affected_rows())
}

/// Writes the rows into an empty table of the same kind first: what the server refuses there it refuses everywhere.
async fn try_out(
    facts: &Facts,
    session: &mut Session,
    staged: &Staged,
    take: bool,
) -> Result<(), TaskFailure> {
    let table = &staged.pair.live.name;
    let doing = format!("trying out the rows of {table}");
    let trial = staged.beside(TRIAL);
    let drop = format!("DROP TEMPORARY TABLE IF EXISTS {trial}");
    execute(session, &doing, &drop).await?;
    let make = format!(
        "CREATE TEMPORARY TABLE {trial} LIKE {}",
        facts.name_of(table)
    );
    match session.conn.query_drop(make).await {
        Ok(()) => {}
        // No table of this kind can be temporary: the writing itself must tell.
        Err(Error::Server(_)) => return Ok(()),
        Err(error) => return Err(failed(&doing, &error)),
    }
    let insert = format!(
        "INSERT INTO {trial} ({}) SELECT {} FROM {} s WHERE {} ORDER BY s.{ORD}",
        list(&staged.pair.columns),
        of("s", &staged.pair.columns),
        staged.name,
        wanted("s", take)
    );
    match session.conn.query_drop(insert).await {
        Ok(()) => {}
        Err(Error::Server(answer)) => {
            let why = format!("the server refuses rows like these: {}", answer.message);
            let refuse = format!(
                "UPDATE {} s SET s.{WHY} = {} WHERE {}",
                staged.name,
                literal(&why),
                wanted("s", take)
            );
            execute(session, &doing, &refuse).await?;
        }
        Err(error) => return Err(failed(&doing, &error)),
    }
    execute(session, &doing, &drop).await
}

/// Anew, now that nobody writes: what has become equal needs nothing.
fn classify(facts: &Facts, staged: &Staged) -> Vec<String> {
    let table = &staged.pair.live;
    vec![
        format!("UPDATE {} s SET s.{STATE} = 'n'", staged.name),
        format!(
            "UPDATE {} s JOIN {} l ON {} SET s.{STATE} = IF({}, 'c', 'e')",
            staged.name,
            facts.name_of(&table.name),
            same_key(table, "l", "s"),
            facts.differ(&table.name, staged.values(), ("l", "s"))
        ),
    ]
}

/// The first conflicts, and the first that were refused.
fn shown(facts: &Facts, staged: &Staged) -> [String; 2] {
    let table = &staged.pair.live;
    let columns = staged.values().map(|name| {
        let same = facts.same(&table.name, name, "l", "s");
        format!(
            "IF(s.{STATE} = 'c' AND NOT {same}, {}, NULL)",
            literal(name)
        )
    });
    let columns: Vec<_> = columns.collect();
    let columns = if columns.is_empty() {
        "''".to_owned()
    } else {
        format!("CONCAT_WS('\\n', {})", columns.join(", "))
    };
    let part = |which: &str| {
        format!(
            "SELECT {}, {columns}, s.{WHY} FROM {} s LEFT JOIN {} l ON {} WHERE {which} ORDER BY s.{ORD} LIMIT {SHOWN}",
            facts.key_text(table, "s"),
            staged.name,
            facts.name_of(&table.name),
            same_key(table, "l", "s")
        )
    };
    [
        part(&format!("s.{STATE} = 'c' AND s.{WHY} IS NULL")),
        part(&format!("s.{WHY} IS NOT NULL")),
    ]
}

fn writing(
    facts: &Facts,
    staged: &Staged,
    noted: &LedgerTable,
    into: &str,
    take: bool,
) -> Vec<String> {
    let live = &staged.pair.live;
    let (target, table) = (facts.name_of(&live.name), &staged.name);
    let same = same_key(live, "l", "s");
    let state = |state: &str| format!("s.{STATE} = '{state}' AND s.{WHY} IS NULL");
    let note = |what: &str, which: &str| {
        format!(
            "INSERT INTO {into} SELECT '{what}', {} FROM {target} l JOIN {table} s ON {same} WHERE {}",
            of("l", &noted.columns),
            state(which)
        )
    };
    let insert = format!(
        "INSERT INTO {target} ({}) SELECT {} FROM {table} s WHERE {} ORDER BY s.{ORD}",
        list(&staged.pair.columns),
        of("s", &staged.pair.columns),
        state("n")
    );
    if !take {
        return vec![insert, note("i", "n")];
    }
    let set = noted
        .written
        .iter()
        .map(|name| format!("l.{0} = s.{0}", ident(name)));
    let set: Vec<_> = set.collect();
    let mut statements = vec![note("w", "c"), insert, note("i", "n")];
    if !set.is_empty() {
        statements.push(format!(
            "UPDATE {target} l JOIN {table} s ON {same} SET {} WHERE {}",
            set.join(", "),
            state("c")
        ));
    }
    statements.push(note("n", "c"));
    statements
}

/// A sequence goes on behind the keys that came; by itself it never goes back.
async fn count_on(
    session: &mut Session,
    staged: &Staged,
    column: &str,
    sequence: &str,
) -> Result<(), TaskFailure> {
    let doing = format!("moving the sequence {sequence} on");
    let highest = format!(
        "SELECT CAST(MAX(s.{}) AS SIGNED) FROM {} s WHERE s.{WHY} IS NULL AND s.{STATE} <> 'e'",
        ident(column),
        staged.name
    );
    let highest: Result<Option<Option<i64>>, Error> = session.conn.query_first(highest).await;
    let Some(Some(highest)) = highest.map_err(|error| failed(&doing, &error))? else {
        return Ok(());
    };
    execute(
        session,
        &doing,
        &format!("DO SETVAL({sequence}, {highest})"),
    )
    .await
}

fn list(columns: &[String]) -> String {
    let quoted: Vec<_> = columns.iter().map(|name| ident(name)).collect();
    quoted.join(", ")
}

fn of(alias: &str, columns: &[String]) -> String {
    let quoted: Vec<_> = columns
        .iter()
        .map(|name| format!("{alias}.{}", ident(name)))
        .collect();
    quoted.join(", ")
}
