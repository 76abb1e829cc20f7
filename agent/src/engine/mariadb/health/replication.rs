//! The sources that a server replicates from, as it tells them.

use holdfast_proto::fleet::ReplicationSource;
use mysql_async::{Error, Row, Value, from_value_opt, prelude::Queryable};

use crate::engine::mariadb::session::Session;

/// Every version has its own words; the first that is understood counts.
const MARIADB: [&str; 1] = ["SHOW ALL SLAVES STATUS"];
const MYSQL: [&str; 2] = ["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"];
/// A statement that the server does not know.
const NOT_UNDERSTOOD: u16 = 1064;

/// None when it replicates from nowhere.
///
/// # Errors
/// What the server says, also when our account may not ask.
pub(super) async fn sources(session: &mut Session) -> Result<Vec<ReplicationSource>, Error> {
    let statements: &[&str] = if session.is_mariadb() {
        &MARIADB
    } else {
        &MYSQL
    };
    let mut last = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        match session.conn.query::<Row, _>(*statement).await {
            Ok(rows) => {
                last = rows;
                break;
            }
            Err(Error::Server(answer))
                if answer.code == NOT_UNDERSTOOD && at + 1 < statements.len() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(last.iter().map(source).collect())
}

fn source(row: &Row) -> ReplicationSource {
    let text = |names: &[&str]| named(row, names).and_then(|v| from_value_opt::<String>(v).ok());
    let yes = |names: &[&str]| text(names).is_some_and(|word| word == "Yes");
    let host = text(&["Master_Host", "Source_Host"]).unwrap_or_default();
    let port = text(&["Master_Port", "Source_Port"]).unwrap_or_default();
    let lag = named(row, &["Seconds_Behind_Master", "Seconds_Behind_Source"]);
    let errors = ["Last_IO_Error", "Last_SQL_Error"].iter();
    let errors: Vec<String> = errors
        .filter_map(|name| text(&[name]))
        .filter(|error| !error.is_empty())
        .collect();
    ReplicationSource {
        name: text(&["Connection_name", "Channel_Name"]).unwrap_or_default(),
        address: format!("{host}:{port}"),
        receiving: yes(&["Slave_IO_Running", "Replica_IO_Running"]),
        applying: yes(&["Slave_SQL_Running", "Replica_SQL_Running"]),
        lag_seconds: lag.and_then(|value| from_value_opt::<u64>(value).ok()),
        last_error: errors.join("; "),
    }
}

fn named(row: &Row, names: &[&str]) -> Option<Value> {
    let columns = row.columns_ref();
    let at = columns
        .iter()
        .position(|column| names.iter().any(|name| column.name_str() == *name))?;
    row.as_ref(at)
        .cloned()
        .filter(|value| *value != Value::NULL)
}
