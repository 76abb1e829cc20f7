//! Rows as text that `LOAD DATA` reads, and their sum.
//!
//! Bytes come and go as they are stored (no character set is ever converted); what would end a field or a line is
//! escaped. One row is one line: hashed with its end, like every row of a PostgreSQL image.

use bytes::Bytes;
use holdfast_proto::image::{Hash128, Part};
use mysql_async::{Row, Value};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    document::{Column, Form, Table},
    quote::{ident, literal, qualified},
};

/// A piece is sent when it has grown to this size.
pub const BATCH_BYTES: usize = 512 << 10;
/// The largest piece: a row that is larger is cut.
const LARGEST_PIECE: usize = 1 << 20;

/// Rows that have been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub rows: u64,
    pub bytes: u64,
    pub fingerprint: Hash128,
}

/// Gathers rows into pieces.
#[derive(Debug, Default)]
pub struct Gatherer {
    batch: Vec<u8>,
    pub tally: Tally,
}

impl Gatherer {
    /// Adds a row, whose values must be of the text protocol.
    pub fn take(&mut self, row: Row) {
        let begun = self.batch.len();
        for (at, value) in row.unwrap_raw().into_iter().enumerate() {
            if at > 0 {
                self.batch.push(b'\t');
            }
            match value {
                Some(Value::Bytes(bytes)) => escape(&bytes, &mut self.batch),
                // Of the text protocol nothing else comes but nothing.
                _ => self.batch.extend_from_slice(b"\\N"),
            }
        }
        self.batch.push(b'\n');
        let line = &self.batch[begun..];
        self.tally.rows += 1;
        self.tally.bytes += line.len() as u64;
        self.tally.fingerprint = self.tally.fingerprint.plus(Hash128(xxh3_128(line)));
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.batch.len() >= BATCH_BYTES
    }

    /// What has been gathered, in pieces.
    pub fn pieces(&mut self) -> Vec<Bytes> {
        let mut rest = Bytes::from(std::mem::take(&mut self.batch));
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            pieces.push(rest.split_to(rest.len().min(LARGEST_PIECE)));
        }
        pieces
    }

    /// Forgets the bytes and keeps the sum.
    pub fn clear(&mut self) {
        self.batch.clear();
    }
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escaped = match byte {
            b'\\' => b'\\',
            b'\t' => b't',
            b'\n' => b'n',
            0 => b'0',
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(&[b'\\', escaped]);
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
}

/// Reads the rows of one part, in the order of the key where there is one.
#[must_use]
pub fn select(database: &str, table: &Table, part: &Part, parts: u32) -> String {
    let values: Vec<String> = table.columns.iter().map(reading).collect();
    // A table may have generated columns only; its rows count all the same.
    let values = if values.is_empty() {
        "1".to_owned()
    } else {
        values.join(", ")
    };
    let mut sql = format!("SELECT {values} FROM {}", qualified(database, &table.name));
    let Some(first) = table.key.first() else {
        return sql;
    };
    let column = ident(first);
    if parts > 1 {
        let mut borders = Vec::new();
        if part.index > 0 {
            borders.push(format!("{column} >= {}", part.first_page));
        }
        if part.index + 1 < parts {
            borders.push(format!("{column} < {}", part.end_page));
        }
        sql.push_str(&format!(" WHERE {}", borders.join(" AND ")));
    }
    let key: Vec<String> = table.key.iter().map(|column| ident(column)).collect();
    sql.push_str(&format!(" ORDER BY {}", key.join(", ")));
    sql
}

/// Writes rows that come on the session itself.
#[must_use]
pub fn load(database: &str, table: &Table) -> String {
    load_file(database, table, "rows")
}

/// Writes rows that the client reads from a file.
#[must_use]
pub fn load_file(database: &str, table: &Table, file: &str) -> String {
    let mut places = Vec::new();
    let mut sets = Vec::new();
    for (at, column) in table.columns.iter().enumerate() {
        match column.form {
            Form::Bytes | Form::Float => places.push(ident(&column.name)),
            Form::Shape => {
                places.push(format!("@holdfast_{at}"));
                let name = ident(&column.name);
                sets.push(format!(
                    "{name} = ST_GeomFromWKB(SUBSTRING(@holdfast_{at}, 5), \
                     CONV(HEX(REVERSE(SUBSTRING(@holdfast_{at}, 1, 4))), 16, 10))"
                ));
            }
            Form::Text => {
                places.push(format!("@holdfast_{at}"));
                let name = ident(&column.name);
                sets.push(format!("{name} = CONVERT(@holdfast_{at} USING utf8mb4)"));
            }
        }
    }
    if places.is_empty() {
        places.push("@holdfast_none".to_owned());
    }
    let mut sql = format!(
        "LOAD DATA LOCAL INFILE {} INTO TABLE {} CHARACTER SET binary \
         FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({})",
        literal(file),
        qualified(database, &table.name),
        places.join(", ")
    );
    if !sets.is_empty() {
        sql.push_str(&format!(" SET {}", sets.join(", ")));
    }
    sql
}

fn reading(column: &Column) -> String {
    let name = ident(&column.name);
    match column.form {
        Form::Bytes | Form::Text | Form::Shape => name,
        Form::Float => format!("CAST({name} AS DOUBLE)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let column = |name: &str, form| Column {
            name: name.to_owned(),
            form,
        };
        Table {
            name: "t".to_owned(),
            columns: vec![
                column("id", Form::Bytes),
                column("f", Form::Float),
                column("u", Form::Text),
            ],
            key: vec!["id".to_owned()],
            ..Table::default()
        }
    }

    fn part(index: u32, first_page: u64, end_page: u64) -> Part {
        Part {
            index,
            first_page,
            end_page,
            rows: 0,
            bytes: 0,
            bytes_hash: Hash128(0),
        }
    }

    #[test]
    fn what_ends_a_field_or_a_line_is_escaped() {
        let mut out = Vec::new();
        escape(b"a\tb\nc\\d\0\r\xff'", &mut out);
        assert_eq!(out, b"a\\tb\\nc\\\\d\\0\r\xff'");
    }

    #[test]
    fn the_first_part_has_no_lower_and_the_last_no_upper_border() {
        let sql = |index, parts| select("shop", &table(), &part(index, 64, 128), parts);
        assert!(sql(0, 3).ends_with("WHERE `id` < 128 ORDER BY `id`"));
        assert!(sql(1, 3).ends_with("WHERE `id` >= 64 AND `id` < 128 ORDER BY `id`"));
        assert!(sql(2, 3).ends_with("WHERE `id` >= 64 ORDER BY `id`"));
        assert_eq!(
            sql(0, 1),
            "SELECT `id`, CAST(`f` AS DOUBLE), `u` FROM `shop`.`t` ORDER BY `id`"
        );
    }

    #[test]
    fn values_that_must_be_text_are_said_to_be() {
        assert_eq!(
            load("shop", &table()),
            "LOAD DATA LOCAL INFILE 'rows' INTO TABLE `shop`.`t` CHARACTER SET binary \
             FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' (`id`, `f`, @holdfast_2) \
             SET `u` = CONVERT(@holdfast_2 USING utf8mb4)"
        );
    }
}
