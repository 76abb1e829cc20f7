//! Puts a staging database in the place of the named one: one transaction of renames.
//!
//! Before it, the place is made quiet (no new connections, then no sessions). What the place looked like is
//! noted on disk first, so that a repetition after a crash knows what had happened, and the way back knows
//! what to give back.

use holdfast_proto::task::{FailureKind, PublishDatabase, PublishedDatabase, TaskFailure};
use tokio_postgres::Client;

use super::Context;
use crate::engine::postgres::{
    databases::{Entry, allow_connections, end_sessions, execute, find, maintenance},
    publication::{Note, Notes},
    quote::ident,
};

/// # Errors
/// `Conflict` when a database stands in the place and none may be replaced, when the name to keep it under
/// is taken, or when sessions do not end; `Invalid` when the staging database is gone.
pub async fn run(
    spec: PublishDatabase,
    context: &Context,
) -> Result<PublishedDatabase, TaskFailure> {
    let (_, client) = maintenance(context, &spec.instance).await?;
    let notes = Notes::of(context);
    let standing = find(&client, &spec.name).await?;
    let Some(staging) = find(&client, &spec.staging).await? else {
        return published_before(&spec, notes.read(&spec.staging)?, standing);
    };
    let kept = match standing {
        Some(former) => {
            check_place(&client, &spec).await?;
            let allowed = notes
                .read(&spec.staging)?
                .map_or(former.allows_connections, |note| {
                    note.former_allowed_connections
                });
            notes.write(
                &spec.staging,
                Note {
                    staging_oid: staging.oid,
                    former_allowed_connections: allowed,
                },
            )?;
            allow_connections(&client, &spec.name, false).await?;
            true
        }
        None => {
            notes.write(
                &spec.staging,
                Note {
                    staging_oid: staging.oid,
                    former_allowed_connections: true,
                },
            )?;
            false
        }
    };
    let swapped = swap(&client, &spec, kept).await;
    if swapped.is_err() && kept {
        // The place stays what it was. A failure here is the smaller one: the way back repeats it.
        let _ = allow_connections(&client, &spec.name, true).await;
    }
    let ended_sessions = swapped?;
    let kept_as = if kept { spec.keep_as } else { String::new() };
    Ok(PublishedDatabase {
        kept_as,
        ended_sessions,
    })
}

async fn check_place(client: &Client, spec: &PublishDatabase) -> Result<(), TaskFailure> {
    let conflict = |message: String, advice: &str| TaskFailure {
        kind: FailureKind::Conflict,
        message,
        advice: advice.to_owned(),
        retryable: false,
    };
    if spec.keep_as.is_empty() {
        return Err(conflict(
            format!(
                "a database {:?} stands on {} already",
                spec.name, spec.instance
            ),
            "copy with --replace, or to another name",
        ));
    }
    if find(client, &spec.keep_as).await?.is_some() {
        return Err(conflict(
            format!(
                "the name {:?}, to keep the former database under, is taken",
                spec.keep_as
            ),
            "rename or drop that database",
        ));
    }
    Ok(())
}

async fn swap(client: &Client, spec: &PublishDatabase, kept: bool) -> Result<u32, TaskFailure> {
    let (name, staging) = (ident(&spec.name), ident(&spec.staging));
    let mut statements = String::from("BEGIN;");
    let mut busy = vec![spec.staging.as_str()];
    if kept {
        let keep_as = ident(&spec.keep_as);
        statements.push_str(&format!("ALTER DATABASE {name} RENAME TO {keep_as};"));
        statements.push_str(&format!(
            "ALTER DATABASE {keep_as} WITH ALLOW_CONNECTIONS true;"
        ));
        busy.push(&spec.name);
    }
    statements.push_str(&format!(
        "ALTER DATABASE {staging} RENAME TO {name}; COMMIT;"
    ));
    let ended = end_sessions(client, &busy).await?;
    let doing = format!("putting {:?} in the place of {:?}", spec.staging, spec.name);
    if let Err(failure) = execute(client, &doing, &statements).await {
        // The transaction is still open on this session.
        let _ = client.batch_execute("ROLLBACK").await;
        return Err(failure);
    }
    Ok(ended)
}

/// The staging database is gone: was it published by an earlier run of this very task?
fn published_before(
    spec: &PublishDatabase,
    note: Option<Note>,
    standing: Option<Entry>,
) -> Result<PublishedDatabase, TaskFailure> {
    match (note, standing) {
        (Some(note), Some(entry)) if note.staging_oid == entry.oid => Ok(PublishedDatabase {
            kept_as: spec.keep_as.clone(),
            ended_sessions: 0,
        }),
        _ => Err(TaskFailure {
            kind: FailureKind::Invalid,
            message: format!(
                "the staging database {:?} is gone from {}",
                spec.staging, spec.instance
            ),
            advice: "copy again".to_owned(),
            retryable: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_database_that_was_staged_counts_as_published() {
        let spec = PublishDatabase {
            instance: "shop-db".into(),
            staging: "a__staging_1".into(),
            name: "a".into(),
            keep_as: "a__before_1".into(),
        };
        let note = Some(Note {
            staging_oid: 7,
            former_allowed_connections: true,
        });
        let entry = |oid| {
            Some(Entry {
                oid,
                allows_connections: true,
            })
        };
        assert!(published_before(&spec, note, entry(7)).is_ok());
        for (note, standing) in [(note, entry(8)), (note, None), (None, entry(7))] {
            assert_eq!(
                published_before(&spec, note, standing).unwrap_err().kind,
                FailureKind::Invalid
            );
        }
    }
}
