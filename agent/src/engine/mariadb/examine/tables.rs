//! Tables with their indexes, as the server's own check finds them: every row in every index.

use holdfast_proto::task::{Examined, ExaminedDatabase, TaskFailure};
use mysql_async::prelude::Queryable as _;

use super::unknown;
use crate::engine::mariadb::{
    failure::failed,
    quote::{ident, literal},
    session::Session,
};

/// One row of the server's answer.
type Said = (String, String, String, String);

pub(super) async fn examine(
    session: &mut Session,
    database: &str,
    found: &mut ExaminedDatabase,
) -> Result<(), TaskFailure> {
    let name = literal(database);
    let tables: Vec<(String, u32)> = session
        .conn
        .query(format!(
            "SELECT t.table_name, (SELECT COUNT(DISTINCT s.index_name) FROM information_schema.statistics s \
                 WHERE s.table_schema = t.table_schema AND s.table_name = t.table_name) \
             FROM information_schema.tables t \
             WHERE t.table_schema = {name} AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1"
        ))
        .await
        .map_err(|error| failed("listing the tables", &error))?;
    for (table, indexes) in tables {
        let check = format!("CHECK TABLE {} EXTENDED", ident(&table));
        let answered: Result<Vec<Said>, _> = session.conn.query(check).await;
        let said = match answered {
            Ok(said) => said,
            Err(error) => {
                unknown(found, format!("table {table}"), &error)?;
                continue;
            }
        };
        match verdict(&said) {
            Verdict::Sound => found.checked_indexes += indexes,
            Verdict::Broken(reason) => found.broken.push(Examined {
                name: format!("table {table}"),
                reason,
            }),
            Verdict::Unknown(reason) => found.unknown.push(Examined {
                name: format!("table {table}"),
                reason,
            }),
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Sound,
    Broken(String),
    Unknown(String),
}

/// A warning is a finding too: of an index with another number of entries the server only warns.
fn verdict(said: &[Said]) -> Verdict {
    let of = |kinds: &[&str]| {
        let mut lines = said.iter();
        let line = lines.find(|(_, _, kind, _)| kinds.contains(&kind.to_lowercase().as_str()));
        line.map(|(_, _, _, text)| text.replace('\n', " "))
    };
    if let Some(wrong) = of(&["error", "warning"]) {
        return Verdict::Broken(wrong);
    }
    match of(&["status"]) {
        Some(text) if text == "OK" || text.contains("already up to date") => Verdict::Sound,
        Some(text) => Verdict::Broken(text),
        None => Verdict::Unknown(
            of(&["note", "info"]).unwrap_or_else(|| "the server gave no verdict".to_owned()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[(&str, &str)]) -> Vec<Said> {
        let line = |(kind, text): &(&str, &str)| {
            let word = |text: &str| text.to_owned();
            (word("shop.users"), word("check"), word(kind), word(text))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn only_a_clear_yes_is_sound() {
        assert_eq!(verdict(&said(&[("status", "OK")])), Verdict::Sound);
        let up_to_date = [("status", "Table is already up to date")];
        assert_eq!(verdict(&said(&up_to_date)), Verdict::Sound);
        let fewer = "InnoDB: Index 'email' contains 4 entries, should be 5.";
        for lines in [
            vec![("Warning", fewer), ("status", "OK")],
            vec![("warning", fewer), ("error", "Corrupt")],
        ] {
            assert_eq!(verdict(&said(&lines)), Verdict::Broken(fewer.to_owned()));
        }
        let failed = "Operation failed".to_owned();
        let lines = said(&[("status", "Operation failed")]);
        assert_eq!(verdict(&lines), Verdict::Broken(failed));
        let no = "The storage engine for the table doesn't support check";
        assert_eq!(
            verdict(&said(&[("note", no)])),
            Verdict::Unknown(no.to_owned())
        );
        assert!(matches!(verdict(&[]), Verdict::Unknown(_)));
    }
}
