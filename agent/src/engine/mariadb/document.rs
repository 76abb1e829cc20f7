//! The schema stream of an image: everything but rows, as statements that make it again.
//!
//! Names of the own database stand in the statements as [`OWN`] wherever the server writes them itself, so that
//! the same document makes a database of any name. Bodies of routines, triggers and events are as somebody wrote them.

use serde::{Deserialize, Serialize};

use super::quote::ident;

/// Of [`Document`]; a reader refuses what it does not know.
pub const FORMAT: u32 = 1;
/// Stands for the database's own name: no name can hold a character that ends a text.
const OWN: &str = "\u{0}own\u{0}";
/// Stands for whether an event runs.
pub const STATE: &str = "\u{0}state\u{0}";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    pub format: u32,
    pub database: String,
    pub charset: String,
    pub collation: String,
    pub comment: String,
    pub tables: Vec<Table>,
    pub sequences: Vec<Made>,
    pub routines: Vec<Made>,
    pub views: Vec<Made>,
    pub triggers: Vec<Trigger>,
    pub events: Vec<Event>,
    pub grants: Vec<Grant>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub name: String,
    pub engine: String,
    pub create: String,
    /// Those whose values travel, in order: generated ones do not.
    pub columns: Vec<Column>,
    /// Of the primary key, in order; empty when there is none.
    pub key: Vec<String>,
    pub rows: u64,
    pub bytes: u64,
    /// The next number that the table itself gives; unset when it gives none.
    #[serde(default)]
    pub next: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub form: Form,
}

/// How a column's values become text and values again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Its bytes, as the server stores or prints them.
    #[default]
    Bytes,
    /// A single-precision number, which the server prints shorter than it is.
    Float,
    /// A shape: its reference system in four bytes, then its well-known binary.
    Shape,
    /// A type that reads text only when it is said to be text (uuid, inet6, …).
    Text,
}

/// A thing with one statement that makes it, and the settings it was made under.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// "PROCEDURE", "FUNCTION", "VIEW", "SEQUENCE".
    pub kind: String,
    pub name: String,
    pub create: String,
    pub sql_mode: String,
    /// Collation of the connection that made it: literals in it are of this one.
    pub collation: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    pub table: String,
    pub made: Made,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// With [`STATE`] where its state stands.
    pub made: Made,
    /// Also one that waits, as [`Event::resting`] makes it, to be enabled when its database is published.
    pub enabled: bool,
    pub time_zone: String,
}

impl Event {
    /// Makes it: running, or not. One that is to run and must not yet has a state of its own (the one that
    /// replicas use), so that its database says by itself which events run once it stands in its place.
    #[must_use]
    pub fn resting(&self, awake: bool) -> Made {
        let state = match (self.enabled, awake) {
            (true, true) => "ENABLE",
            (true, false) => "DISABLE ON SLAVE",
            (false, _) => "DISABLE",
        };
        Made {
            create: self.made.create.replacen(STATE, state, 1),
            ..self.made.clone()
        }
    }
}

/// One right on the database or on something in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    /// Quoted, as statements take it: `'app'@'%'`, or a role's `'writers'`.
    pub grantee: String,
    /// "SELECT", "ALL PRIVILEGES", or "SELECT (`a`)".
    pub privilege: String,
    /// "" for the database, else "TABLE", "PROCEDURE" or "FUNCTION" …
    pub kind: String,
    /// … of this name.
    pub name: String,
    pub grantable: bool,
}

impl Grant {
    /// The right on a database of this name.
    #[must_use]
    pub fn statement(&self, database: &str) -> String {
        let option = if self.grantable {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let Self {
            grantee, privilege, ..
        } = self;
        format!(
            "GRANT {privilege} ON {} TO {grantee}{option}",
            self.on(database)
        )
    }

    /// Takes the right away, and with it the right to give it on.
    #[must_use]
    pub fn revocation(&self, database: &str) -> String {
        let Self {
            grantee, privilege, ..
        } = self;
        let option = if self.grantable { ", GRANT OPTION" } else { "" };
        format!(
            "REVOKE {privilege}{option} ON {} FROM {grantee}",
            self.on(database)
        )
    }

    fn on(&self, database: &str) -> String {
        if self.kind.is_empty() {
            // In the name of a database `_` and `%` are patterns here.
            let exact = database
                .replace('\\', "\\\\")
                .replace('_', "\\_")
                .replace('%', "\\%");
            return format!("{}.*", ident(&exact));
        }
        format!("{} {}.{}", self.kind, ident(database), ident(&self.name))
    }
}

/// Puts the mark in the place of a database's name, where the name is followed by a dot and not quoted as a text.
#[must_use]
pub fn own(statement: &str, database: &str) -> String {
    replace(
        statement,
        &format!("{}.", ident(database)),
        &format!("`{OWN}`."),
    )
}

/// Puts a database's name in the place of the mark.
#[must_use]
pub fn named(statement: &str, database: &str) -> String {
    statement.replace(&format!("`{OWN}`."), &format!("{}.", ident(database)))
}

fn replace(statement: &str, what: &str, with: &str) -> String {
    let mut out = String::with_capacity(statement.len());
    let mut rest = statement;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        if before != '.' && rest.starts_with(what) {
            out.push_str(with);
            rest = &rest[what.len()..];
            before = '.';
            continue;
        }
        let length = match c {
            '\'' | '"' => quoted(rest, c),
            '`' => quoted(rest, '`'),
            c => c.len_utf8(),
        };
        out.push_str(&rest[..length]);
        before = rest[..length].chars().next_back().unwrap_or(' ');
        rest = &rest[length..];
    }
    out
}

/// Length of a quoted text or name at the beginning.
fn quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote != '`' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + c.len_utf8();
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_own_database_are_replaced() {
        let view = "CREATE VIEW `v` AS select `shop`.`f`(`t`.`a`) AS `x`, '`shop`.' AS `shop`, 'it''s \\' `shop`.' \
            from (`shop`.`t` join `other`.`shop` on `a`.`shop`.`b`)";
        let marked = own(view, "shop");
        assert_eq!(
            named(&marked, "new`name"),
            "CREATE VIEW `v` AS select `new``name`.`f`(`t`.`a`) AS `x`, '`shop`.' AS `shop`, 'it''s \\' `shop`.' \
            from (`new``name`.`t` join `other`.`shop` on `a`.`shop`.`b`)"
        );
        assert_eq!(named(&marked, "shop"), view);
    }

    #[test]
    fn a_right_is_on_exactly_this_database() {
        let grant = Grant {
            grantee: "'app'@'%'".to_owned(),
            privilege: "SELECT".to_owned(),
            grantable: true,
            ..Grant::default()
        };
        assert_eq!(
            grant.statement("my_shop"),
            "GRANT SELECT ON `my\\_shop`.* TO 'app'@'%' WITH GRANT OPTION"
        );
        let table = Grant {
            privilege: "SELECT (`a`)".to_owned(),
            kind: "TABLE".to_owned(),
            name: "t".to_owned(),
            grantable: false,
            ..grant
        };
        assert_eq!(
            table.revocation("my_shop"),
            "REVOKE SELECT (`a`) ON TABLE `my_shop`.`t` FROM 'app'@'%'"
        );
    }
}
