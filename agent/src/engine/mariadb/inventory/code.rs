//! Routines, views, triggers and events.
//!
//! Triggers and events are put together from the catalog: the statements that made them may name their database,
//! and would be made there again.

use mysql_async::{Conn, Error, Row, prelude::Queryable};

use super::{Limits, named, text};
use crate::engine::mariadb::{
    document::{Event, Made, STATE, Trigger, own},
    quote::{ident, literal},
};
use crate::engine::postgres::databases::is_marked;

/// Older servers, and newer ones of MySQL.
const AT_REST: [&str; 2] = ["SLAVESIDE_DISABLED", "REPLICA_SIDE_DISABLED"];

pub(super) async fn routines(
    conn: &mut Conn,
    database: &str,
    limits: &mut Limits,
) -> Result<Vec<Made>, Error> {
    let rows: Vec<(String, String)> = conn
        .query(format!(
            "SELECT routine_type, routine_name FROM information_schema.routines \
             WHERE routine_schema = {} ORDER BY routine_type, routine_name",
            literal(database)
        ))
        .await?;
    let mut routines = Vec::with_capacity(rows.len());
    for (kind, name) in rows {
        let shown: Option<Row> = conn
            .query_first(format!("SHOW CREATE {kind} {}", ident(&name)))
            .await?;
        let Some(row) = shown else { continue };
        let made = Made {
            create: text(&row, 2),
            sql_mode: named(&row, "sql_mode"),
            collation: named(&row, "collation_connection"),
            kind,
            name,
        };
        if made.create.is_empty() {
            let Made { kind, name, .. } = &made;
            limits.obstacles.push(format!(
                "the agent's account may not read the body of {kind} {name}"
            ));
        }
        routines.push(made);
    }
    Ok(routines)
}

pub(super) async fn views(conn: &mut Conn, database: &str) -> Result<Vec<Made>, Error> {
    let rows: Vec<(String, String)> = conn
        .query(format!(
            "SELECT table_name, collation_connection FROM information_schema.views \
             WHERE table_schema = {} ORDER BY table_name",
            literal(database)
        ))
        .await?;
    let mut views = Vec::with_capacity(rows.len());
    for (name, collation) in rows {
        let row: Option<Row> = conn
            .query_first(format!("SHOW CREATE VIEW {}", ident(&name)))
            .await?;
        let create = row.map(|row| text(&row, 1)).unwrap_or_default();
        views.push(Made {
            kind: "VIEW".to_owned(),
            create: own(&create, database),
            collation,
            name,
            ..Made::default()
        });
    }
    Ok(views)
}

/// Of each table in the order in which they fire.
pub(super) async fn triggers(conn: &mut Conn, database: &str) -> Result<Vec<Trigger>, Error> {
    let rows: Vec<Row> = conn
        .query(format!(
            "SELECT trigger_name, event_object_table, action_timing, event_manipulation, action_statement, \
               definer, sql_mode, collation_connection FROM information_schema.triggers \
             WHERE trigger_schema = {} ORDER BY event_object_table, action_timing, event_manipulation, action_order",
            literal(database)
        ))
        .await?;
    Ok(rows
        .iter()
        .map(|row| {
            let [name, table, timing, event, body] = [0, 1, 2, 3, 4].map(|at| text(row, at));
            let create = format!(
                "CREATE {} TRIGGER {} {timing} {event} ON {} FOR EACH ROW {body}",
                definer(&text(row, 5)),
                ident(&name),
                ident(&table)
            );
            Trigger {
                table,
                made: Made {
                    kind: "TRIGGER".to_owned(),
                    name,
                    create,
                    sql_mode: text(row, 6),
                    collation: text(row, 7),
                },
            }
        })
        .collect())
}

pub(super) async fn events(conn: &mut Conn, database: &str) -> Result<Vec<Event>, Error> {
    let rows: Vec<Row> = conn
        .query(format!(
            "SELECT event_name, definer, time_zone, event_definition, execute_at, interval_value, interval_field, \
               sql_mode, starts, ends, status, on_completion, event_comment, collation_connection \
             FROM information_schema.events WHERE event_schema = {} ORDER BY event_name",
            literal(database)
        ))
        .await?;
    let mut events: Vec<Event> = rows.iter().map(event).collect();
    if is_marked(database) {
        // In a database that a job made, events that are to run wait in this state.
        for (event, row) in events.iter_mut().zip(&rows) {
            event.enabled |= AT_REST.contains(&text(row, 10).as_str());
        }
    }
    Ok(events)
}

fn event(row: &Row) -> Event {
    let at = |at| text(row, at);
    let name = at(0);
    let schedule = if at(4).is_empty() {
        let interval = at(5);
        // "1", or "'1:30'" of a field of several parts.
        let interval = if interval.bytes().all(|b| b.is_ascii_digit()) {
            interval
        } else {
            literal(interval.trim_matches('\''))
        };
        let mut schedule = format!("EVERY {interval} {}", at(6));
        for (word, moment) in [("STARTS", at(8)), ("ENDS", at(9))] {
            if !moment.is_empty() {
                schedule.push_str(&format!(" {word} {}", literal(&moment)));
            }
        }
        schedule
    } else {
        format!("AT {}", literal(&at(4)))
    };
    let comment = if at(12).is_empty() {
        String::new()
    } else {
        format!(" COMMENT {}", literal(&at(12)))
    };
    let create = format!(
        "CREATE {} EVENT {} ON SCHEDULE {schedule} ON COMPLETION {} {STATE}{comment} DO {}",
        definer(&at(1)),
        ident(&name),
        at(11),
        at(3)
    );
    Event {
        made: Made {
            kind: "EVENT".to_owned(),
            name,
            create,
            sql_mode: at(7),
            collation: at(13),
        },
        enabled: at(10) == "ENABLED",
        time_zone: at(2),
    }
}

/// "ann@localhost", as the catalog writes it; a name may hold an @, a host does not.
fn definer(account: &str) -> String {
    match account.rsplit_once('@') {
        Some((user, "")) => format!("DEFINER={}", ident(user)),
        Some((user, host)) => format!("DEFINER={}@{}", ident(user), ident(host)),
        None => format!("DEFINER={}", ident(account)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definer_is_an_account_or_a_role() {
        assert_eq!(definer("a@b@%"), "DEFINER=`a@b`@`%`");
        assert_eq!(definer("writers"), "DEFINER=`writers`");
    }
}
