//! The schema stream: pre-data through pg_restore, the rest of its contents kept for later.

use std::collections::BTreeSet;

use futures::StreamExt;
use holdfast_proto::{
    image::{CloseStream, Hash128, RelationPlan, SequenceState},
    task::{FailureKind, TaskFailure},
};
use xxhash_rust::xxh3::Xxh3Default;

use super::{Target, accept::Trouble, pool::Pool, state::Contents};
use crate::engine::postgres::{
    archive::{Entry, Section, TocReader},
    empty,
    failure::{failed, failure},
    image::{Body, Interrupted, Piece},
    tools::Tool,
};

/// What the sender says beside the archive.
pub(super) struct Announced {
    pub(super) relations: Vec<RelationPlan>,
    pub(super) sequences: Vec<SequenceState>,
    pub(super) no_tablespaces: bool,
}

/// Makes everything that comes before the rows, in an empty database.
pub(super) async fn make(
    target: &Target,
    pool: &Pool,
    announced: Announced,
    body: Body,
) -> Result<(Contents, CloseStream), Trouble> {
    // An attempt that broke off may have left half a schema.
    empty::staging(&target.located, &target.database).await?;
    let mut contents = Contents {
        relations: announced.relations,
        sequences: announced.sequences,
        no_tablespaces: announced.no_tablespaces,
        ..Contents::default()
    };
    let mut arguments = vec![
        "-Fc".to_owned(),
        "--section=pre-data".to_owned(),
        "--exit-on-error".to_owned(),
    ];
    if contents.no_tablespaces {
        arguments.push("--no-tablespaces".to_owned());
    }
    let tool = target
        .toolbox()
        .restore(&target.database, &arguments)
        .await?;
    let (close, words) = feed(tool, &mut contents, body).await?;
    contents.schema_hash = close.bytes_hash;
    contents.schema_bytes = close.bytes;
    contents.notices = notices(&words);
    look(pool, &mut contents).await?;
    check(&mut contents)?;
    if target.partial {
        leave_out_dangling(&mut contents);
    }
    Ok((contents, close))
}

/// Passes the archive to pg_restore and reads its table of contents on the way.
async fn feed(
    mut tool: Tool,
    contents: &mut Contents,
    mut body: Body,
) -> Result<(CloseStream, String), Trouble> {
    let mut toc = TocReader::default();
    let mut hash = Xxh3Default::new();
    let mut bytes = 0;
    let mut open = true;
    let close = loop {
        match body.next().await {
            Some(Ok(Piece::Data(piece))) => {
                hash.update(&piece);
                bytes += piece.len() as u64;
                toc.push(&piece, |entry| keep(contents, entry))
                    .map_err(|error| failure(FailureKind::Invalid, error, ""))?;
                // When it has ended early its own words say why: they are asked for at the end.
                open = open && tool.write(&piece).await.is_ok();
            }
            Some(Ok(Piece::Close(close))) => break close,
            Some(Err(interrupted)) => return Err(interrupted.into()),
            None => return Err(Interrupted("it ended before its close".to_owned()).into()),
        }
    };
    if (bytes, Hash128(hash.digest128())) != (close.bytes, close.bytes_hash) {
        let changed = failure(
            FailureKind::DataMismatch,
            "the schema that arrived is not the one that was sent",
            "try again",
        );
        return Err(changed.into());
    }
    toc.finish()
        .map_err(|error| failure(FailureKind::Invalid, error, ""))?;
    let words = tool.end().await.map_err(|failure| TaskFailure {
        message: format!("making the schema: {}", failure.message),
        ..failure
    })?;
    Ok((close, words))
}

fn keep(contents: &mut Contents, entry: Entry) {
    match (entry.section, entry.desc.as_str()) {
        (Section::Post, _) => contents.entries.push(entry),
        (_, "TABLE" | "MATERIALIZED VIEW") => {
            contents
                .tables
                .insert(entry.id, (entry.namespace, entry.tag));
        }
        _ => {}
    }
}

/// Fills in what the server made of the schema.
async fn look(pool: &Pool, contents: &mut Contents) -> Result<(), TaskFailure> {
    let client = pool.writer().await?;
    let rows = client
        .query(
            "SELECT n.nspname::text, c.relname::text, c.relkind::text, \
             c.relkind = 'r' AND NOT c.relispartition AND NOT c.relhassubclass \
             FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S') AND n.nspname !~ '^pg_'",
            &[],
        )
        .await
        .map_err(|error| failed("looking at the schema that was made", &error))?;
    pool.give_back(client);
    for row in rows {
        let name: (String, String) = (row.get(0), row.get(1));
        let kind: String = row.get(2);
        if row.get(3) {
            contents.alone.insert(name.clone());
        }
        contents
            .kinds
            .insert(name, kind.chars().next().unwrap_or(' '));
    }
    Ok(())
}

/// Every relation whose rows will come must be there.
fn check(contents: &mut Contents) -> Result<(), TaskFailure> {
    let mut roots = BTreeSet::new();
    for relation in &contents.relations {
        if relation.schema == "pg_catalog" {
            continue;
        }
        let name = (relation.schema.clone(), relation.name.clone());
        match contents.kinds.get(&name) {
            Some('p') => {
                roots.insert(relation.id);
            }
            Some(_) => {}
            None => {
                return Err(super::internal(format!(
                    "rows of {}.{} are announced, and the schema does not hold it",
                    relation.schema, relation.name
                )));
            }
        }
    }
    contents.roots = roots;
    Ok(())
}

/// Foreign keys between tables whose rows do not all come: what they point to may not be there.
fn leave_out_dangling(contents: &mut Contents) {
    let with_rows: BTreeSet<_> = contents
        .relations
        .iter()
        .map(|relation| (relation.schema.clone(), relation.name.clone()))
        .collect();
    let tables = &contents.tables;
    let holds = |entry: &Entry| {
        let mut named = entry.dependencies.iter().filter_map(|id| tables.get(id));
        entry.desc != "FK CONSTRAINT" || named.all(|table| with_rows.contains(table))
    };
    let (kept, dangling): (Vec<_>, Vec<_>) = std::mem::take(&mut contents.entries)
        .into_iter()
        .partition(holds);
    contents.entries = kept;
    let told = dangling.iter().map(|entry| {
        format!(
            "{} is left out: not all of its tables come with their rows",
            entry.label()
        )
    });
    contents.notices.extend(told);
}

fn notices(words: &str) -> Vec<String> {
    let lines = words.lines().filter(|line| line.contains("warning:"));
    lines.take(50).map(|line| line.trim().to_owned()).collect()
}
