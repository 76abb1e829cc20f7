//! One part of a table: from the stream into the server, for good or not at all.

use std::pin::Pin;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use holdfast_proto::{
    image::{CloseStream, CopyFormat, Hash128, Part, RelationKind, RelationPlan},
    task::{FailureKind, TaskFailure},
};
use tokio_postgres::{Client, CopyInSink};
use xxhash_rust::xxh3::Xxh3Default;

use super::{accept::Trouble, pool::Pool};
use crate::engine::postgres::{
    copy_sql::{self, BINARY_HEADER, BINARY_TRAILER},
    failure::{failed, failure},
    image::{Body, Interrupted, Piece},
    meter::Meter,
    quote::qualified,
};

/// Small sends: the server looks at a message when it has all of it.
const SEND_BYTES: usize = 64 << 10;

/// A part that the server has, in a transaction that is still open: dropped, nothing of it stays.
pub(super) struct Loaded {
    client: Client,
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
    let client = pool.writer().await?;
    let (begin, freeze) = opening(plan, by_root);
    client
        .batch_execute(&begin)
        .await
        .map_err(|error| failed(&doing, &error))?;
    let mut counted = (0, 0);
    let stored = copy(&client, meter, plan, freeze, body, &doing, &mut counted).await;
    let close = match stored {
        Ok(close) => close,
        Err(trouble) => {
            // Dropping the session rolls back.
            meter.unflowed(counted.0, counted.1);
            return Err(trouble);
        }
    };
    if copy_sql::makes_large_objects(plan) {
        client
            .batch_execute(&copy_sql::make_large_objects())
            .await
            .map_err(|error| failed("making the large objects", &error))?;
    }
    Ok(Loaded {
        client,
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
            client,
            part,
            parts,
            doing,
        } = self;
        commit(&client, parts, &doing).await?;
        pool.give_back(client);
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
    client: &Client,
    meter: &Meter,
    plan: &RelationPlan,
    freeze: bool,
    mut body: Body,
    doing: &str,
    counted: &mut (u64, u64),
) -> Result<CloseStream, Trouble> {
    let explain = |error: tokio_postgres::Error| Trouble::Fatal(failed(doing, &error));
    let sql = copy_sql::into(plan, freeze);
    let sink = client.copy_in::<_, Bytes>(&sql).await.map_err(explain)?;
    let mut sink: Pin<Box<CopyInSink<Bytes>>> = Box::pin(sink);
    let binary = plan.format == CopyFormat::Binary;
    if binary {
        let header = Bytes::from_static(BINARY_HEADER);
        sink.feed(header).await.map_err(explain)?;
    }
    let mut hash = Xxh3Default::new();
    let mut bytes = 0;
    let close = loop {
        match body.next().await {
            Some(Ok(Piece::Data(mut piece))) => {
                hash.update(&piece);
                bytes += piece.len() as u64;
                while !piece.is_empty() {
                    let length = piece.len().min(SEND_BYTES);
                    sink.send(piece.split_to(length)).await.map_err(explain)?;
                    meter.flowed(length as u64, 0);
                    counted.0 += length as u64;
                }
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
        let trailer = Bytes::from_static(BINARY_TRAILER);
        sink.feed(trailer).await.map_err(explain)?;
    }
    let rows = sink.as_mut().finish().await.map_err(explain)?;
    if rows != close.rows {
        return Err(changed(doing, format!("{rows} rows of {}", close.rows)).into());
    }
    meter.flowed(0, rows);
    counted.1 = rows;
    Ok(close)
}

/// A part of several is only added: if it is not known whether it was, it must not be added again.
async fn commit(client: &Client, parts: u32, doing: &str) -> Result<(), Trouble> {
    match client.batch_execute("COMMIT").await {
        Ok(()) => Ok(()),
        Err(error) if error.as_db_error().is_none() && parts == 1 => {
            Err(Interrupted(format!("{doing}: the server went away at the commit")).into())
        }
        Err(error) => Err(Trouble::Fatal(failed(
            &format!("{doing}, at the commit"),
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
