//! Reads everything of a database but its rows, as the statements that make it.

mod code;
mod tables;

use mysql_async::{Conn, Error, Row, from_value_opt, prelude::Queryable};

use super::{
    document::{Document, FORMAT},
    grants,
    quote::literal,
    session::Session,
};

/// What stands in a database that an image cannot hold, or not hold as it holds the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    pub warnings: Vec<String>,
    pub obstacles: Vec<String>,
}

/// Reads the document of a database. The session must be in it (`USE`).
///
/// # Errors
/// What the server says, also when a view or routine cannot be shown.
pub async fn read(session: &mut Session, database: &str) -> Result<(Document, Limits), Error> {
    let mut limits = Limits::default();
    let (engine, conn) = (session.engine, &mut session.conn);
    // Statements come in backquotes and complete, whatever the server's own mode is.
    conn.query_drop("SET SESSION sql_mode = '', sql_quote_show_create = 1")
        .await?;
    let name = literal(database);
    let about: Option<(String, String)> = conn
        .query_first(format!(
            "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata \
             WHERE schema_name = {name}"
        ))
        .await?;
    let (charset, collation) = about.unwrap_or_default();
    let mut document = Document {
        format: FORMAT,
        database: database.to_owned(),
        charset,
        collation,
        comment: comment(conn, database).await?,
        tables: tables::read(conn, engine, database, &mut limits).await?,
        sequences: tables::sequences(conn, database).await?,
        routines: code::routines(conn, database, &mut limits).await?,
        views: code::views(conn, database).await?,
        triggers: code::triggers(conn, database).await?,
        events: code::events(conn, database).await?,
        grants: grants::of(conn, database).await?,
    };
    document
        .tables
        .sort_by_key(|table| std::cmp::Reverse(table.bytes));
    names_itself(&document, &mut limits);
    Ok((document, limits))
}

/// MySQL and older MariaDBs have none.
async fn comment(conn: &mut Conn, database: &str) -> Result<String, Error> {
    let sql = format!(
        "SELECT schema_comment FROM information_schema.schemata WHERE schema_name = {}",
        literal(database)
    );
    match conn.query_first::<String, _>(sql).await {
        Ok(comment) => Ok(comment.unwrap_or_default()),
        Err(Error::Server(_)) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Bodies are copied as they are: one that names its own database goes on naming it.
fn names_itself(document: &Document, limits: &mut Limits) {
    let plain = format!("{}.", document.database.to_lowercase());
    let quoted = format!("`{}`.", document.database.to_lowercase());
    let bodies = document.routines.iter();
    let bodies = bodies.chain(document.triggers.iter().map(|trigger| &trigger.made));
    let bodies = bodies.chain(document.events.iter().map(|event| &event.made));
    let names: Vec<&str> = bodies
        .filter(|made| {
            let text = made.create.to_lowercase();
            text.contains(&quoted)
                || text
                    .split(|c: char| !is_name(c))
                    .any(|word| word.starts_with(&plain))
        })
        .map(|made| made.name.as_str())
        .collect();
    if !names.is_empty() {
        limits.warnings.push(format!(
            "bodies that name the database {} go on naming it in a copy of another name: {}",
            document.database,
            names.join(", ")
        ));
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || "_$.".contains(c)
}

/// A column of a row as text; empty when it is NULL or missing.
pub(super) fn text(row: &Row, at: usize) -> String {
    let value = row.as_ref(at).cloned();
    let bytes = value.and_then(|value| from_value_opt::<Vec<u8>>(value).ok());
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// A column by its name, which differs less from version to version than its place.
pub(super) fn named(row: &Row, name: &str) -> String {
    let columns = row.columns_ref();
    let at = columns
        .iter()
        .position(|column| column.name_str().eq_ignore_ascii_case(name));
    at.map(|at| text(row, at)).unwrap_or_default()
}
