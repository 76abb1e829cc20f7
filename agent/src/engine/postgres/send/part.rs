//! One reader: takes parts from the work and delivers each, over one session as long as it holds.

use std::sync::Arc;

use holdfast_proto::{
    image::{CloseStream, Hash128, ImageStream, Part},
    task::{FailureKind, TaskFailure},
};
use tokio::sync::{Mutex, mpsc};
use tracing::warn;
use xxhash_rust::xxh3::Xxh3Default;

use super::{
    Work, agrees,
    deliver::{Delivery, Produced},
};
use crate::engine::postgres::{
    copy_sql,
    failure::{failure, raw},
    image::Piece,
    plan::Travelling,
    snapshot::Snapshot,
    wire::{RawError, RawSession, Tally},
};
use holdfast_proto::image::CopyFormat;

/// Where a reader sits.
#[derive(Default)]
struct Seat {
    session: Option<RawSession>,
    /// Bytes and rows that the last attempt added to the meter.
    counted: (u64, u64),
}

/// What one reading of a part came to.
struct Read {
    tally: Tally,
    bytes_hash: Hash128,
}

pub(super) async fn reader(
    snapshot: Arc<Snapshot>,
    work: Arc<Work>,
    delivery: Arc<Delivery>,
) -> Result<(), TaskFailure> {
    let seat = Mutex::new(Seat::default());
    while let Some((at, travelling, part)) = work.next() {
        seat.lock().await.counted = (0, 0);
        let name = format!("{}.{}", travelling.plan.schema, travelling.plan.name);
        delivery.meter.current(&name);
        let doing = format!("sending {name} (part {})", part.index);
        let stream = ImageStream::Data {
            relation: travelling.plan.id,
            part,
        };
        let sql = copy_sql::out(&travelling.plan, Some(&part), travelling.by_root);
        let (reads, receipt) = delivery
            .stream(&stream, &doing, |pieces| {
                produce(&snapshot, &seat, &delivery, travelling, &sql, pieces)
            })
            .await?;
        let stored = reads.iter().find(|read| {
            let Read { tally, bytes_hash } = read;
            agrees(&receipt, tally.rows, tally.bytes, *bytes_hash)
        });
        let Some(Read { tally, bytes_hash }) = stored else {
            return Err(failure(
                FailureKind::DataMismatch,
                format!(
                    "{doing}: the receiver stored {} rows ({} bytes), which is not what was read",
                    receipt.rows, receipt.bytes
                ),
                "",
            ));
        };
        let part = Part {
            rows: tally.rows,
            bytes: tally.bytes,
            bytes_hash: *bytes_hash,
            ..part
        };
        work.done(at, part, tally.fingerprint);
        delivery.meter.item_done();
    }
    Ok(())
}

async fn produce(
    snapshot: &Snapshot,
    seat: &Mutex<Seat>,
    delivery: &Delivery,
    travelling: &Travelling,
    sql: &str,
    pieces: mpsc::Sender<Piece>,
) -> Produced<Read> {
    let name = format!("{}.{}", travelling.plan.schema, travelling.plan.name);
    let mut seat = seat.lock().await;
    let (bytes, rows) = std::mem::take(&mut seat.counted);
    delivery.meter.unflowed(bytes, rows);
    let mut open = match seat.session.take() {
        Some(open) => open,
        None => match snapshot.reader().await {
            Ok(open) => open,
            Err(error) => return Produced::Failed(raw(format!("opening {name}"), &error)),
        },
    };
    let binary = travelling.plan.format == CopyFormat::Binary;
    match copy(&mut open, sql, binary, delivery, &pieces, &mut seat.counted).await {
        Ok(Some(read)) => {
            seat.session = Some(open);
            let close = CloseStream {
                rows: read.tally.rows,
                bytes: read.tally.bytes,
                bytes_hash: read.bytes_hash,
            };
            // Read whole also when nobody takes the close: the receipt will tell.
            let _ = pieces.send(Piece::Close(close)).await;
            Produced::Whole(read)
        }
        Ok(None) => Produced::Stopped,
        Err(error) => {
            if error.is_broken()
                && let Err(gone) = snapshot.check().await
            {
                warn!(table = %name, %error, "the snapshot is gone");
                return Produced::Failed(gone);
            }
            Produced::Failed(raw(format!("reading {name} from the source"), &error))
        }
    }
}

/// None when nobody takes the pieces any more: the session is in the middle of a COPY then.
async fn copy(
    session: &mut RawSession,
    sql: &str,
    binary: bool,
    delivery: &Delivery,
    pieces: &mpsc::Sender<Piece>,
    counted: &mut (u64, u64),
) -> Result<Option<Read>, RawError> {
    let mut out = session.copy_out(sql, binary).await?;
    let mut hash = Xxh3Default::new();
    while let Some(batch) = out.next().await? {
        let length = batch.len() as u64;
        hash.update(&batch);
        delivery.throttle.pass(length).await;
        if pieces.send(Piece::Data(batch)).await.is_err() {
            return Ok(None);
        }
        delivery.meter.flowed(length, out.rows() - counted.1);
        *counted = (counted.0 + length, out.rows());
    }
    Ok(Some(Read {
        tally: out.tally()?,
        bytes_hash: Hash128(hash.digest128()),
    }))
}
