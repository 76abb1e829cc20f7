//! The schema stream: pg_dump's archive without rows, as it comes.

use holdfast_proto::{
    image::{CloseStream, Hash128, ImageStream},
    task::{FailureKind, TaskFailure},
};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::Xxh3Default;

use super::{
    agrees,
    deliver::{Delivery, Produced},
};
use crate::engine::postgres::{
    failure::failure, image::Piece, plan::Plan, quote::dump_pattern, tools::Toolbox,
};

/// Pieces of the archive are gathered up to this size.
const PIECE: usize = 256 << 10;

/// For pg_dump: everything but rows, as the snapshot sees it, without what the plan leaves out.
pub(super) fn arguments(snapshot: &str, plan: &Plan) -> Vec<String> {
    let mut arguments = vec![
        "-Fc".to_owned(),
        // The archive is read here, and compressing it would only cost.
        "-Z0".to_owned(),
        "--encoding=UTF8".to_owned(),
        "--section=pre-data".to_owned(),
        "--section=post-data".to_owned(),
        // From 17 on their owners and grants are among the data: they travel as a relation.
        "--no-blobs".to_owned(),
        format!("--snapshot={snapshot}"),
    ];
    for (schema, name) in &plan.left_out {
        arguments.push(format!("--exclude-table={}", dump_pattern(schema, name)));
    }
    arguments
}

/// Runs pg_dump and delivers what it writes; gives hash and length.
pub(super) async fn send(
    toolbox: &Toolbox<'_>,
    database: &str,
    arguments: &[String],
    stream: ImageStream,
    delivery: &Delivery,
) -> Result<(Hash128, u64), TaskFailure> {
    let produce = |pieces| produce(toolbox, database, arguments, delivery, pieces);
    let doing = "sending the schema";
    let (closes, receipt) = delivery.stream(&stream, doing, produce).await?;
    let mut closes = closes.into_iter();
    // pg_dump notes the time, so that no two of its archives are the same.
    let close = closes
        .find(|close| agrees(&receipt, 0, close.bytes, close.bytes_hash))
        .ok_or_else(|| {
            failure(
                FailureKind::DataMismatch,
                "the schema arrived as something else than was sent",
                "",
            )
        })?;
    Ok((close.bytes_hash, close.bytes))
}

async fn produce(
    toolbox: &Toolbox<'_>,
    database: &str,
    arguments: &[String],
    delivery: &Delivery,
    pieces: mpsc::Sender<Piece>,
) -> Produced<CloseStream> {
    match dump(toolbox, database, arguments, delivery, &pieces).await {
        Ok(Some(close)) if pieces.send(Piece::Close(close)).await.is_ok() => Produced::Whole(close),
        Ok(_) => Produced::Stopped,
        Err(failure) => Produced::Failed(failure),
    }
}

/// None when nobody takes the pieces any more; pg_dump is killed then.
async fn dump(
    toolbox: &Toolbox<'_>,
    database: &str,
    arguments: &[String],
    delivery: &Delivery,
    pieces: &mpsc::Sender<Piece>,
) -> Result<Option<CloseStream>, TaskFailure> {
    let mut tool = toolbox.dump(database, arguments).await?;
    let mut hash = Xxh3Default::new();
    let mut total = 0;
    let mut gathered = Vec::with_capacity(PIECE);
    while let Some(chunk) = tool.read().await? {
        gathered.extend_from_slice(&chunk);
        if gathered.len() < PIECE {
            continue;
        }
        let piece = std::mem::take(&mut gathered);
        hash.update(&piece);
        total += piece.len() as u64;
        delivery.throttle.pass(piece.len() as u64).await;
        if pieces.send(Piece::Data(piece.into())).await.is_err() {
            return Ok(None);
        }
    }
    // Half an archive must not be closed as whole.
    tool.end().await?;
    hash.update(&gathered);
    total += gathered.len() as u64;
    if !gathered.is_empty() && pieces.send(Piece::Data(gathered.into())).await.is_err() {
        return Ok(None);
    }
    Ok(Some(CloseStream {
        rows: 0,
        bytes: total,
        bytes_hash: Hash128(hash.digest128()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_named_exactly() {
        let plan = Plan {
            relations: Vec::new(),
            sequences: Vec::new(),
            left_out: vec![("a.b".to_owned(), "c\"*d".to_owned())],
            locks: Vec::new(),
            with_large_objects: false,
            estimated_bytes: 0,
        };
        let arguments = arguments("00000003-1", &plan);
        assert!(arguments.contains(&r#"--exclude-table="a.b"."c""*d""#.to_owned()));
        assert!(arguments.contains(&"--snapshot=00000003-1".to_owned()));
        assert!(arguments.contains(&"--no-blobs".to_owned()));
    }
}
