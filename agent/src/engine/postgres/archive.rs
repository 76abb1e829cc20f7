//! Reads the table of contents of a pg_dump custom-format archive while it streams by.
//!
//! pg_restore makes what comes before the data. What comes after — indexes, constraints, triggers
//! and the rest — we order ourselves, so we need each entry's own text, not a script: a script
//! cannot be cut into statements safely, an archive has them cut already.

mod cursor;
pub mod entry;

use cursor::{Cursor, Short};
pub use entry::{Entry, Pass, Section};

/// Archive versions whose layout is known: PostgreSQL 12 to 15, 16, 17 and 18.
const KNOWN: std::ops::RangeInclusive<u8> = 14..=16;

/// The most that one entry may take; an honest definition is far below it.
const ENTRY_LIMIT: usize = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    #[error("the schema stream is not a pg_dump archive")]
    NotAnArchive,
    #[error(
        "the pg_dump archive has format version {major}.{minor}; 1.14 to 1.16 (PostgreSQL 12 to 18) are known"
    )]
    UnknownVersion { major: u8, minor: u8 },
    #[error("the pg_dump archive is not in custom format")]
    NotCustom,
    #[error("the pg_dump archive is damaged: {0}")]
    Damaged(&'static str),
    #[error("the pg_dump archive ends after {read} of {all} entries")]
    Truncated { read: u64, all: u64 },
}

/// Layout of one archive, from its header.
#[derive(Debug, Clone, Copy)]
struct Layout {
    minor: u8,
    int_bytes: usize,
    offset_bytes: usize,
}

/// A reader that is pushed bytes and gives entries as they become whole.
#[derive(Debug, Default)]
pub struct TocReader {
    pending: Vec<u8>,
    layout: Option<Layout>,
    announced: u64,
    read: u64,
    section: Section,
}

impl TocReader {
    /// Takes the next bytes of the archive and hands each entry that is now whole to `entry`.
    ///
    /// # Errors
    /// [`ArchiveError`] when this cannot be an archive that is understood.
    pub fn push(&mut self, bytes: &[u8], mut entry: impl FnMut(Entry)) -> Result<(), ArchiveError> {
        if self.is_complete() {
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut cursor = Cursor::new(&pending);
        let outcome = self.advance(&mut cursor, &mut entry);
        let rest = &pending[cursor.mark()..];
        outcome?;
        if rest.len() > ENTRY_LIMIT {
            return Err(ArchiveError::Damaged("an entry of more than 64 MiB"));
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    /// Whether every announced entry has been read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.layout.is_some() && self.read == self.announced
    }

    /// # Errors
    /// When the archive ended before its last entry.
    pub fn finish(&self) -> Result<(), ArchiveError> {
        match self.layout {
            None => Err(ArchiveError::NotAnArchive),
            Some(_) if self.is_complete() => Ok(()),
            Some(_) => Err(ArchiveError::Truncated {
                read: self.read,
                all: self.announced,
            }),
        }
    }

    fn advance(
        &mut self,
        cursor: &mut Cursor<'_>,
        entry: &mut impl FnMut(Entry),
    ) -> Result<(), ArchiveError> {
        let layout = match self.layout {
            Some(layout) => layout,
            None => match read_head(cursor) {
                Ok((layout, announced)) => {
                    cursor.keep();
                    self.layout = Some(layout);
                    self.announced = announced;
                    layout
                }
                Err(Short::More) => return Ok(()),
                Err(Short::Bad(error)) => return Err(error),
            },
        };
        while self.read < self.announced {
            match read_entry(cursor, layout) {
                Ok(mut found) => {
                    cursor.keep();
                    self.read += 1;
                    // Grants and comments carry no section: they go with what stands before them.
                    match found.section {
                        Section::None => found.section = self.section,
                        section => self.section = section,
                    }
                    entry(found);
                }
                Err(Short::More) => return Ok(()),
                Err(Short::Bad(error)) => return Err(error),
            }
        }
        Ok(())
    }
}

fn read_head(cursor: &mut Cursor<'_>) -> Result<(Layout, u64), Short> {
    if cursor.take(5)? != b"PGDMP" {
        return Err(Short::Bad(ArchiveError::NotAnArchive));
    }
    let (major, minor, _revision) = (cursor.byte()?, cursor.byte()?, cursor.byte()?);
    if major != 1 || !KNOWN.contains(&minor) {
        return Err(Short::Bad(ArchiveError::UnknownVersion { major, minor }));
    }
    let layout = Layout {
        minor,
        int_bytes: usize::from(cursor.byte()?),
        offset_bytes: usize::from(cursor.byte()?),
    };
    if !(1..=8).contains(&layout.int_bytes) || !(1..=8).contains(&layout.offset_bytes) {
        return Err(Short::Bad(ArchiveError::Damaged("widths of numbers")));
    }
    // archCustom
    if cursor.byte()? != 1 {
        return Err(Short::Bad(ArchiveError::NotCustom));
    }
    if minor >= 15 {
        cursor.byte()?;
    } else {
        cursor.int(layout.int_bytes)?;
    }
    // Time of creation: seconds to years, and daylight saving.
    for _ in 0..7 {
        cursor.int(layout.int_bytes)?;
    }
    // Database, version of the server, version of pg_dump.
    for _ in 0..3 {
        cursor.text(layout.int_bytes)?;
    }
    let count = cursor.int(layout.int_bytes)?;
    let count =
        u64::try_from(count).map_err(|_| Short::Bad(ArchiveError::Damaged("number of entries")))?;
    Ok((layout, count))
}

fn read_entry(cursor: &mut Cursor<'_>, layout: Layout) -> Result<Entry, Short> {
    let width = layout.int_bytes;
    let id = cursor.int(width)?;
    if id <= 0 {
        return Err(Short::Bad(ArchiveError::Damaged("number of an entry")));
    }
    let _has_dumper = cursor.int(width)?;
    let _catalog = cursor.text(width)?;
    let _oid = cursor.text(width)?;
    let tag = cursor.text(width)?.unwrap_or_default();
    let desc = cursor.text(width)?.unwrap_or_default();
    let section = Section::from_number(cursor.int(width)?)
        .ok_or(Short::Bad(ArchiveError::Damaged("section of an entry")))?;
    let defn = cursor.text(width)?.unwrap_or_default();
    let drop_statement = cursor.text(width)?.unwrap_or_default();
    let _copy_statement = cursor.text(width)?;
    let namespace = cursor.text(width)?.unwrap_or_default();
    let tablespace = cursor.text(width)?.unwrap_or_default();
    let access_method = cursor.text(width)?.unwrap_or_default();
    if layout.minor >= 16 {
        let _relation_kind = cursor.int(width)?;
    }
    let owner = cursor.text(width)?.unwrap_or_default();
    let _with_oids = cursor.text(width)?;
    let mut dependencies = Vec::new();
    while let Some(text) = cursor.text(width)? {
        let dependency = text
            .parse()
            .map_err(|_| Short::Bad(ArchiveError::Damaged("dependency of an entry")))?;
        dependencies.push(dependency);
    }
    // Where its data stand: a flag and an offset, of no use in a stream.
    cursor.take(1 + layout.offset_bytes)?;
    Ok(Entry {
        id,
        section,
        desc,
        tag,
        namespace,
        owner,
        tablespace,
        access_method,
        defn,
        drop_statement,
        dependencies,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(out: &mut Vec<u8>, value: i64) {
        out.push(u8::from(value < 0));
        out.extend_from_slice(&u32::try_from(value.abs()).unwrap().to_le_bytes());
    }

    fn text(out: &mut Vec<u8>, value: Option<&str>) {
        match value {
            None => int(out, -1),
            Some(value) => {
                int(out, i64::try_from(value.len()).unwrap());
                out.extend_from_slice(value.as_bytes());
            }
        }
    }

    /// An archive as pg_dump of that format version writes it.
    fn archive(minor: u8, entries: &[(&str, &str, i64, &str)]) -> Vec<u8> {
        let mut out = b"PGDMP".to_vec();
        out.extend_from_slice(&[1, minor, 0, 4, 8, 1]);
        if minor >= 15 {
            out.push(1);
        } else {
            int(&mut out, -1);
        }
        for field in [1, 2, 3, 4, 5, 126, 0] {
            int(&mut out, field);
        }
        for field in ["shop", "15.20", "15.20"] {
            text(&mut out, Some(field));
        }
        int(&mut out, i64::try_from(entries.len()).unwrap());
        for (at, (desc, tag, section, defn)) in entries.iter().enumerate() {
            int(&mut out, i64::try_from(at).unwrap() + 1);
            int(&mut out, 0);
            for field in ["1259", "16384", tag, desc] {
                text(&mut out, Some(field));
            }
            int(&mut out, *section);
            text(&mut out, Some(defn));
            text(&mut out, Some("DROP it;\n"));
            text(&mut out, None);
            text(&mut out, Some("public"));
            text(&mut out, Some(""));
            text(&mut out, Some("heap"));
            if minor >= 16 {
                int(&mut out, 114);
            }
            text(&mut out, Some("alice"));
            text(&mut out, Some("false"));
            text(&mut out, Some("7"));
            text(&mut out, None);
            out.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        out
    }

    const SOME: [(&str, &str, i64, &str); 4] = [
        ("TABLE", "orders", 2, "CREATE TABLE orders();\n"),
        ("ACL", "TABLE orders", 1, "GRANT ...;\n"),
        ("INDEX", "orders_x", 4, "CREATE INDEX ...;\n"),
        ("COMMENT", "INDEX orders_x", 1, "COMMENT ...;\n"),
    ];

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<Entry>, ArchiveError> {
        let mut reader = TocReader::default();
        let mut entries = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.push(piece, |entry| entries.push(entry))?;
        }
        reader.finish()?;
        Ok(entries)
    }

    #[test]
    fn entries_come_out_whatever_the_pieces() {
        for minor in 14..=16 {
            let mut bytes = archive(minor, &SOME);
            bytes.extend_from_slice(b"blocks of data");
            for piece in [1, 3, 50, bytes.len()] {
                let entries = read(&bytes, piece).unwrap();
                let sections: Vec<_> = entries.iter().map(|e| e.section).collect();
                assert_eq!(
                    sections,
                    [Section::Pre, Section::Pre, Section::Post, Section::Post]
                );
                assert_eq!(entries[2].defn, "CREATE INDEX ...;\n");
                assert_eq!((entries[3].id, &entries[3].dependencies[..]), (4, &[7][..]));
                assert_eq!(entries[0].owner, "alice");
            }
        }
    }

    #[test]
    fn an_unknown_version_is_refused_by_name() {
        let error = read(&archive(17, &SOME), 100).unwrap_err();
        assert!(error.to_string().contains("1.17"), "{error}");
    }

    #[test]
    fn half_an_archive_is_not_an_archive() {
        let bytes = archive(14, &SOME);
        let error = read(&bytes[..bytes.len() - 20], 64).unwrap_err();
        assert_eq!(error, ArchiveError::Truncated { read: 3, all: 4 });
        assert_eq!(
            read(b"SELECT 1;", 3).unwrap_err(),
            ArchiveError::NotAnArchive
        );
    }
}
