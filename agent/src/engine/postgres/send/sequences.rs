//! Where the sequences of the source stand.

use holdfast_proto::image::SequenceState;
use tokio_postgres::{Client, Error};

use crate::engine::postgres::quote::qualified;

/// Sequences read in one statement.
const AT_ONCE: usize = 100;

/// Reads each as it stands now. Sequences know no snapshot: one may be ahead of the rows, never behind.
pub(super) async fn read(
    client: &Client,
    names: &[(String, String)],
) -> Result<Vec<SequenceState>, Error> {
    let mut states = Vec::with_capacity(names.len());
    for names in names.chunks(AT_ONCE) {
        let each: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(at, (schema, name))| {
                let from = qualified(schema, name);
                format!("SELECT {at} AS at, last_value, is_called FROM {from}")
            })
            .collect();
        let sql = format!("{} ORDER BY at", each.join(" UNION ALL "));
        for (row, (schema, name)) in client.query(&sql, &[]).await?.iter().zip(names) {
            states.push(SequenceState {
                schema: schema.clone(),
                name: name.clone(),
                last_value: row.get(1),
                is_called: row.get(2),
            });
        }
    }
    Ok(states)
}
