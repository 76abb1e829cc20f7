//! Rows that only a kept database has are merged into the live one beside it, and out again.
//!
//! Both stand on one server, so it is SQL between the two. Compared before anything is locked; judged and written in
//! one serializable transaction, which locks what it looked at. The record for the way back lies in a database of
//! its own and is complete with the same commit: a killed agent has done all or nothing, and who comes next sees which.

mod apply;
mod facts;
mod rules;
mod undo;

use holdfast_proto::task::{FailureKind, MergeRows, MergedRows, MergedTable, TaskFailure};
use mysql_async::{Error, prelude::Queryable};

use super::{
    databases::{drop_copy, execute, exists, maintenance},
    failure::failed,
    quote::{ident, literal, qualified},
    session::{self, Session},
};
use crate::{
    engine::{
        merge::{Ledger, Pair, Pairing, pair, progress},
        postgres::{databases::internal, failure::failure, sessions::cancelled},
    },
    observe::instances::Located,
    task::Context,
};

use facts::{Facts, same_key};

pub use undo::undo;

/// Columns beside a row's own: its number, whether it is new (`n`) or in conflict (`c`), why it cannot stand.
const ORD: &str = "`holdfast$ord`";
const STATE: &str = "`holdfast$state`";
const WHY: &str = "`holdfast$why`";
/// Temporary tables that rules and the trial work with.
const OTHER: &str = "holdfast$other";
const TRIAL: &str = "holdfast$trial";

/// Values come as they are or not at all; a key of 0 stays 0. Rows that refer to one another come in one go.
const SETTINGS: [&str; 2] = [
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', \
     foreign_key_checks = 0",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
];
/// An earlier attempt of the same job gets so long to end, in seconds.
const TURN: u32 = 60;

/// Rows of one table that are not equal on both sides, in a temporary table.
#[derive(Debug, Clone)]
struct Staged {
    pair: Pair,
    database: String,
    /// In SQL.
    name: String,
}

/// A merge in the making.
#[derive(Debug)]
struct Work {
    facts: Facts,
    staged: Vec<Staged>,
    tables: Vec<MergedTable>,
}

impl Staged {
    /// Another temporary table.
    fn beside(&self, name: &str) -> String {
        qualified(&self.database, name)
    }

    /// Columns that travel and are not the key.
    fn values(&self) -> impl Iterator<Item = &str> {
        let key = &self.pair.live.key;
        let values = self.pair.columns.iter().filter(|name| !key.contains(name));
        values.map(String::as_str)
    }
}

/// # Errors
/// `Invalid` when a database is not there or a pattern matches nothing; `Conflict` when locks are not had in time.
/// Nothing has changed then.
pub async fn merge(
    spec: &MergeRows,
    located: &Located,
    context: &Context,
) -> Result<MergedRows, TaskFailure> {
    let mut session = prepared(located).await?;
    let id = session.id();
    tokio::select! {
        merged = run(spec, located, &mut session, context) => merged,
        () = context.cancel.cancelled() => {
            // The session would go on with its statement.
            let _ = session::stop(&located.route, id).await;
            Err(cancelled("merging rows"))
        }
    }
}

async fn run(
    spec: &MergeRows,
    located: &Located,
    session: &mut Session,
    context: &Context,
) -> Result<MergedRows, TaskFailure> {
    for name in [&spec.kept, &spec.target.database] {
        if !exists(session, name).await? {
            let message = format!("there is no database {name:?} on {}", located.name);
            let advice = "see which there are: ctl database list";
            return Err(failure(FailureKind::Invalid, message, advice));
        }
    }
    if !spec.dry_run {
        take_turn(session, &spec.ledger).await?;
    }
    if let Some(ledger) = read_ledger(session, &spec.ledger).await? {
        return Ok(ledger.report);
    }
    let mut work = compare(spec, session, context).await?;
    let mut ledger = Ledger::default();
    let doing = format!("merging rows into {:?}", spec.target.database);
    if spec.dry_run {
        work.judge(session, spec.take).await?;
    } else {
        // What an attempt that came to nothing has left.
        drop_copy(located, &spec.ledger).await?;
        ledger.tables = work.make_ledger(session, &spec.ledger).await?;
        begin(session, &doing).await?;
        work.judge(session, spec.take).await?;
        work.apply(session, spec, &ledger.tables).await?;
    }
    work.tables.sort_by(|a, b| a.name.cmp(&b.name));
    ledger.report.tables = work.tables;
    if !spec.dry_run {
        apply::note(session, &spec.ledger, &ledger).await?;
        execute(session, &doing, "COMMIT").await?;
    }
    Ok(ledger.report)
}

/// Every table, one after the other. What cannot be compared is told, and does not stop the others.
async fn compare(
    spec: &MergeRows,
    session: &mut Session,
    context: &Context,
) -> Result<Work, TaskFailure> {
    let explain = |error: Error| failed("reading the tables of both databases", &error);
    let kept = Facts::read(session, &spec.kept).await;
    let kept = kept.map_err(explain)?;
    let live = Facts::read(session, &spec.target.database).await;
    let mut facts = live.map_err(explain)?;
    refuse_triggers(&mut facts, spec.take);
    let Pairing { pairs, unmergeable } = pair(&kept.tables, &facts.tables, &spec.tables)?;
    let mut work = Work {
        facts,
        staged: Vec::new(),
        tables: unmergeable,
    };
    let count = pairs.len() as u64;
    for (number, pair) in pairs.into_iter().enumerate() {
        progress(context, number as u64, count, &pair.live.name);
        let mut table = MergedTable {
            left_out_columns: pair.left_out.clone(),
            ..pair.unmergeable("")
        };
        let staged = Staged {
            name: qualified(&spec.target.database, &format!("holdfast$rows_{number}")),
            database: spec.target.database.clone(),
            pair,
        };
        match work.stage(session, &spec.kept, staged).await {
            Ok(rows) => table.equal = rows,
            Err(failure) if failure.kind == FailureKind::Invalid => {
                table.unmergeable = failure.message;
            }
            Err(failure) => return Err(failure),
        }
        work.tables.push(table);
    }
    Ok(work)
}

/// They cannot be put to rest for one session, and ran already when the rows were written first.
fn refuse_triggers(facts: &mut Facts, take: bool) {
    for table in &mut facts.tables {
        let fires = |event: &str| take || event != "UPDATE";
        let firing = facts.triggers.iter();
        let firing = firing.filter(|t| t.table == table.name && fires(&t.event));
        let names: Vec<_> = firing.map(|trigger| trigger.name.as_str()).collect();
        if table.obstacle.is_empty() && !names.is_empty() {
            table.obstacle = format!(
                "its triggers would run a second time for rows that lived already: {}",
                names.join(", ")
            );
        }
    }
}

impl Work {
    /// What differs goes into a temporary table. Gives how many rows the kept table has.
    async fn stage(
        &mut self,
        session: &mut Session,
        kept: &str,
        staged: Staged,
    ) -> Result<u64, TaskFailure> {
        let table = &staged.pair.live;
        let doing = format!("comparing the rows of {}", table.name);
        let columns = staged.pair.columns.iter();
        let columns = columns.map(|name| format!("s.{}", ident(name)));
        let columns: Vec<_> = columns.collect();
        let key = table
            .key
            .first()
            .map(|name| ident(name))
            .unwrap_or_default();
        let theirs = qualified(kept, &table.name);
        let create = format!(
            "CREATE TEMPORARY TABLE {} ({ORD} BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, \
             {STATE} CHAR(1) CHARACTER SET ascii NOT NULL DEFAULT '', {WHY} TEXT CHARACTER SET utf8mb4) \
             ENGINE = InnoDB AS SELECT {} FROM {theirs} s LEFT JOIN {} l ON {} WHERE l.{key} IS NULL OR {}",
            staged.name,
            columns.join(", "),
            self.facts.name_of(&table.name),
            same_key(table, "l", "s"),
            self.facts.differ(&table.name, staged.values(), ("l", "s"))
        );
        execute(session, &doing, &create).await?;
        let counted: Result<Option<(u64, u64)>, Error> = session
            .conn
            .query_first(format!(
                "SELECT (SELECT COUNT(*) FROM {theirs}), (SELECT COUNT(*) FROM {})",
                staged.name
            ))
            .await;
        let (rows, differing) = counted
            .map_err(|error| failed(&doing, &error))?
            .unwrap_or_default();
        if differing == 0 {
            let drop = format!("DROP TEMPORARY TABLE {}", staged.name);
            execute(session, &doing, &drop).await?;
        } else {
            self.staged.push(staged);
        }
        Ok(rows)
    }
}

/// From here on everything is locked that is looked at, and nothing stays without the commit.
async fn begin(session: &mut Session, doing: &str) -> Result<(), TaskFailure> {
    let level = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE";
    execute(session, doing, level).await?;
    execute(session, doing, "START TRANSACTION").await
}

/// Two attempts of one job never overlap: an earlier one may still be ending on the server.
async fn take_turn(session: &mut Session, ledger: &str) -> Result<(), TaskFailure> {
    let doing = "waiting for an earlier attempt to end";
    let sql = format!("SELECT GET_LOCK({}, {TURN})", literal(ledger));
    let got: Result<Option<Option<u8>>, Error> = session.conn.query_first(sql).await;
    match got.map_err(|error| failed(doing, &error))? {
        Some(Some(1)) => Ok(()),
        _ => Err(TaskFailure {
            retryable: true,
            ..failure(
                FailureKind::Conflict,
                format!("{doing}: it did not within {TURN} s"),
                "see what it does: SHOW FULL PROCESSLIST",
            )
        }),
    }
}

/// None: no such merge has been done, or it has been forgotten.
async fn read_ledger(session: &mut Session, name: &str) -> Result<Option<Ledger>, TaskFailure> {
    let doing = "reading the record of a merge";
    let there = format!(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = {} AND table_name = 'merge'",
        literal(name)
    );
    let there: Result<Option<u64>, Error> = session.conn.query_first(there).await;
    if there.map_err(|error| failed(doing, &error))? != Some(1) {
        return Ok(None);
    }
    let sql = format!("SELECT document FROM {}", qualified(name, "merge"));
    let text: Result<Option<String>, Error> = session.conn.query_first(sql).await;
    let Some(text) = text.map_err(|error| failed(doing, &error))? else {
        return Ok(None);
    };
    let ledger = serde_json::from_str(&text)
        .map_err(|error| internal(&format!("{doing}: it cannot be understood: {error}")))?;
    Ok(Some(ledger))
}

async fn prepared(located: &Located) -> Result<Session, TaskFailure> {
    let mut session = maintenance(located).await?;
    for statement in SETTINGS {
        execute(&mut session, "preparing a session", statement).await?;
    }
    Ok(session)
}
