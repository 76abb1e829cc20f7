//! One part of a table: from the stream into the server, for good or not at all.

use std::io;

use bytes::Bytes;
use futures::StreamExt as _;
use holdfast_proto::{
    image::{CloseStream, Hash128, Part, RelationPlan},
    task::{FailureKind, TaskFailure},
};
use mysql_async::{Error, prelude::Queryable};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::Xxh3Default;

use super::{Target, accept::Trouble};
use crate::engine::{
    mariadb::{document::Table, failure::failed, quote::qualified, rows, session::Session},
    postgres::{
        failure::failure,
        image::{Body, Interrupted, Piece},
        meter::Meter,
    },
};

/// Pieces between the stream and the server.
const WAITING: usize = 2;

/// Loads the part in one transaction. Gives it as it is stored, with what the server remarked.
///
/// A table that is one part is emptied before: whatever an earlier attempt left there goes.
pub(super) async fn part(
    target: &Target,
    plan: &RelationPlan,
    table: &Table,
    part: Part,
    body: Body,
    superseded: &CancellationToken,
) -> Result<(Part, Option<String>), Trouble> {
    let doing = format!("loading {} (part {})", plan.name, part.index);
    let explain = |error: Error| Trouble::Fatal(failed(&doing, &error));
    let mut session = target.writer().await?;
    if plan.parts == 1 {
        let sql = format!(
            "TRUNCATE TABLE {}",
            qualified(&target.database, &table.name)
        );
        session.conn.query_drop(sql).await.map_err(explain)?;
    }
    session
        .conn
        .query_drop("START TRANSACTION")
        .await
        .map_err(explain)?;
    let mut counted = 0;
    let sql = rows::load(&target.database, table);
    let loading = load(&mut session, &sql, body, &target.meter, &mut counted);
    let loaded = tokio::select! {
        loaded = loading => loaded,
        () = superseded.cancelled() => Err(Interrupted("it was sent again".to_owned()).into()),
    };
    let (close, server_rows) = match loaded {
        Ok(loaded) => loaded,
        Err(trouble) => {
            // The end of the session takes back what it did.
            target.meter.unflowed(counted, 0);
            return Err(match trouble {
                Trouble::Fatal(failure) => Trouble::Fatal(TaskFailure {
                    message: format!("{doing}: {}", failure.message),
                    ..failure
                }),
                interrupted => interrupted,
            });
        }
    };
    let notice = remarks(&mut session, &plan.name).await.map_err(explain)?;
    if server_rows != close.rows {
        let remark = notice.unwrap_or_default();
        let message = format!(
            "{doing}: {server_rows} rows of {} were stored {remark}",
            close.rows
        );
        return Err(failure(
            FailureKind::DataMismatch,
            message,
            "see what the tables of both servers hold",
        )
        .into());
    }
    commit(&mut session, plan, &doing).await?;
    target.meter.flowed(0, close.rows);
    let stored = Part {
        rows: close.rows,
        bytes: close.bytes,
        bytes_hash: close.bytes_hash,
        ..part
    };
    Ok((stored, notice))
}

/// A part of several is only added: if it is not known whether it was, it must not be added again.
async fn commit(session: &mut Session, plan: &RelationPlan, doing: &str) -> Result<(), Trouble> {
    match session.conn.query_drop("COMMIT").await {
        Ok(()) => Ok(()),
        Err(error) if error.is_fatal() && plan.parts == 1 => {
            Err(Interrupted(format!("{doing}: the server went away at the commit")).into())
        }
        Err(error) => Err(Trouble::Fatal(failed(doing, &error))),
    }
}

async fn load(
    session: &mut Session,
    sql: &str,
    body: Body,
    meter: &Meter,
    counted: &mut u64,
) -> Result<(CloseStream, u64), Trouble> {
    let (pieces, rows) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    let rows = ReceiverStream::new(rows);
    session
        .conn
        .set_infile_handler(async move { Ok(rows.boxed()) });
    let loading = session.conn.query_drop(sql);
    let (fed, loaded) = tokio::join!(feed(body, pieces, meter, counted), loading);
    let close = match (fed, loaded) {
        // Of rows that break off in the middle the server may say anything.
        (Err(trouble), _) => return Err(trouble),
        (Ok(_), Err(error)) => return Err(failed("the server", &error).into()),
        (Ok(Some(close)), Ok(())) => close,
        (Ok(None), Ok(())) => return Err(Interrupted("the server took no more".to_owned()).into()),
    };
    Ok((close, session.conn.affected_rows()))
}

/// Hands the stream to the server, and checks it against its close. None when the server takes no more.
async fn feed(
    mut body: Body,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    meter: &Meter,
    counted: &mut u64,
) -> Result<Option<CloseStream>, Trouble> {
    let mut hash = Xxh3Default::new();
    let mut bytes = 0;
    let broken = |interrupted: Interrupted| io::Error::other(interrupted.0);
    loop {
        match body.next().await {
            Some(Ok(Piece::Data(piece))) => {
                hash.update(&piece);
                let length = piece.len() as u64;
                bytes += length;
                if pieces.send(Ok(piece)).await.is_err() {
                    return Ok(None);
                }
                meter.flowed(length, 0);
                *counted += length;
            }
            Some(Ok(Piece::Close(close))) => {
                let seen = (bytes, Hash128(hash.digest128()));
                if seen == (close.bytes, close.bytes_hash) {
                    return Ok(Some(close));
                }
                let message = format!("{bytes} bytes arrived of {}", close.bytes);
                // So that the server does not take it for the end.
                let _ = pieces.send(Err(io::Error::other(message.clone()))).await;
                return Err(failure(FailureKind::DataMismatch, message, "").into());
            }
            ended => {
                let interrupted = match ended {
                    Some(Err(interrupted)) => interrupted,
                    _ => Interrupted("it ended before its close".to_owned()),
                };
                let _ = pieces.send(Err(broken(interrupted.clone()))).await;
                return Err(interrupted.into());
            }
        }
    }
}

/// The first thing that the server remarked on the rows.
async fn remarks(session: &mut Session, table: &str) -> Result<Option<String>, Error> {
    if session.conn.get_warnings() == 0 {
        return Ok(None);
    }
    let first: Option<(String, u16, String)> =
        session.conn.query_first("SHOW WARNINGS LIMIT 1").await?;
    Ok(first.map(|(_, code, message)| format!("loading {table}: {message} ({code})")))
}
