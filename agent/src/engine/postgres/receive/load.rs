//! One part of a table: from the stream into the server, for good or not at all.

use futures::StreamExt;
use holdfast_proto::{
    image::{CloseStream, CopyFormat, Hash128, Part, RelationKind, RelationPlan},
    task::{FailureKind, TaskFailure},
};
use xxhash_rust::xxh3::Xxh3Default;

use super::{accept::Trouble, pool::Pool};
use crate::engine::postgres::{
    copy_sql::{self, BINARY_HEADER, BINARY_TRAILER},
    failure::{failure, raw},
    image::{Body, Interrupted, Piece},
    meter::Meter,
    quote::qualified,
    wire::{RawError, RawSession},
};

/// A part that the server has, in a transaction that is still open: dropped, nothing of it stays.
pub(super) struct Loaded {
    session: RawSession,
    part: Part,
    parts: u32,
    doing: String,
}

/// Loads the part in one transaction. On any error nothing of it stays.
pub(super) async fn part(
    pool: &Pool,
    meter: &Meter,
    plan: &RelationPlan,
    by_root: bool,
    part: Part,
    body: Body,
) -> Result<Loaded, Trouble> {
    let name = format!("{}.{}", plan.schema, plan.name);
    let doing = format!("loading {name} (part {})", part.index);
    let mut session = pool.loader().await?;
    let (begin, freeze) = opening(plan, by_root);
    session
        .execute(&begin)
        .await
        .map_err(|error| raw(&doing, &error))?;
    let mut counted = (0, 0);
    let stored = copy(
        &mut session,
        meter,
        plan,
        freeze,
        body,
        &doing,
        &mut counted,
    )
    .await;
    let close = match stored {
        Ok(close) => close,
        Err(trouble) => {
            // Dropping the session rolls back.
            meter.unflowed(counted.0, counted.1);
            return Err(trouble);
        }
    };
    if copy_sql::makes_large_objects(plan) {
        session
            .execute(&copy_sql::make_large_objects())
            .await
            .map_err(|error| raw("making the large objects", &error))?;
    }
    Ok(Loaded {
        session,
        part: Part {
            rows: close.rows,
            bytes: close.bytes,
            bytes_hash: close.bytes_hash,
            ..part
        },
        parts: plan.parts,
        doing,
    })
}

impl Loaded {
    /// Commits, and gives the session back. Once begun it must be seen to its end: a COMMIT that is on its
    /// way happens whether somebody waits for it or not.
    pub(super) async fn commit(self, pool: &Pool) -> Result<Part, Trouble> {
        let Self {
            mut session,
            part,
            parts,
            doing,
        } = self;
        commit(&mut session, parts, &doing).await?;
        pool.give_back_loader(session);
        Ok(part)
    }
}

/// What the transaction begins with, and whether rows may be written frozen.
fn opening(plan: &RelationPlan, by_root: bool) -> (String, bool) {
    let table = qualified(&plan.schema, &plan.name);
    match plan.kind {
        RelationKind::Table if plan.parts == 1 && !by_root => {
            (format!("BEGIN; TRUNCATE ONLY {table}"), true)
        }
        RelationKind::Table if plan.parts == 1 => (format!("BEGIN; TRUNCATE {table}"), false),
        RelationKind::Table => ("BEGIN".to_owned(), false),
        RelationKind::LargeObjects if copy_sql::makes_large_objects(plan) => {
            (format!("BEGIN; {}", copy_sql::await_large_objects()), false)
        }
        RelationKind::LargeObjects => (format!("BEGIN; DELETE FROM {table}"), false),
        // What the extension's script put there itself and the filter covers.
        RelationKind::ExtensionConfig => (
            format!("BEGIN; DELETE FROM ONLY {table} {}", plan.filter),
            false,
        ),
    }
}

async fn copy(
    session: &mut RawSession,
    meter: &Meter,
    plan: &RelationPlan,
    freeze: bool,
    mut body: Body,
    doing: &str,
    counted: &mut (u64, u64),
) -> Result<CloseStream, Trouble> {
    let explain = |error: RawError| Trouble::Fatal(raw(doing, &error));
    let sql = copy_sql::into(plan, freeze);
    let mut copy = session.copy_in(&sql).await.map_err(explain)?;
    let binary = plan.format == CopyFormat::Binary;
    if binary {
        copy.send(BINARY_HEADER).await.map_err(explain)?;
    }
    let mut hash = Xxh3Default::new();
    let mut bytes = 0;
    let close = loop {
        match body.next().await {
            Some(Ok(Piece::Data(piece))) => {
                hash.update(&piece);
                let length = piece.len() as u64;
                bytes += length;
                copy.send(&piece).await.map_err(explain)?;
                meter.flowed(length, 0);
                counted.0 += length;
            }
            Some(Ok(Piece::Close(close))) => break close,
            Some(Err(interrupted)) => return Err(interrupted.into()),
            None => return Err(Interrupted("it ended before its close".to_owned()).into()),
        }
    };
    let seen = (bytes, Hash128(hash.digest128()));
    if seen != (close.bytes, close.bytes_hash) {
        return Err(changed(doing, format!("{bytes} bytes of {}", close.bytes)).into());
    }
    if binary {
        copy.send(BINARY_TRAILER).await.map_err(explain)?;
    }
    let rows = copy.finish().await.map_err(explain)?;
    if rows != close.rows {
        return Err(changed(doing, format!("{rows} rows of {}", close.rows)).into());
    }
    meter.flowed(0, rows);
    counted.1 = rows;
    Ok(close)
}

/// A part of several is only added: if it is not known whether it was, it must not be added again.
async fn commit(session: &mut RawSession, parts: u32, doing: &str) -> Result<(), Trouble> {
    match session.execute("COMMIT").await {
        Ok(()) => Ok(()),
        Err(RawError::Broken(_)) if parts == 1 => {
            Err(Interrupted(format!("{doing}: the server went away at the commit")).into())
        }
        Err(error) => Err(Trouble::Fatal(raw(
            format!("{doing}, at the commit"),
            &error,
        ))),
    }
}

fn changed(doing: &str, how: String) -> TaskFailure {
    failure(
        FailureKind::DataMismatch,
        format!("{doing}: what arrived is not what was sent ({how})"),
        "try again; if it comes back, look at the memory and the network of both hosts",
    )
}
