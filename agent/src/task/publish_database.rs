//! Puts a staging database in the place of the named one: one transaction of renames.
//!
//! Before it, the place is made quiet (no new connections, then no sessions). What the place looked like is
//! noted on disk first, so that a repetition after a crash knows what had happened, and the way back knows
//! what to give back.

use holdfast_proto::{
    fleet::Engine,
    task::{FailureKind, PublishDatabase, PublishedDatabase, TaskFailure},
};
use tokio_postgres::Client;

use super::Context;
use crate::engine::mariadb;
use crate::engine::postgres::{
    databases::{Entry, allow_connections, end_sessions, execute, find, maintenance},
    marked_roles::{MarkedRole, marked_by, unmark_statement},
    publication::{Former, Note, Notes},
    quote::ident,
};

/// # Errors
/// `Conflict` when a database stands in the place and none may be replaced, when the name to keep it under
/// is taken, or when sessions do not end; `Invalid` when the staging database is gone.
pub async fn run(
    spec: PublishDatabase,
    context: &Context,
) -> Result<PublishedDatabase, TaskFailure> {
    let located = context.instances.locate(&spec.instance)?;
    if located.engine != Engine::Postgres {
        return Box::pin(mariadb::publication::publish(spec, &located, context)).await;
    }
    let (_, client) = maintenance(context, &spec.instance).await?;
    let notes = Notes::of(context);
    let standing = find(&client, &spec.name).await?;
    let Some(staging) = find(&client, &spec.staging).await? else {
        return published_before(&spec, notes.read(&spec.staging)?, standing);
    };
    let former = match standing {
        Some(entry) => {
            check_place(&client, &spec).await?;
            Some(former(entry, notes.read(&spec.staging)?))
        }
        None => None,
    };
    let roles = marked_by(&client, spec.job).await?;
    let note = Note {
        staging_oid: staging.oid,
        former,
        roles: roles.iter().map(|role| role.oid).collect(),
    };
    notes.write(&spec.staging, &note)?;
    if former.is_some() {
        allow_connections(&client, &spec.name, false).await?;
    }
    let swapped = swap(&client, &spec, former.is_some(), &roles).await;
    if let (Err(_), Some(former)) = (&swapped, former) {
        // The place stays what it was. A failure here is the smaller one: the way back repeats it.
        let _ = allow_connections(&client, &spec.name, former.allowed_connections).await;
    }
    let ended_sessions = swapped?;
    Ok(PublishedDatabase {
        kept_as: former.map_or(String::new(), |_| spec.keep_as),
        ended_sessions,
    })
}

/// What stands in the place; an earlier run of this task may have closed it already.
fn former(standing: Entry, noted: Option<Note>) -> Former {
    let noted = noted.and_then(|note| note.former);
    noted
        .filter(|former| former.oid == standing.oid)
        .unwrap_or(Former {
            oid: standing.oid,
            allowed_connections: standing.allows_connections,
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

/// From here on the copy stands: the roles that it brought are ordinary ones.
async fn swap(
    client: &Client,
    spec: &PublishDatabase,
    kept: bool,
    roles: &[MarkedRole],
) -> Result<u32, TaskFailure> {
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
    statements.push_str(&format!("ALTER DATABASE {staging} RENAME TO {name};"));
    for role in roles {
        statements.push_str(&unmark_statement(&role.name));
    }
    statements.push_str("COMMIT;");
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
            kept_as: note.former.map_or(String::new(), |_| spec.keep_as.clone()),
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
            job: 1,
        };
        let former = Former {
            oid: 5,
            allowed_connections: true,
        };
        let note = Some(Note {
            staging_oid: 7,
            former: Some(former),
            roles: Vec::new(),
        });
        let free = Some(Note {
            staging_oid: 7,
            former: None,
            roles: Vec::new(),
        });
        let entry = |oid| {
            Some(Entry {
                oid,
                allows_connections: true,
            })
        };
        let kept_as = |note| published_before(&spec, note, entry(7)).unwrap().kept_as;
        assert_eq!(kept_as(note.clone()), "a__before_1");
        assert_eq!(kept_as(free), "");
        for (note, standing) in [(note.clone(), entry(8)), (note, None), (None, entry(7))] {
            assert_eq!(
                published_before(&spec, note, standing).unwrap_err().kind,
                FailureKind::Invalid
            );
        }
    }

    #[test]
    fn a_place_that_this_task_has_closed_was_open() {
        let closed = Entry {
            oid: 5,
            allows_connections: false,
        };
        let noted = |oid| {
            Some(Note {
                staging_oid: 7,
                former: Some(Former {
                    oid,
                    allowed_connections: true,
                }),
                roles: Vec::new(),
            })
        };
        assert!(former(closed, noted(5)).allowed_connections);
        // Another database stands there by now.
        assert!(!former(closed, noted(4)).allowed_connections);
        assert!(!former(closed, None).allowed_connections);
    }
}
