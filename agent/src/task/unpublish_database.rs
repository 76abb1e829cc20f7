//! The way back of a publication: the published database is set aside, the former one stands in its place again.

use holdfast_proto::task::{FailureKind, TaskFailure, UnpublishDatabase, UnpublishedDatabase};
use tokio_postgres::Client;

use super::Context;
use crate::engine::postgres::{
    databases::{allow_connections, end_sessions, execute, find, maintenance},
    publication::Notes,
    quote::ident,
};

/// Can be repeated: what has been taken back already stays so.
///
/// # Errors
/// `Invalid` when the former database is gone, `Conflict` when sessions do not end or the name to set the
/// published one aside under is taken. Nothing has changed then.
pub async fn run(
    spec: UnpublishDatabase,
    context: &Context,
) -> Result<UnpublishedDatabase, TaskFailure> {
    let (_, client) = maintenance(context, &spec.instance).await?;
    let notes = Notes::of(context);
    let former_allowed = notes
        .read(&spec.staging)?
        .is_none_or(|note| note.former_allowed_connections);
    let untouched = UnpublishedDatabase {
        restored: false,
        ended_sessions: 0,
    };
    let standing = find(&client, &spec.name).await?;
    if find(&client, &spec.staging).await?.is_some() {
        // Nothing was published, but the place may have been made quiet for it.
        if standing.is_some_and(|entry| !entry.allows_connections) && former_allowed {
            allow_connections(&client, &spec.name, true).await?;
        }
        return Ok(untouched);
    }
    let former = match spec.kept_as.as_str() {
        "" => None,
        name => find(&client, name).await?,
    };
    let set_aside = find(&client, &spec.set_aside_as).await?;
    match (set_aside.is_some(), former.is_some(), standing.is_some()) {
        // Taken back before.
        (true, false, _) => return Ok(untouched),
        (true, true, true) => return Err(taken(&spec)),
        (false, false, _) if !spec.kept_as.is_empty() => return Err(gone(&spec)),
        (false, false, false) => return Ok(untouched),
        _ => {}
    }
    let ended_sessions = swap(
        &client,
        &spec,
        standing.is_some(),
        former.is_some(),
        former_allowed,
    )
    .await?;
    notes.remove(&spec.staging);
    Ok(UnpublishedDatabase {
        restored: former.is_some(),
        ended_sessions,
    })
}

async fn swap(
    client: &Client,
    spec: &UnpublishDatabase,
    standing: bool,
    former: bool,
    former_allowed: bool,
) -> Result<u32, TaskFailure> {
    let name = ident(&spec.name);
    let mut statements = String::from("BEGIN;");
    let mut busy = Vec::new();
    if standing {
        allow_connections(client, &spec.name, false).await?;
        let aside = ident(&spec.set_aside_as);
        statements.push_str(&format!("ALTER DATABASE {name} RENAME TO {aside};"));
        statements.push_str(&format!(
            "ALTER DATABASE {aside} WITH ALLOW_CONNECTIONS true;"
        ));
        busy.push(spec.name.as_str());
    }
    if former {
        let kept = ident(&spec.kept_as);
        statements.push_str(&format!("ALTER DATABASE {kept} RENAME TO {name};"));
        statements.push_str(&format!(
            "ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {former_allowed};"
        ));
        busy.push(spec.kept_as.as_str());
    }
    statements.push_str("COMMIT;");
    let doing = format!("putting back what stood at {:?} before", spec.name);
    let swapped = match end_sessions(client, &busy).await {
        Ok(ended) => execute(client, &doing, &statements).await.map(|()| ended),
        Err(failure) => Err(failure),
    };
    if swapped.is_err() {
        let _ = client.batch_execute("ROLLBACK").await;
        if standing {
            let _ = allow_connections(client, &spec.name, true).await;
        }
    }
    swapped
}

fn taken(spec: &UnpublishDatabase) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Conflict,
        message: format!(
            "the name {:?}, to set the copy aside under, is taken",
            spec.set_aside_as
        ),
        advice: "rename or drop that database, then undo again".to_owned(),
        retryable: false,
    }
}

fn gone(spec: &UnpublishDatabase) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Invalid,
        message: format!(
            "the former database {:?} is gone from {}",
            spec.kept_as, spec.instance
        ),
        advice: "nothing was changed; the copy still stands in its place".to_owned(),
        retryable: false,
    }
}
