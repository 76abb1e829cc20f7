//! Take merged rows out again, exactly those, if they are still what the merge wrote.

use holdfast_proto::task::{TaskFailure, UnmergeRows, UnmergedRows};
use mysql_async::{Error, prelude::Queryable};

use super::{
    apply::{WHAT, note},
    begin,
    facts::{Facts, Foreign, same_key},
    prepared, read_ledger, take_turn,
};
use crate::{
    engine::{
        mariadb::{
            databases::{drop_copy, execute, exists},
            failure::failed,
            quote::{ident, qualified},
            session::{self, Session},
        },
        merge::{
            Ledger, LedgerTable, Table, another_database, changed_since, referred_to, table_changed,
        },
        postgres::sessions::cancelled,
    },
    observe::instances::Located,
    task::Context,
};

/// So many rows are named in a refusal.
const NAMED: usize = 5;
const DOING: &str = "taking merged rows out";

/// The rows of one table, there and in the ledger.
struct Side<'a> {
    ledger: &'a LedgerTable,
    live: &'a Table,
    /// In SQL.
    rows: String,
}

/// Can be repeated.
///
/// # Errors
/// `Conflict` when rows have changed since, other rows refer to them, or the database is another one. Nothing has
/// changed then.
pub async fn undo(
    spec: &UnmergeRows,
    located: &Located,
    context: &Context,
) -> Result<UnmergedRows, TaskFailure> {
    let mut session = prepared(located).await?;
    let id = session.id();
    tokio::select! {
        undone = run(spec, located, &mut session) => undone,
        () = context.cancel.cancelled() => {
            let _ = session::stop(&located.route, id).await;
            Err(cancelled(DOING))
        }
    }
}

async fn run(
    spec: &UnmergeRows,
    located: &Located,
    session: &mut Session,
) -> Result<UnmergedRows, TaskFailure> {
    take_turn(session, &spec.ledger).await?;
    let mut undone = UnmergedRows {
        existed: exists(session, &spec.ledger).await?,
        ..UnmergedRows::default()
    };
    if !spec.forget {
        match read_ledger(session, &spec.ledger).await? {
            None if spec.succeeded => return Err(another_database(&spec.target.database)),
            Some(ledger) if !ledger.undone => {
                (undone.removed, undone.restored) = take_out(session, spec, ledger).await?;
            }
            None | Some(_) => {}
        }
    }
    if spec.forget || !spec.succeeded {
        drop_copy(located, &spec.ledger).await?;
    }
    Ok(undone)
}

async fn take_out(
    session: &mut Session,
    spec: &UnmergeRows,
    mut ledger: Ledger,
) -> Result<(u64, u64), TaskFailure> {
    let read = Facts::read(session, &spec.target.database).await;
    let facts = read.map_err(|error| failed("reading the tables", &error))?;
    let mut sides = Vec::new();
    for table in &ledger.tables {
        sides.push(side(&facts, table, &spec.ledger)?);
    }
    // Deleting by an alias takes a current database, whichever it is.
    let inside = format!("USE {}", ident(&spec.target.database));
    execute(session, DOING, &inside).await?;
    begin(session, DOING).await?;
    for side in &sides {
        refuse_changed(session, &facts, side).await?;
    }
    for foreign in &facts.foreign {
        refuse_referred(session, &facts, foreign, &sides).await?;
    }
    let (mut removed, mut restored) = (0, 0);
    // All that goes is gone before anything comes back: it may hold what must be unique.
    for side in &sides {
        let sql = format!(
            "DELETE l FROM {} l JOIN {} s ON {} WHERE s.{WHAT} = 'i'",
            facts.name_of(&side.live.name),
            side.rows,
            same_key(side.live, "l", "s")
        );
        execute(session, DOING, &sql).await?;
        removed += session.conn.affected_rows();
    }
    for side in &sides {
        let written = side.ledger.written.iter();
        let set = written.map(|name| format!("l.{0} = s.{0}", ident(name)));
        let set: Vec<_> = set.collect();
        if set.is_empty() {
            continue;
        }
        let sql = format!(
            "UPDATE {} l JOIN {} s ON {} SET {} WHERE s.{WHAT} = 'w'",
            facts.name_of(&side.live.name),
            side.rows,
            same_key(side.live, "l", "s"),
            set.join(", ")
        );
        execute(session, DOING, &sql).await?;
        restored += session.conn.affected_rows();
    }
    drop(sides);
    ledger.undone = true;
    note(session, &spec.ledger, &ledger).await?;
    execute(session, DOING, "COMMIT").await?;
    Ok((removed, restored))
}

fn side<'a>(
    facts: &'a Facts,
    table: &'a LedgerTable,
    ledger: &str,
) -> Result<Side<'a>, TaskFailure> {
    let live = facts.table(&table.name);
    let live = live.ok_or_else(|| table_changed(&table.name))?;
    let there = |column: &String| live.column(column).is_some();
    if live.key != table.key || !table.columns.iter().all(there) {
        return Err(table_changed(&table.name));
    }
    Ok(Side {
        ledger: table,
        live,
        rows: qualified(ledger, &table.rows),
    })
}

async fn refuse_changed(
    session: &mut Session,
    facts: &Facts,
    side: &Side<'_>,
) -> Result<(), TaskFailure> {
    let table = side.live;
    let key = table.key.first().map(|name| ident(name));
    let columns = side.ledger.columns.iter().map(String::as_str);
    let question = format!(
        "SELECT {} AS found FROM {} s LEFT JOIN {} l ON {} WHERE s.{WHAT} IN ('i', 'n') AND (l.{} IS NULL OR {})",
        facts.key_text(table, "s"),
        side.rows,
        facts.name_of(&table.name),
        same_key(table, "l", "s"),
        key.unwrap_or_default(),
        facts.differ(&table.name, columns, ("l", "s"))
    );
    let (found, keys) = some(session, &question).await?;
    if found == 0 {
        return Ok(());
    }
    Err(changed_since(&table.name, found, &keys))
}

/// Rows that stay must find what they refer to; rows that come back too.
async fn refuse_referred(
    session: &mut Session,
    facts: &Facts,
    foreign: &Foreign,
    sides: &[Side<'_>],
) -> Result<(), TaskFailure> {
    let of = |(schema, table): &(String, String)| {
        let ours = *schema == facts.database;
        sides.iter().find(|side| ours && side.live.name == *table)
    };
    let child_name = qualified(&foreign.child.0, &foreign.child.1);
    if let Some(going) = of(&foreign.parent) {
        let leaving = match of(&foreign.child) {
            // Those go with it, or become what they were.
            Some(side) => format!(
                "AND NOT EXISTS (SELECT 1 FROM {} d WHERE d.{WHAT} IN ('i', 'n') AND {})",
                side.rows,
                same_key(side.live, "c", "d")
            ),
            None => String::new(),
        };
        let question = format!(
            "SELECT {} AS found FROM {} s JOIN {child_name} c ON {} WHERE s.{WHAT} = 'i' {leaving}",
            facts.key_text(going.live, "s"),
            going.rows,
            foreign.refers("s", "c")
        );
        let (found, keys) = some(session, &question).await?;
        if found > 0 {
            let (table, by) = (&going.live.name, &foreign.child.1);
            return Err(referred_to(table, by, found, &keys));
        }
    }
    if let Some(coming) = of(&foreign.child) {
        let columns = foreign.columns.iter();
        let given = columns.map(|(down, _)| format!("s.{} IS NOT NULL", ident(down)));
        let given: Vec<_> = given.collect();
        let question = format!(
            "SELECT {} AS found FROM {} s WHERE s.{WHAT} = 'w' AND {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
            facts.key_text(coming.live, "s"),
            coming.rows,
            given.join(" AND "),
            qualified(&foreign.parent.0, &foreign.parent.1),
            foreign.refers("p", "s")
        );
        let (found, keys) = some(session, &question).await?;
        if found > 0 {
            let table = format!("{} (what they referred to is gone)", coming.live.name);
            return Err(changed_since(&table, found, &keys));
        }
    }
    Ok(())
}

/// How many rows the question has, and the first of them.
async fn some(session: &mut Session, question: &str) -> Result<(u64, Vec<String>), TaskFailure> {
    let explain = |error: Error| failed("looking whether merged rows are as they were", &error);
    let count = format!("SELECT COUNT(*) FROM ({question}) f");
    let count: Option<u64> = session.conn.query_first(count).await.map_err(explain)?;
    let count = count.unwrap_or_default();
    if count == 0 {
        return Ok((0, Vec::new()));
    }
    let keys = format!("SELECT found FROM ({question}) f ORDER BY found LIMIT {NAMED}");
    let keys: Vec<String> = session.conn.query(keys).await.map_err(explain)?;
    Ok((count, keys))
}
