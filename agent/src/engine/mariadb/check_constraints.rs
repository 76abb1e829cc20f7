//! The CHECK constraints of a database, whose clauses the two engines list differently.

use holdfast_proto::fleet::Engine;
use mysql_async::{Error, prelude::Queryable};

use super::{quote::literal, session::Session};

/// What must not be false for any row of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub table: String,
    pub name: String,
    pub clause: String,
}

/// Those that the server enforces, by table and name.
///
/// # Errors
/// What the server says; a version that knows no such constraints does not know the question.
pub async fn read(session: &mut Session, database: &str) -> Result<Vec<Check>, Error> {
    let mysql = session.engine == Engine::Mysql;
    let name = literal(database);
    let sql = if mysql {
        format!(
            "SELECT t.table_name, c.constraint_name, c.check_clause FROM information_schema.check_constraints c \
             JOIN information_schema.table_constraints t USING (constraint_schema, constraint_name) \
             WHERE constraint_schema = {name} AND t.constraint_type = 'CHECK' AND t.enforced = 'YES' ORDER BY 1, 2"
        )
    } else {
        format!(
            "SELECT table_name, constraint_name, check_clause FROM information_schema.check_constraints \
             WHERE constraint_schema = {name} ORDER BY 1, 2"
        )
    };
    let rows: Vec<(String, String, String)> = session.conn.query(sql).await?;
    let checks = rows.into_iter().map(|(table, name, clause)| Check {
        table,
        name,
        clause: if mysql { unescaped(&clause) } else { clause },
    });
    Ok(checks.collect())
}

/// A MySQL lists a clause as the inside of a quoted text.
fn unescaped(clause: &str) -> String {
    let mut plain = String::with_capacity(clause.len());
    let mut chars = clause.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('0') => '\0',
                Some('Z') => '\u{1a}',
                Some(other) => other,
                None => '\\',
            },
            c => c,
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_a_clause_are_texts_again() {
        let listed = r"(`name` <> _utf8mb4\'it\\\'s\\\\ \\n\')";
        assert_eq!(unescaped(listed), r"(`name` <> _utf8mb4'it\'s\\ \n')");
    }
}
