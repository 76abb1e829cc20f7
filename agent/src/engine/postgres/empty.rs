//! An empty staging database again, like the one that was made.

use holdfast_proto::task::{FailureKind, TaskFailure};
use tokio_postgres::{Client, Row};

use super::{
    databases::{self, is_marked},
    failure::{failed, failure},
    quote::{ident, literal},
};
use crate::observe::instances::Located;

/// Catalogs in which every database made from template0 holds only what initdb put there.
const FILLED: [&str; 11] = [
    "pg_class",
    "pg_namespace",
    "pg_proc",
    "pg_type",
    "pg_extension",
    "pg_largeobject_metadata",
    "pg_event_trigger",
    "pg_publication",
    "pg_default_acl",
    "pg_collation",
    "pg_cast",
];

/// Leaves it empty: as it is when nothing was made in it, else dropped and made anew.
///
/// # Errors
/// `Refused` when its name carries no job's mark; otherwise what the server said.
pub async fn staging(located: &Located, database: &str) -> Result<(), TaskFailure> {
    if !is_marked(database) {
        return Err(failure(
            FailureKind::Refused,
            format!("{database:?} is no name of a staging database"),
            "",
        ));
    }
    if is_empty(located, database).await? {
        return Ok(());
    }
    let client = located
        .route
        .connect(databases::MAINTENANCE[0])
        .await
        .map_err(|error| error.into_failure(&located.name))?;
    let doing = format!("emptying the staging database {database:?}");
    let explain = |error| failed(&doing, &error);
    let row = client
        .query_one(&like_sql(&client).await.map_err(explain)?, &[&database])
        .await
        .map_err(explain)?;
    let create = create_statement(database, &row);
    databases::drop_copy(located, &client, database).await?;
    client.batch_execute(&create).await.map_err(explain)
}

async fn is_empty(located: &Located, database: &str) -> Result<bool, TaskFailure> {
    let client = located
        .route
        .connect(database)
        .await
        .map_err(|error| error.into_failure(&located.name))?;
    let each: Vec<String> = FILLED
        .iter()
        .map(|catalog| format!("EXISTS (SELECT FROM pg_catalog.{catalog} WHERE oid >= 16384)"))
        .collect();
    let row = client
        .query_one(&format!("SELECT {}", each.join(" OR ")), &[])
        .await
        .map_err(|error| failed("looking whether the staging database is empty", &error))?;
    Ok(!row.get::<_, bool>(0))
}

/// The columns that say what a database is like were renamed from version to version.
async fn like_sql(client: &Client) -> Result<String, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT pg_catalog.current_setting('server_version_num')::int",
            &[],
        )
        .await?;
    let (provider, locale) = match row.get::<_, i32>(0) / 10_000 {
        ..15 => ("'c'", "NULL"),
        15 | 16 => ("datlocprovider::text", "daticulocale"),
        _ => ("datlocprovider::text", "datlocale"),
    };
    Ok(format!(
        "SELECT pg_catalog.pg_get_userbyid(datdba)::text, pg_catalog.pg_encoding_to_char(encoding)::text, \
         datcollate::text, datctype::text, {provider}, {locale}::text \
         FROM pg_catalog.pg_database WHERE datname = $1"
    ))
}

fn create_statement(database: &str, row: &Row) -> String {
    let text = |at: usize| row.get::<_, Option<String>>(at).unwrap_or_default();
    let mut statement = format!(
        "CREATE DATABASE {} WITH TEMPLATE = template0 OWNER = {} ENCODING = {} LC_COLLATE = {} LC_CTYPE = {}",
        ident(database),
        ident(&text(0)),
        literal(&text(1)),
        literal(&text(2)),
        literal(&text(3)),
    );
    match text(4).as_str() {
        "i" => statement.push_str(&format!(
            " LOCALE_PROVIDER = icu ICU_LOCALE = {}",
            literal(&text(5))
        )),
        "b" => statement.push_str(&format!(
            " LOCALE_PROVIDER = builtin BUILTIN_LOCALE = {}",
            literal(&text(5))
        )),
        _ => {}
    }
    statement
}
