//! Putting a database in the place of another, where databases cannot be renamed.
//!
//! All tables of both change places in one RENAME TABLE, which happens whole or not at all. Around it everything
//! else is moved: routines, views, triggers, events, rights. What both databases hold is noted on disk first, so a
//! repetition after a crash, and the way back, know what belongs where; every single deed can be repeated.

use std::{fs, io, path::PathBuf};

use holdfast_proto::task::{
    FailureKind, PublishDatabase, PublishedDatabase, TaskFailure, UnpublishDatabase,
    UnpublishedDatabase,
};
use mysql_async::prelude::Queryable;
use serde::{Deserialize, Serialize};

use super::{
    databases::{create, drop_database, end_sessions, execute, exists, maintenance},
    document::{Document, Event, Made, named},
    failure::failed,
    inventory,
    quote::{ident, literal, qualified},
    session::Session,
};
use crate::{
    engine::postgres::{databases::internal, failure::failure},
    observe::instances::Located,
    task::Context,
};

/// What a publication moves. Written before its first deed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    instance: String,
    name: String,
    staging: String,
    /// Empty: nothing stood in the place.
    kept_as: String,
    staged: Document,
    former: Option<Document>,
    /// What the published database held when it was taken back.
    #[serde(default)]
    undone: Option<Document>,
    /// Whoever held the place before, by its staging name: empty when that was no job of ours.
    holder_before: String,
}

struct Notes {
    dir: PathBuf,
}

/// Everything of a database goes from one name to another.
struct Move<'a> {
    document: &'a Document,
    from: &'a str,
    to: &'a str,
    /// Events go on as they were; else they stand still.
    awake: bool,
}

/// # Errors
/// `Conflict` when a database stands in the place and none may be replaced, or the name to keep it under is taken;
/// `Invalid` when the staging database is gone.
pub async fn publish(
    spec: PublishDatabase,
    located: &Located,
    context: &Context,
) -> Result<PublishedDatabase, TaskFailure> {
    let mut session = maintenance(located).await?;
    let notes = Notes::of(context);
    let known = notes.read(&spec.staging)?;
    if !exists(&mut session, &spec.staging).await? {
        return match known {
            Some(note) if notes.holder(&spec.instance, &spec.name) == spec.staging => {
                Ok(PublishedDatabase {
                    kept_as: note.kept_as,
                    ended_sessions: 0,
                })
            }
            _ => Err(failure(
                FailureKind::Invalid,
                format!(
                    "the staging database {:?} is gone from {}",
                    spec.staging, spec.instance
                ),
                "copy again",
            )),
        };
    }
    let note = match known {
        Some(note) => note,
        None => {
            let note = look(&mut session, &spec, &notes).await?;
            notes.write(&note)?;
            note
        }
    };
    let mut busy = vec![spec.staging.as_str()];
    if note.former.is_some() {
        busy.push(&spec.name);
    }
    let ended_sessions = end_sessions(&mut session, &busy).await?;
    let mut moves = Vec::new();
    if let Some(former) = &note.former {
        let (from, to) = (note.name.as_str(), note.kept_as.as_str());
        moves.push(Move {
            document: former,
            from,
            to,
            awake: false,
        });
    }
    let (from, to) = (note.staging.as_str(), note.name.as_str());
    moves.push(Move {
        document: &note.staged,
        from,
        to,
        awake: true,
    });
    carry(&mut session, &moves).await?;
    notes.hold(&spec.instance, &spec.name, &spec.staging)?;
    drop_empty(&mut session, &spec.staging).await?;
    Ok(PublishedDatabase {
        kept_as: note.kept_as,
        ended_sessions,
    })
}

/// Can be repeated: what has been taken back already stays so.
///
/// # Errors
/// `Conflict` when another database than the published one stands in the place; `Invalid` when the former one is gone.
pub async fn unpublish(
    spec: UnpublishDatabase,
    located: &Located,
    context: &Context,
) -> Result<UnpublishedDatabase, TaskFailure> {
    let mut session = maintenance(located).await?;
    let notes = Notes::of(context);
    let untouched = UnpublishedDatabase {
        restored: false,
        ended_sessions: 0,
    };
    let Some(mut note) = notes.read(&spec.staging)? else {
        // Never begun, or taken back before.
        let standing = exists(&mut session, &spec.name).await?;
        let back = exists(&mut session, &spec.staging).await?
            || exists(&mut session, &spec.set_aside_as).await?;
        return if back || !standing {
            Ok(untouched)
        } else {
            Err(unknown(&spec))
        };
    };
    let holder = notes.holder(&spec.instance, &spec.name);
    if holder != spec.staging && holder != note.holder_before {
        return Err(failure(
            FailureKind::Conflict,
            format!(
                "the database {:?} on {} is not the one that this job put there",
                spec.name, spec.instance
            ),
            "nothing was changed; when a later copy replaced it, undo that one first (`ctl job list`)",
        ));
    }
    if note.former.is_some()
        && holder == spec.staging
        && !exists(&mut session, &note.kept_as).await?
    {
        return Err(failure(
            FailureKind::Invalid,
            format!(
                "the former database {:?} is gone from {}",
                note.kept_as, spec.instance
            ),
            "nothing was changed; the copy still stands in its place",
        ));
    }
    let ended_sessions = end_sessions(&mut session, &[&spec.name, &note.kept_as]).await?;
    if note.undone.is_none() {
        // What the copy holds by now: it may have been in use since.
        note.undone = Some(if holder == spec.staging {
            enter(&mut session, &spec.name).await?
        } else {
            note.staged.clone()
        });
        notes.write(&note)?;
    }
    let staged = note.undone.as_ref().unwrap_or(&note.staged);
    let mut moves = vec![Move {
        document: staged,
        from: &note.name,
        to: &spec.set_aside_as,
        awake: false,
    }];
    if let Some(former) = &note.former {
        moves.push(Move {
            document: former,
            from: &note.kept_as,
            to: &note.name,
            awake: true,
        });
    }
    carry(&mut session, &moves).await?;
    let emptied = note.former.as_ref().map_or(&note.name, |_| &note.kept_as);
    drop_empty(&mut session, emptied).await?;
    notes.hold(&spec.instance, &spec.name, &note.holder_before)?;
    notes.remove(&spec.staging);
    Ok(UnpublishedDatabase {
        restored: note.former.is_some(),
        ended_sessions,
    })
}

/// Somebody may have put something there since: then it stays.
async fn drop_empty(session: &mut Session, name: &str) -> Result<(), TaskFailure> {
    if tables(session, name).await?.is_empty() {
        drop_database(session, name).await?;
    }
    Ok(())
}

async fn look(
    session: &mut Session,
    spec: &PublishDatabase,
    notes: &Notes,
) -> Result<Note, TaskFailure> {
    let conflict =
        |message: String, advice: &str| Err(failure(FailureKind::Conflict, message, advice));
    let former = if exists(session, &spec.name).await? {
        if spec.keep_as.is_empty() {
            let message = format!(
                "a database {:?} stands on {} already",
                spec.name, spec.instance
            );
            return conflict(message, "copy with --replace, or to another name");
        }
        if exists(session, &spec.keep_as).await? {
            let message = format!(
                "the name {:?}, to keep the former database under, is taken",
                spec.keep_as
            );
            return conflict(message, "rename or drop that database");
        }
        Some(enter(session, &spec.name).await?)
    } else {
        None
    };
    Ok(Note {
        instance: spec.instance.clone(),
        name: spec.name.clone(),
        staging: spec.staging.clone(),
        kept_as: if former.is_some() {
            spec.keep_as.clone()
        } else {
            String::new()
        },
        staged: enter(session, &spec.staging).await?,
        former,
        undone: None,
        holder_before: notes.holder(&spec.instance, &spec.name),
    })
}

async fn enter(session: &mut Session, database: &str) -> Result<Document, TaskFailure> {
    let doing = format!("reading what {database:?} holds");
    execute(session, &doing, &format!("USE {}", ident(database))).await?;
    let read = inventory::read(session, database).await;
    let (document, _) = read.map_err(|error| failed(&doing, &error))?;
    let mode = session.no_new_accounts();
    execute(session, &doing, &format!("SET SESSION sql_mode = '{mode}'")).await?;
    Ok(document)
}

/// The moves, in this order where one's place is the other's goal.
async fn carry(session: &mut Session, moves: &[Move<'_>]) -> Result<(), TaskFailure> {
    for each in moves {
        let Document {
            charset,
            collation,
            comment,
            ..
        } = each.document;
        create(session, each.to, charset, collation).await?;
        let mut like = format!(
            "ALTER DATABASE {} CHARACTER SET {} COLLATE {}",
            ident(each.to),
            literal(charset),
            literal(collation)
        );
        if session.is_mariadb() {
            like.push_str(&format!(" COMMENT {}", literal(comment)));
        }
        execute(session, "setting the database's own properties", &like).await?;
    }
    execute(
        session,
        "preparing a session",
        "SET SESSION foreign_key_checks = 0",
    )
    .await?;
    for each in moves {
        leave(session, each).await?;
    }
    let renames = renames(session, moves).await?;
    if !renames.is_empty() {
        let statement = format!("RENAME TABLE {}", renames.join(", "));
        execute(session, "changing the places of the tables", &statement).await?;
    }
    for each in moves {
        arrive(session, each).await?;
    }
    Ok(())
}

/// Takes away what tables cannot take with them, and what would act meanwhile.
async fn leave(session: &mut Session, each: &Move<'_>) -> Result<(), TaskFailure> {
    if !exists(session, each.from).await? {
        return Ok(());
    }
    let from = each.from;
    let document = each.document;
    let drop = |kind: &str, name: &str| format!("DROP {kind} IF EXISTS {}", qualified(from, name));
    let mut statements: Vec<String> = Vec::new();
    statements.extend(
        document
            .events
            .iter()
            .map(|event| drop("EVENT", &event.made.name)),
    );
    statements.extend(
        document
            .triggers
            .iter()
            .map(|trigger| drop("TRIGGER", &trigger.made.name)),
    );
    statements.extend(document.views.iter().map(|view| drop("VIEW", &view.name)));
    for statement in statements {
        execute(session, &format!("emptying {from:?}"), &statement).await?;
    }
    Ok(())
}

/// Those that have not happened. A name comes free by the rename before it.
async fn renames(session: &mut Session, moves: &[Move<'_>]) -> Result<Vec<String>, TaskFailure> {
    let mut renames = Vec::new();
    for each in moves {
        let there = tables(session, each.from).await?;
        let document = each.document;
        let names = document.tables.iter().map(|table| &table.name);
        let names = names.chain(document.sequences.iter().map(|sequence| &sequence.name));
        let moved = tables(session, each.to).await?;
        for name in names {
            // With two moves the goal of the second is the place of the first: what stands there is not ours.
            let arrived = moved.contains(name) && !moves.iter().any(|other| other.from == each.to);
            if there.contains(name) && !arrived {
                renames.push(format!(
                    "{} TO {}",
                    qualified(each.from, name),
                    qualified(each.to, name)
                ));
            }
        }
    }
    Ok(renames)
}

async fn tables(session: &mut Session, database: &str) -> Result<Vec<String>, TaskFailure> {
    let sql = format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = {} AND table_type <> 'VIEW'",
        literal(database)
    );
    let read = session.conn.query(sql).await;
    read.map_err(|error| failed(format!("listing the tables of {database:?}"), &error))
}

/// Makes in the new place what was taken away in the old one.
async fn arrive(session: &mut Session, each: &Move<'_>) -> Result<(), TaskFailure> {
    let (document, to) = (each.document, each.to);
    execute(
        session,
        "entering the new place",
        &format!("USE {}", ident(to)),
    )
    .await?;
    defaults(session, each).await?;
    for routine in &document.routines {
        make(session, to, routine, "").await?;
        if exists(session, each.from).await? {
            let statement = format!(
                "DROP {} IF EXISTS {}",
                routine.kind,
                qualified(each.from, &routine.name)
            );
            execute(session, "moving a routine", &statement).await?;
        }
    }
    let mut waiting: Vec<&Made> = document.views.iter().collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut refused = Vec::new();
        let mut last = None;
        for view in waiting {
            if let Err(failure) = make(session, to, view, "").await {
                refused.push(view);
                last = Some(failure);
            }
        }
        if refused.len() == before {
            return Err(last.unwrap_or_else(|| internal("a view was refused without a reason")));
        }
        waiting = refused;
    }
    for trigger in &document.triggers {
        make(session, to, &trigger.made, "").await?;
    }
    for event in &document.events {
        self::event(session, each, event).await?;
    }
    for grant in &document.grants {
        let given = grant.statement(to);
        execute(
            session,
            &format!("giving {} its rights", grant.grantee),
            &given,
        )
        .await?;
        // What stood on the old name must not hold for the next database of that name.
        match session.conn.query_drop(grant.revocation(each.from)).await {
            Ok(()) | Err(mysql_async::Error::Server(_)) => {}
            Err(error) => return Err(failed("taking rights from the old name", &error)),
        }
    }
    Ok(())
}

/// Columns that take their value from a sequence name it with its database.
async fn defaults(session: &mut Session, each: &Move<'_>) -> Result<(), TaskFailure> {
    let from = format!("{}.", ident(each.from));
    let sql = format!(
        "SELECT table_name, column_name, column_default FROM information_schema.columns \
         WHERE table_schema = {} AND INSTR(column_default, {}) > 0",
        literal(each.to),
        literal(&from)
    );
    let read = session.conn.query(sql).await;
    let columns: Vec<(String, String, String)> =
        read.map_err(|error| failed("reading the defaults", &error))?;
    for (table, column, default) in columns {
        let default = default.replace(&from, &format!("{}.", ident(each.to)));
        let table = qualified(each.to, &table);
        let statement = format!(
            "ALTER TABLE {table} ALTER COLUMN {} SET DEFAULT ({default})",
            ident(&column)
        );
        execute(session, "renaming a default", &statement).await?;
    }
    Ok(())
}

async fn event(session: &mut Session, each: &Move<'_>, event: &Event) -> Result<(), TaskFailure> {
    let zone = format!(", time_zone = {}", literal(&event.time_zone));
    make(session, each.to, &event.resting(each.awake), &zone).await
}

async fn make(
    session: &mut Session,
    database: &str,
    made: &Made,
    more: &str,
) -> Result<(), TaskFailure> {
    let doing = format!(
        "making {} {} of {database:?}",
        made.kind.to_lowercase(),
        made.name
    );
    let collation = if made.collation.is_empty() {
        String::new()
    } else {
        format!(", collation_connection = {}", literal(&made.collation))
    };
    let settings = format!(
        "SET SESSION sql_mode = {}{collation}{more}",
        literal(&made.sql_mode)
    );
    execute(session, &doing, &settings).await?;
    let statement = named(&made.create, database);
    let statement = match statement.strip_prefix("CREATE ") {
        // It may stand already: an earlier run of this task made it.
        Some(rest) if session.is_mariadb() => format!("CREATE OR REPLACE {rest}"),
        _ => statement,
    };
    let done = execute(session, &doing, &statement).await;
    let mode = session.no_new_accounts();
    let back = format!("SET SESSION sql_mode = '{mode}', time_zone = '+00:00'");
    execute(session, &doing, &back).await?;
    done
}

fn unknown(spec: &UnpublishDatabase) -> TaskFailure {
    failure(
        FailureKind::Conflict,
        format!(
            "whether the database {:?} on {} is the one that this job put there is not known: the agent's note on it is gone",
            spec.name, spec.instance
        ),
        "nothing was changed; look at the databases, and rename them by hand",
    )
}

impl Notes {
    fn of(context: &Context) -> Self {
        Self {
            dir: context.state_dir.join("publications-mariadb"),
        }
    }

    fn read(&self, staging: &str) -> Result<Option<Note>, TaskFailure> {
        let unreadable = |why: String| {
            let message =
                format!("the note on the publication of {staging:?} cannot be read: {why}");
            failure(
                FailureKind::Internal,
                message,
                "compare the databases by hand; then remove the file",
            )
        };
        match fs::read(self.path("note", staging)) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| unreadable(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(error.to_string())),
        }
    }

    fn write(&self, note: &Note) -> Result<(), TaskFailure> {
        let bytes = serde_json::to_vec(note)
            .map_err(|error| internal(&format!("writing a note: {error}")))?;
        self.store(&self.path("note", &note.staging), &bytes)
    }

    fn remove(&self, staging: &str) {
        let _ = fs::remove_file(self.path("note", staging));
    }

    /// Staging name of the job whose copy stands in the place; empty when it is none of ours.
    fn holder(&self, instance: &str, name: &str) -> String {
        fs::read_to_string(self.path("holder", &format!("{instance}/{name}"))).unwrap_or_default()
    }

    fn hold(&self, instance: &str, name: &str, holder: &str) -> Result<(), TaskFailure> {
        self.store(
            &self.path("holder", &format!("{instance}/{name}")),
            holder.as_bytes(),
        )
    }

    fn store(&self, path: &std::path::Path, bytes: &[u8]) -> Result<(), TaskFailure> {
        let partial = path.with_extension("part");
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.dir)?;
            let mut file = fs::File::create(&partial)?;
            io::Write::write_all(&mut file, bytes)?;
            file.sync_all()?;
            fs::rename(&partial, path)?;
            fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| TaskFailure {
            kind: FailureKind::Exhausted,
            message: format!("noting a publication in {}: {error}", self.dir.display()),
            advice: "make room on the agent's state directory".to_owned(),
            retryable: true,
        })
    }

    fn path(&self, kind: &str, name: &str) -> PathBuf {
        self.dir.join(format!("{kind}-{}.json", hex::encode(name)))
    }
}
