//! What is made around the rows: tables before them, everything else after.

use holdfast_proto::task::{TaskFailure, TaskPhase};
use mysql_async::{Error, prelude::Queryable};

use super::{Target, state::Contents};
use crate::engine::mariadb::{
    document::{Made, named},
    failure::failed,
    quote::{literal, qualified},
    session::Session,
    structure::{self, Structure},
};

/// What a thing needs is not there.
const MISSING: [u16; 6] = [1146, 1049, 1305, 1356, 1054, 1133];

/// Empty tables and sequences: with their indexes, which a bulk load fills sorted.
pub(super) async fn tables(target: &Target, contents: &Contents) -> Result<(), TaskFailure> {
    let document = &contents.document;
    target
        .meter
        .phase(TaskPhase::Schema, document.tables.len() as u64);
    let mut session = target.writer().await?;
    for sequence in &document.sequences {
        let made = session.conn.query_drop(&sequence.create).await;
        made.map_err(|error| failed(format!("making the sequence {}", sequence.name), &error))?;
    }
    for table in &document.tables {
        target.meter.current(&table.name);
        let made = session
            .conn
            .query_drop(named(&table.create, &target.database))
            .await;
        made.map_err(|error| failed(format!("making the table {}", table.name), &error))?;
        target.meter.item_done();
    }
    Ok(())
}

/// Sequences, statistics, routines, views, triggers, events and rights. What cannot be made because what it needs
/// was left out, is told.
pub(super) async fn rest(
    target: &Target,
    contents: &Contents,
    notices: &mut Vec<String>,
) -> Result<Structure, TaskFailure> {
    let document = &contents.document;
    let mut session = target.writer().await?;
    for state in &contents.sequences {
        let name = qualified(&target.database, &state.name);
        let sql = format!("DO SETVAL({name}, {}, 0)", state.last_value);
        let set = session.conn.query_drop(sql).await;
        set.map_err(|error| failed(format!("setting the sequence {}", state.name), &error))?;
    }
    target
        .meter
        .phase(TaskPhase::Analyze, document.tables.len() as u64);
    for table in &document.tables {
        target.meter.current(&table.name);
        let name = qualified(&target.database, &table.name);
        if let Some(next) = table.next {
            // Emptying a table before it is loaded began its numbers anew.
            let set = session
                .conn
                .query_drop(format!("ALTER TABLE {name} AUTO_INCREMENT = {next}"))
                .await;
            set.map_err(|error| {
                failed(format!("setting the next number of {}", table.name), &error)
            })?;
        }
        let analyzed = session
            .conn
            .query_drop(format!("ANALYZE TABLE {name}"))
            .await;
        analyzed.map_err(|error| failed(format!("analyzing {}", table.name), &error))?;
        target.meter.item_done();
    }
    target
        .meter
        .phase(TaskPhase::Constraints, document.views.len() as u64);
    code(&mut session, target, contents, notices).await?;
    for grant in &document.grants {
        match session
            .conn
            .query_drop(grant.statement(&target.database))
            .await
        {
            Ok(()) => {}
            Err(Error::Server(answer)) => {
                let privilege = &grant.privilege;
                notices.push(format!(
                    "{privilege} was not given to {}: {}",
                    grant.grantee, answer.message
                ));
            }
            Err(error) => return Err(failed("giving the rights", &error)),
        }
    }
    structure::count(&mut session, &target.database).await
}

async fn code(
    session: &mut Session,
    target: &Target,
    contents: &Contents,
    notices: &mut Vec<String>,
) -> Result<(), TaskFailure> {
    let document = &contents.document;
    for routine in &document.routines {
        make(session, target, routine, "").await?;
    }
    let mut waiting: Vec<&Made> = document.views.iter().collect();
    // A view may read another: as long as one more can be made, the others are tried again.
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut refused = Vec::new();
        for view in waiting {
            match make(session, target, view, "").await {
                Ok(()) => target.meter.item_done(),
                Err(failure) => refused.push((view, failure)),
            }
        }
        if refused.len() == before {
            for (view, failure) in refused {
                leave_out(view, failure, notices)?;
            }
            break;
        }
        waiting = refused.into_iter().map(|(view, _)| view).collect();
    }
    for trigger in &document.triggers {
        make(session, target, &trigger.made, "").await?;
    }
    for event in &document.events {
        let zone = format!(", time_zone = {}", literal(&event.time_zone));
        if let Err(failure) = make(session, target, &event.resting(false), &zone).await {
            leave_out(&event.made, failure, notices)?;
        }
    }
    Ok(())
}

/// Under the settings that it was made under first; names are read as UTF-8, as they were written down.
pub(super) async fn make(
    session: &mut Session,
    target: &Target,
    made: &Made,
    more: &str,
) -> Result<(), TaskFailure> {
    let doing = format!("making {} {}", made.kind.to_lowercase(), made.name);
    let explain = |error: Error| failed(&doing, &error);
    let collation = if made.collation.is_empty() {
        String::new()
    } else {
        format!(", collation_connection = {}", literal(&made.collation))
    };
    let settings = format!(
        "SET SESSION sql_mode = {}{collation}{more}",
        literal(&made.sql_mode)
    );
    session.conn.query_drop(settings).await.map_err(explain)?;
    let created = session
        .conn
        .query_drop(named(&made.create, &target.database))
        .await;
    let back = format!(
        "SET SESSION sql_mode = '{}', time_zone = '+00:00'",
        session.no_new_accounts()
    );
    session.conn.query_drop(back).await.map_err(explain)?;
    created.map_err(explain)
}

fn leave_out(
    made: &Made,
    failure: TaskFailure,
    notices: &mut Vec<String>,
) -> Result<(), TaskFailure> {
    let missing = MISSING
        .iter()
        .any(|code| failure.message.ends_with(&format!("(error {code})")));
    if !missing {
        return Err(failure);
    }
    let (kind, name) = (made.kind.to_lowercase(), &made.name);
    notices.push(format!("left out: {kind} {name}: {}", failure.message));
    Ok(())
}
