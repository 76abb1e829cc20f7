//! Foreign keys and checks, asked anew: rows that point nowhere, rows that their table would refuse.
//!
//! A load switches the server's own look at foreign keys off, so that nobody else has asked.

use std::collections::BTreeMap;

use holdfast_proto::task::{Examined, ExaminedDatabase, TaskFailure};
use mysql_async::prelude::Queryable as _;

use super::unknown;
use crate::engine::mariadb::{
    check_constraints::{self, Check},
    failure::failed,
    quote::{ident, literal, qualified},
    session::Session,
};

/// A foreign key with its columns in their order.
#[derive(Debug, Default, PartialEq)]
struct ForeignKey {
    schema: String,
    table: String,
    /// Here and there.
    columns: Vec<(String, String)>,
}

pub(super) async fn examine(
    session: &mut Session,
    database: &str,
    found: &mut ExaminedDatabase,
) -> Result<(), TaskFailure> {
    for ((table, name), key) in foreign_keys(session, database).await? {
        let question = orphans(database, &table, &key);
        let what = format!("foreign key {name} of {table}");
        let wrong = format!("rows point to none of {}", key.table);
        ask(session, question, what, &wrong, found).await?;
    }
    let listed = check_constraints::read(session, database).await;
    let listed = listed.map_err(|error| failed("listing the checks", &error))?;
    for Check {
        table,
        name,
        clause,
    } in listed
    {
        let question = format!(
            "SELECT COUNT(*) FROM {} WHERE NOT ({clause})",
            qualified(database, &table)
        );
        let what = format!("check {name} of {table}");
        ask(session, question, what, "rows do not keep it", found).await?;
    }
    Ok(())
}

async fn ask(
    session: &mut Session,
    question: String,
    name: String,
    wrong: &str,
    found: &mut ExaminedDatabase,
) -> Result<(), TaskFailure> {
    let counted: Result<Option<u64>, _> = session.conn.query_first(question).await;
    match counted {
        Ok(Some(0)) => found.checked_constraints += 1,
        Ok(Some(rows)) => found.broken.push(Examined {
            name,
            reason: format!("{rows} {wrong}"),
        }),
        Ok(None) => found.unknown.push(Examined {
            name,
            reason: "the server gave no count".to_owned(),
        }),
        Err(error) => unknown(found, name, &error)?,
    }
    Ok(())
}

/// By table and name.
async fn foreign_keys(
    session: &mut Session,
    database: &str,
) -> Result<BTreeMap<(String, String), ForeignKey>, TaskFailure> {
    let rows: Vec<(String, String, String, String, String, String)> = session
        .conn
        .query(format!(
            "SELECT table_name, constraint_name, referenced_table_schema, referenced_table_name, \
                    column_name, referenced_column_name \
             FROM information_schema.key_column_usage \
             WHERE table_schema = {} AND referenced_table_name IS NOT NULL \
             ORDER BY table_name, constraint_name, ordinal_position",
            literal(database)
        ))
        .await
        .map_err(|error| failed("listing the foreign keys", &error))?;
    let mut keys: BTreeMap<_, ForeignKey> = BTreeMap::new();
    for (table, name, schema, parent, column, there) in rows {
        let key = keys.entry((table, name)).or_default();
        (key.schema, key.table) = (schema, parent);
        key.columns.push((column, there));
    }
    Ok(keys)
}

/// Rows with a whole key that nobody has. A key with a NULL in it points nowhere on purpose.
fn orphans(database: &str, table: &str, key: &ForeignKey) -> String {
    let pairs = key.columns.iter();
    let same = pairs.map(|(here, there)| format!("c.{} = p.{}", ident(here), ident(there)));
    let whole = key.columns.iter();
    let whole = whole.map(|(here, _)| format!("c.{} IS NOT NULL", ident(here)));
    format!(
        "SELECT COUNT(*) FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
        qualified(database, table),
        whole.collect::<Vec<_>>().join(" AND "),
        qualified(&key.schema, &key.table),
        same.collect::<Vec<_>>().join(" AND ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_two_columns_is_asked_for_as_a_whole() {
        let key = ForeignKey {
            schema: "shop".to_owned(),
            table: "orders".to_owned(),
            columns: [("order", "id"), ("region", "region")]
                .map(|(here, there)| (here.to_owned(), there.to_owned()))
                .to_vec(),
        };
        assert_eq!(
            orphans("shop", "items", &key),
            "SELECT COUNT(*) FROM `shop`.`items` c WHERE c.`order` IS NOT NULL AND c.`region` IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM `shop`.`orders` p WHERE c.`order` = p.`id` AND c.`region` = p.`region`)"
        );
    }
}
