//! Take merged rows out again, exactly those, if they are still what the merge wrote.

use holdfast_proto::task::{TaskFailure, UnmergeRows, UnmergedRows};
use tokio_postgres::Client;

use super::{
    apply::{WHAT, note},
    facts::{Facts, Foreign, Relation},
    read_ledger, rules, take_turn, without_rights, writer,
};
use crate::{
    engine::{
        merge::{
            Ledger, LedgerTable, another_database, changed_since, referred_to, table_changed, title,
        },
        postgres::{
            failure::failed,
            quote::{ident, qualified},
            route::ConnectError,
            sessions,
        },
    },
    observe::instances::Located,
    task::Context,
};

/// So many rows are named in a refusal.
const NAMED: usize = 5;

/// The rows of one table, there and in the ledger.
struct Side<'a> {
    ledger: &'a LedgerTable,
    live: &'a Relation,
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
    if spec.forget && is_gone(located, &spec.target.database).await {
        // The record went with it.
        return Ok(UnmergedRows::default());
    }
    let client = writer(located, &spec.target.database).await?;
    tokio::select! {
        undone = run(spec, &client) => undone.map_err(without_rights),
        () = context.cancel.cancelled() => {
            let _ = located.route.cancel(client.cancel_token()).await;
            Err(sessions::cancelled("taking merged rows out"))
        }
    }
}

async fn is_gone(located: &Located, database: &str) -> bool {
    let connected = located.route.connect(database).await;
    matches!(connected, Err(ConnectError::NoDatabase { .. }))
}

async fn run(spec: &UnmergeRows, client: &Client) -> Result<UnmergedRows, TaskFailure> {
    execute(client, "BEGIN").await?;
    take_turn(client, &spec.ledger).await?;
    let ledger = read_ledger(client, &spec.ledger).await?;
    let drop = format!("DROP SCHEMA {} CASCADE", ident(&spec.ledger));
    let mut undone = UnmergedRows {
        existed: ledger.is_some(),
        ..UnmergedRows::default()
    };
    match ledger {
        None if spec.succeeded && !spec.forget => {
            return Err(another_database(&spec.target.database));
        }
        None => {}
        Some(_) if spec.forget => execute(client, &drop).await?,
        Some(mut ledger) => {
            if !ledger.undone {
                (undone.removed, undone.restored) = take_out(client, spec, &ledger).await?;
            }
            if spec.succeeded {
                ledger.undone = true;
                let table = format!("DROP TABLE {}.merge", ident(&spec.ledger));
                execute(client, &table).await?;
                note(client, &spec.ledger, &ledger).await?;
            } else {
                execute(client, &drop).await?;
            }
        }
    }
    execute(client, "COMMIT").await?;
    Ok(undone)
}

async fn take_out(
    client: &Client,
    spec: &UnmergeRows,
    ledger: &Ledger,
) -> Result<(u64, u64), TaskFailure> {
    let read = Facts::read(client).await;
    let facts = read.map_err(|error| failed("reading the tables", &error))?;
    let mut sides = Vec::new();
    for table in &ledger.tables {
        sides.push(side(&facts, table, &spec.ledger)?);
    }
    lock(client, &facts, &sides).await?;
    for side in &sides {
        refuse_changed(client, side).await?;
    }
    for foreign in &facts.foreign {
        refuse_referred(client, &facts, foreign, &sides).await?;
    }
    execute(client, "SET LOCAL session_replication_role = replica").await?;
    let (mut removed, mut restored) = (0, 0);
    // All that goes is gone before anything comes back: it may hold what must be unique.
    for side in &sides {
        let sql = format!(
            "DELETE FROM {} l USING {} s WHERE s.{WHAT} = 'i' AND {}",
            side.live.from(),
            side.rows,
            side.live.same_key("l", "s")
        );
        removed += count(client, &sql).await?;
    }
    for side in &sides {
        let written = side.ledger.written.iter();
        let set = written.map(|name| format!("{0} = s.{0}", ident(name)));
        let set: Vec<_> = set.collect();
        if set.is_empty() {
            continue;
        }
        let sql = format!(
            "UPDATE {} l SET {} FROM {} s WHERE s.{WHAT} = 'w' AND {}",
            side.live.from(),
            set.join(", "),
            side.rows,
            side.live.same_key("l", "s")
        );
        restored += count(client, &sql).await?;
    }
    Ok((removed, restored))
}

fn side<'a>(
    facts: &'a Facts,
    table: &'a LedgerTable,
    ledger: &str,
) -> Result<Side<'a>, TaskFailure> {
    let name = title(&table.schema, &table.name);
    let live = facts.named(&table.schema, &table.name);
    let live = live.ok_or_else(|| table_changed(&name))?;
    let there = |column: &String| live.table.column(column).is_some();
    if live.table.key != table.key || !table.columns.iter().all(there) {
        return Err(table_changed(&name));
    }
    Ok(Side {
        ledger: table,
        live,
        rows: qualified(ledger, &table.rows),
    })
}

async fn lock(client: &Client, facts: &Facts, sides: &[Side<'_>]) -> Result<(), TaskFailure> {
    let ours = |oid| sides.iter().any(|side| side.live.oid == oid);
    let mut locks = std::collections::BTreeMap::new();
    for foreign in &facts.foreign {
        if ours(foreign.parent) || ours(foreign.child) {
            locks.insert(foreign.child, "SHARE");
            locks.insert(foreign.parent, "SHARE");
        }
    }
    for side in sides {
        locks.insert(side.live.oid, "SHARE ROW EXCLUSIVE");
    }
    for (oid, mode) in locks {
        if let Some(relation) = facts.relation(oid) {
            let sql = format!("LOCK TABLE {} IN {mode} MODE", relation.from());
            execute(client, &sql).await?;
        }
    }
    Ok(())
}

async fn refuse_changed(client: &Client, side: &Side<'_>) -> Result<(), TaskFailure> {
    let key = side.ledger.key.first().map(|name| ident(name));
    let columns = side.ledger.columns.iter();
    let differs = columns.map(|name| super::stage::differs(name, "l", "s"));
    let differs: Vec<_> = differs.collect();
    let sql = format!(
        "SELECT {} FROM {} s LEFT JOIN {} l ON {} WHERE s.{WHAT} IN ('i', 'n') AND (l.{} IS NULL OR {})",
        rules::key_text(side.live, "s"),
        side.rows,
        side.live.from(),
        side.live.same_key("l", "s"),
        key.unwrap_or_default(),
        differs.join(" OR ")
    );
    let (found, keys) = some(client, &sql).await?;
    if found == 0 {
        return Ok(());
    }
    Err(changed_since(&side.live.table.title(), found, &keys))
}

/// Rows that stay must find what they refer to; rows that come back too.
async fn refuse_referred(
    client: &Client,
    facts: &Facts,
    foreign: &Foreign,
    sides: &[Side<'_>],
) -> Result<(), TaskFailure> {
    let of = |oid| sides.iter().find(|side| side.live.oid == oid);
    let (Some(child), Some(parent)) = (
        facts.relation(foreign.child),
        facts.relation(foreign.parent),
    ) else {
        return Ok(());
    };
    if let Some(going) = of(foreign.parent) {
        let leaving = match of(foreign.child) {
            // Those go with it, or become what they were.
            Some(side) => format!(
                "AND NOT EXISTS (SELECT FROM {} d WHERE d.{WHAT} IN ('i', 'n') AND {})",
                side.rows,
                child.same_key("c", "d")
            ),
            None => String::new(),
        };
        let sql = format!(
            "SELECT {} FROM {} s JOIN {} c ON {} WHERE s.{WHAT} = 'i' {leaving}",
            rules::key_text(parent, "s"),
            going.rows,
            child.from(),
            rules::refers(foreign, "s", "c")
        );
        let (found, keys) = some(client, &sql).await?;
        if found > 0 {
            let (table, by) = (parent.table.title(), child.table.title());
            return Err(referred_to(&table, &by, found, &keys));
        }
    }
    if let Some(coming) = of(foreign.child) {
        let columns = foreign.child_columns.iter();
        let given = columns.map(|name| format!("s.{} IS NOT NULL", ident(name)));
        let given: Vec<_> = given.collect();
        let sql = format!(
            "SELECT {} FROM {} s WHERE s.{WHAT} = 'w' AND {} AND NOT EXISTS (SELECT FROM {} p WHERE {})",
            rules::key_text(child, "s"),
            coming.rows,
            given.join(" AND "),
            parent.from(),
            rules::refers(foreign, "p", "s")
        );
        let (found, keys) = some(client, &sql).await?;
        if found > 0 {
            let table = format!("{} (what they referred to is gone)", child.table.title());
            return Err(changed_since(&table, found, &keys));
        }
    }
    Ok(())
}

/// How many rows the question has, and the first of them.
async fn some(client: &Client, question: &str) -> Result<(u64, Vec<String>), TaskFailure> {
    let sql = format!(
        "SELECT key, count(*) OVER () FROM ({question}) AS found(key) ORDER BY key LIMIT {NAMED}"
    );
    let rows = client.query(&sql, &[]).await;
    let rows =
        rows.map_err(|error| failed("looking whether merged rows are as they were", &error))?;
    let count = rows.first().map_or(0, |row| row.get::<_, i64>(1));
    let keys = rows.iter().map(|row| row.get(0)).collect();
    Ok((u64::try_from(count).unwrap_or_default(), keys))
}

async fn execute(client: &Client, sql: &str) -> Result<(), TaskFailure> {
    let done = client.batch_execute(sql).await;
    done.map_err(|error| failed("taking merged rows out", &error))
}

async fn count(client: &Client, sql: &str) -> Result<u64, TaskFailure> {
    let done = client.execute(sql, &[]).await;
    done.map_err(|error| failed("taking merged rows out", &error))
}
