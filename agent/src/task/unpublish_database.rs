//! The way back of a publication: the published database is set aside, the former one stands in its place again.

use holdfast_proto::{
    fleet::Engine,
    task::{FailureKind, TaskFailure, UnpublishDatabase, UnpublishedDatabase},
};
use tokio_postgres::Client;

use super::Context;
use crate::engine::mariadb;
use crate::engine::postgres::{
    databases::{Entry, allow_connections, end_sessions, execute, find, maintenance},
    marked_roles::{mark_statement, ordinary},
    publication::{Former, Note, Notes},
    quote::ident,
};

/// Can be repeated: what has been taken back already stays so.
///
/// # Errors
/// `Conflict` when another database than the published one stands in the place, when sessions do not end or
/// the name to set the published one aside under is taken; `Invalid` when the former database is gone.
/// Nothing has changed then.
pub async fn run(
    spec: UnpublishDatabase,
    context: &Context,
) -> Result<UnpublishedDatabase, TaskFailure> {
    let located = context.instances.locate(&spec.instance)?;
    if located.engine != Engine::Postgres {
        return Box::pin(mariadb::publication::unpublish(spec, &located, context)).await;
    }
    let (_, client) = maintenance(context, &spec.instance).await?;
    let notes = Notes::of(context);
    let note = notes.read(&spec.staging)?;
    let kept = match spec.kept_as.as_str() {
        "" => None,
        name => find(&client, name).await?,
    };
    let place = Place {
        standing: find(&client, &spec.name).await?,
        staging: find(&client, &spec.staging).await?,
        set_aside: find(&client, &spec.set_aside_as).await?,
        kept,
    };
    let untouched = UnpublishedDatabase {
        restored: false,
        ended_sessions: 0,
    };
    let roles = match (&note, spec.job) {
        (None, _) | (_, 0) => Vec::new(),
        (Some(note), _) => ordinary(&client, &note.roles).await?,
    };
    match decide(note.as_ref(), &place).map_err(|why| refusal(&spec, why))? {
        Deed::Nothing => Ok(untouched),
        Deed::Open => {
            allow_connections(&client, &spec.name, true).await?;
            Ok(untouched)
        }
        Deed::Swap { standing, former } => {
            let ended_sessions = swap(&client, &spec, (standing, former), &roles).await?;
            notes.remove(&spec.staging);
            Ok(UnpublishedDatabase {
                restored: former.is_some(),
                ended_sessions,
            })
        }
    }
}

/// Which databases there are under the names of a publication.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    standing: Option<Entry>,
    staging: Option<Entry>,
    set_aside: Option<Entry>,
    kept: Option<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Nothing,
    /// The place was made quiet for a publication that did not come.
    Open,
    Swap {
        standing: bool,
        former: Option<Former>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// Not the published database stands in the place.
    Stranger,
    /// Nothing was noted here, and yet something stands in the place.
    Unknown,
    SetAsideTaken,
    FormerGone,
}

/// Databases are told by their oid: names say nothing after a later publication, or another hand.
fn decide(note: Option<&Note>, place: &Place) -> Result<Deed, Refused> {
    let oid = |entry: Option<Entry>| entry.map(|entry| entry.oid);
    let former = note.and_then(|note| note.former);
    if place.staging.is_some() {
        let closed = place.standing.is_some_and(|entry| {
            !entry.allows_connections
                && former.is_some_and(|f| f.oid == entry.oid && f.allowed_connections)
        });
        return Ok(if closed { Deed::Open } else { Deed::Nothing });
    }
    let Some(note) = note else {
        return match (place.set_aside, place.standing) {
            // Taken back before, or there is nothing to take back.
            (Some(_), _) | (None, None) => Ok(Deed::Nothing),
            (None, Some(_)) => Err(Refused::Unknown),
        };
    };
    if oid(place.set_aside) == Some(note.staging_oid) {
        return Ok(Deed::Nothing);
    }
    let standing = match oid(place.standing) {
        Some(stands) if stands != note.staging_oid => return Err(Refused::Stranger),
        stands => stands.is_some(),
    };
    if standing && place.set_aside.is_some() {
        return Err(Refused::SetAsideTaken);
    }
    match former {
        Some(former) if oid(place.kept) != Some(former.oid) => Err(Refused::FormerGone),
        None if !standing => Ok(Deed::Nothing),
        former => Ok(Deed::Swap { standing, former }),
    }
}

async fn swap(
    client: &Client,
    spec: &UnpublishDatabase,
    (standing, former): (bool, Option<Former>),
    roles: &[String],
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
    if let Some(former) = former {
        let kept = ident(&spec.kept_as);
        statements.push_str(&format!("ALTER DATABASE {kept} RENAME TO {name};"));
        statements.push_str(&format!(
            "ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {};",
            former.allowed_connections
        ));
        busy.push(spec.kept_as.as_str());
    }
    for role in roles {
        statements.push_str(&mark_statement(role, spec.job));
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

fn refusal(spec: &UnpublishDatabase, why: Refused) -> TaskFailure {
    let UnpublishDatabase {
        instance,
        name,
        kept_as,
        set_aside_as,
        ..
    } = spec;
    let (kind, message, advice) = match why {
        Refused::Stranger => (
            FailureKind::Conflict,
            format!("the database {name:?} on {instance} is not the one that this job put there"),
            "nothing was changed; when a later copy replaced it, undo that one first (`ctl job list`)",
        ),
        Refused::Unknown => (
            FailureKind::Conflict,
            format!(
                "whether the database {name:?} on {instance} is the one that this job put there is not known: \
                 the agent's note on it is gone"
            ),
            "nothing was changed; look at the databases, and rename them by hand",
        ),
        Refused::SetAsideTaken => (
            FailureKind::Conflict,
            format!("the name {set_aside_as:?}, to set the copy aside under, is taken"),
            "rename or drop that database, then undo again",
        ),
        Refused::FormerGone => (
            FailureKind::Invalid,
            format!("the former database {kept_as:?} is gone from {instance}"),
            "nothing was changed; the copy still stands in its place",
        ),
    };
    TaskFailure {
        kind,
        message,
        advice: advice.to_owned(),
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMER: Former = Former {
        oid: 5,
        allowed_connections: true,
    };

    fn entry(oid: u32) -> Option<Entry> {
        Some(Entry {
            oid,
            allows_connections: true,
        })
    }

    fn note(former: Option<Former>) -> Option<Note> {
        Some(Note {
            staging_oid: 7,
            former,
            roles: Vec::new(),
        })
    }

    #[test]
    fn the_published_database_goes_and_the_former_one_comes_back() {
        let place = Place {
            standing: entry(7),
            kept: entry(5),
            ..Place::default()
        };
        let swap = |standing, former| Ok(Deed::Swap { standing, former });
        assert_eq!(
            decide(note(Some(FORMER)).as_ref(), &place),
            swap(true, Some(FORMER))
        );
        // `--replace` where nothing stood.
        let free = Place {
            kept: None,
            ..place
        };
        assert_eq!(decide(note(None).as_ref(), &free), swap(true, None));
        // Somebody has dropped the copy.
        let dropped = Place {
            standing: None,
            ..place
        };
        assert_eq!(
            decide(note(Some(FORMER)).as_ref(), &dropped),
            swap(false, Some(FORMER))
        );
        assert_eq!(
            decide(note(None).as_ref(), &Place::default()),
            Ok(Deed::Nothing)
        );
    }

    #[test]
    fn what_another_hand_put_into_the_place_stays_there() {
        let later = Place {
            standing: entry(8),
            kept: entry(5),
            ..Place::default()
        };
        assert_eq!(
            decide(note(Some(FORMER)).as_ref(), &later),
            Err(Refused::Stranger)
        );
        assert_eq!(decide(note(None).as_ref(), &later), Err(Refused::Stranger));
        assert_eq!(decide(None, &later), Err(Refused::Unknown));
    }

    #[test]
    fn what_was_taken_back_stays_so() {
        let back = Place {
            standing: entry(5),
            set_aside: entry(7),
            ..Place::default()
        };
        for note in [note(Some(FORMER)), None] {
            assert_eq!(decide(note.as_ref(), &back), Ok(Deed::Nothing));
        }
        assert_eq!(decide(None, &Place::default()), Ok(Deed::Nothing));
    }

    #[test]
    fn a_former_database_that_is_gone_or_another_one_is_not_put_back() {
        for kept in [None, entry(6)] {
            let place = Place {
                standing: entry(7),
                kept,
                ..Place::default()
            };
            assert_eq!(
                decide(note(Some(FORMER)).as_ref(), &place),
                Err(Refused::FormerGone)
            );
        }
        let taken = Place {
            standing: entry(7),
            set_aside: entry(9),
            ..Place::default()
        };
        assert_eq!(
            decide(note(None).as_ref(), &taken),
            Err(Refused::SetAsideTaken)
        );
    }

    #[test]
    fn a_place_that_was_made_quiet_for_nothing_is_opened_again() {
        let quiet = Place {
            standing: Some(Entry {
                oid: 5,
                allows_connections: false,
            }),
            staging: entry(7),
            ..Place::default()
        };
        assert_eq!(decide(note(Some(FORMER)).as_ref(), &quiet), Ok(Deed::Open));
        let was_closed = Former {
            allowed_connections: false,
            ..FORMER
        };
        assert_eq!(
            decide(note(Some(was_closed)).as_ref(), &quiet),
            Ok(Deed::Nothing)
        );
        assert_eq!(decide(None, &quiet), Ok(Deed::Nothing));
    }
}
