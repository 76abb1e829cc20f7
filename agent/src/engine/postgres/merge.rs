//! Rows that only a kept database has are merged into the live one, and out again.
//!
//! Compared before anything is locked, judged and written in one transaction of the live database. What the way
//! back needs is written in the same transaction, into a schema of its own: so a killed agent has done all or
//! nothing, and who comes next sees which.

mod apply;
mod facts;
mod rules;
mod stage;
mod undo;

use holdfast_proto::task::{FailureKind, MergeRows, MergedRows, MergedTable, TaskFailure};
use tokio_postgres::{Client, error::SqlState};

use super::{
    failure::{failed, failure},
    quote::{ident, literal},
    sessions, settings,
};
use crate::{
    engine::merge::{Ledger, Pairing, pair, progress},
    observe::instances::Located,
    task::Context,
};

use facts::Facts;
use stage::{Sides, Staged};

pub use undo::undo;

/// A merge in the making.
#[derive(Debug)]
struct Work {
    facts: Facts,
    staged: Vec<Staged>,
    tables: Vec<MergedTable>,
}

/// # Errors
/// `Invalid` when a database is not there or a pattern matches nothing; `Refused` without the rights of a superuser;
/// `Conflict` when locks are not had in time. Nothing has changed then.
pub async fn merge(
    spec: &MergeRows,
    located: &Located,
    context: &Context,
) -> Result<MergedRows, TaskFailure> {
    let sides = Sides {
        live: writer(located, &spec.target.database).await?,
        kept: reader(located, &spec.kept).await?,
    };
    let (live_token, kept_token) = (sides.live.cancel_token(), sides.kept.cancel_token());
    tokio::select! {
        merged = run(spec, &sides, context) => merged,
        () = context.cancel.cancelled() => {
            // The sessions would go on with their statements.
            let _ = located.route.cancel(kept_token).await;
            let _ = located.route.cancel(live_token).await;
            Err(sessions::cancelled("merging rows"))
        }
    }
}

async fn run(
    spec: &MergeRows,
    sides: &Sides,
    context: &Context,
) -> Result<MergedRows, TaskFailure> {
    if let Some(ledger) = read_ledger(&sides.live, &spec.ledger).await? {
        return Ok(ledger.report);
    }
    let mut work = compare(spec, sides, context).await?;
    let client = &sides.live;
    let doing = format!("merging rows into {:?}", spec.target.database);
    let begin = if spec.dry_run {
        "BEGIN ISOLATION LEVEL REPEATABLE READ"
    } else {
        "BEGIN"
    };
    let explain = |error| without_rights(failed(&doing, &error));
    client.batch_execute(begin).await.map_err(explain)?;
    if !spec.dry_run {
        take_turn(client, &spec.ledger).await?;
        if let Some(ledger) = read_ledger(client, &spec.ledger).await? {
            return Ok(ledger.report);
        }
        lock(client, &work).await?;
    }
    work.judge(client, spec.take).await?;
    let mut ledger = Ledger::default();
    if !spec.dry_run {
        ledger.tables = work.apply(client, spec).await.map_err(without_rights)?;
    }
    work.tables
        .sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    ledger.report.tables = work.tables;
    let end = if spec.dry_run {
        "ROLLBACK"
    } else {
        apply::note(client, &spec.ledger, &ledger).await?;
        "COMMIT"
    };
    client.batch_execute(end).await.map_err(explain)?;
    Ok(ledger.report)
}

/// Every table, one after the other. What cannot be compared is told, and does not stop the others.
async fn compare(spec: &MergeRows, sides: &Sides, context: &Context) -> Result<Work, TaskFailure> {
    let explain = |error| failed("reading the tables of both databases", &error);
    let kept = Facts::read(&sides.kept).await.map_err(explain)?;
    let facts = Facts::read(&sides.live).await.map_err(explain)?;
    let tables = |facts: &Facts| -> Vec<_> {
        let tables = facts.tables.iter();
        tables.map(|relation| relation.table.clone()).collect()
    };
    let Pairing { pairs, unmergeable } = pair(&tables(&kept), &tables(&facts), &spec.tables)?;
    let mut work = Work {
        facts,
        staged: Vec::new(),
        tables: unmergeable,
    };
    let count = pairs.len() as u64;
    for (number, pair) in pairs.into_iter().enumerate() {
        let (schema, name) = (&pair.live.schema, &pair.live.name);
        progress(context, number as u64, count, &pair.live.title());
        let (Some(theirs), Some(ours)) = (kept.named(schema, name), work.facts.named(schema, name))
        else {
            continue;
        };
        let mut table = MergedTable {
            left_out_columns: pair.left_out.clone(),
            ..pair.unmergeable("")
        };
        match sides.compare(theirs, ours, &pair, number).await {
            Ok(compared) => {
                // Those that differ are taken off when they are judged.
                table.equal = compared.rows;
                work.staged.extend(compared.staged);
            }
            Err(failure) if failure.kind == FailureKind::Invalid => {
                table.unmergeable = failure.message;
            }
            Err(failure) => return Err(failure),
        }
        work.tables.push(table);
    }
    Ok(work)
}

/// Two attempts of one job never overlap: an earlier one may still be ending on the server.
async fn take_turn(client: &Client, ledger: &str) -> Result<(), TaskFailure> {
    let sql = format!(
        "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({}, 0))",
        literal(ledger)
    );
    let taken = client.batch_execute(&sql).await;
    taken.map_err(|error| failed("waiting for an earlier attempt to end", &error))
}

/// Nobody writes to what rows come into, or what they refer to; everybody reads.
async fn lock(client: &Client, work: &Work) -> Result<(), TaskFailure> {
    let mut locks = std::collections::BTreeMap::new();
    let staged = |oid| work.staged.iter().any(|table| table.oid == oid);
    for foreign in &work.facts.foreign {
        if staged(foreign.child) || staged(foreign.parent) {
            locks.insert(foreign.parent, "SHARE");
            locks.insert(foreign.child, "SHARE");
        }
    }
    for table in &work.staged {
        locks.insert(table.oid, "SHARE ROW EXCLUSIVE");
    }
    for (oid, mode) in locks {
        if let Some(relation) = work.facts.relation(oid) {
            let sql = format!("LOCK TABLE {} IN {mode} MODE", relation.from());
            let doing = format!("keeping {} from being written to", relation.table.title());
            let locked = client.batch_execute(&sql).await;
            locked.map_err(|error| failed(&doing, &error))?;
        }
    }
    Ok(())
}

/// None: no such merge has been, or it has been forgotten.
async fn read_ledger(client: &Client, name: &str) -> Result<Option<Ledger>, TaskFailure> {
    let doing = "reading the record of a merge";
    let sql = format!("SELECT document FROM {}.merge", ident(name));
    let there = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
                 ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'merge')";
    let there = client.query_one(there, &[&name]).await;
    let there: bool = there.map_err(|error| failed(doing, &error))?.get(0);
    if !there {
        return Ok(None);
    }
    let row = client.query_one(&sql, &[]).await;
    let text: String = row.map_err(|error| failed(doing, &error))?.get(0);
    let ledger = serde_json::from_str(&text).map_err(|error| {
        let message = format!("{doing}: it cannot be understood: {error}");
        failure(FailureKind::Internal, message, "upgrade the agent")
    })?;
    Ok(Some(ledger))
}

async fn writer(located: &Located, database: &str) -> Result<Client, TaskFailure> {
    let client = connect(located, database).await?;
    // What was told to be merged must not be lost with the server's next crash.
    let sql = format!(
        "{}SET synchronous_commit = on; {}",
        settings::writer(64),
        settings::LOCK_LIMIT
    );
    let set = client.batch_execute(&sql).await;
    set.map_err(|error| failed("preparing a session", &error))?;
    Ok(client)
}

async fn reader(located: &Located, database: &str) -> Result<Client, TaskFailure> {
    let client = connect(located, database).await?;
    let sql = format!("{}BEGIN", settings::reader());
    let set = client.batch_execute(&sql).await;
    set.map_err(|error| failed("preparing a session", &error))?;
    Ok(client)
}

async fn connect(located: &Located, database: &str) -> Result<Client, TaskFailure> {
    let connecting = located.route.connect(database).await;
    connecting.map_err(|error| error.into_failure(&located.name))
}

/// Triggers rest for a superuser only.
fn without_rights(failure: TaskFailure) -> TaskFailure {
    let denied = failure.kind == FailureKind::Refused;
    if !denied || !failure.message.contains("session_replication_role") {
        return failure;
    }
    TaskFailure {
        advice: "rows are merged with the triggers at rest, which takes a superuser: \
                 holdfast-agent credential set INSTANCE --user NAME"
            .to_owned(),
        ..failure
    }
}

/// A schema of that name is there, but not of a merge.
fn is_taken(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::DUPLICATE_SCHEMA)
}
