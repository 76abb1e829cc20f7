//! Numbers and texts of an archive, read from bytes that may end in the middle.

use super::ArchiveError;

/// Why something could not be read here and now.
#[derive(Debug)]
pub(super) enum Short {
    /// Not all of it has arrived.
    More,
    Bad(ArchiveError),
}

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    kept: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            kept: 0,
        }
    }

    /// What has been read up to here is done with.
    pub(super) fn keep(&mut self) {
        self.kept = self.at;
    }

    pub(super) fn mark(&self) -> usize {
        self.kept
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let end = self.at.checked_add(count).ok_or(Short::More)?;
        let taken = self.bytes.get(self.at..end).ok_or(Short::More)?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Short> {
        Ok(self.take(1)?[0])
    }

    /// A sign byte, then the amount, least significant byte first.
    pub(super) fn int(&mut self, width: usize) -> Result<i64, Short> {
        let negative = self.byte()? != 0;
        let mut amount: i64 = 0;
        for (at, byte) in self.take(width)?.iter().enumerate() {
            if at >= 7 && *byte != 0 {
                return Err(Short::Bad(ArchiveError::Damaged("a number out of range")));
            }
            amount |= i64::from(*byte) << (8 * at.min(7));
        }
        Ok(if negative { -amount } else { amount })
    }

    /// Its length, then its bytes; a negative length is no text at all.
    pub(super) fn text(&mut self, width: usize) -> Result<Option<String>, Short> {
        let Ok(length) = usize::try_from(self.int(width)?) else {
            return Ok(None);
        };
        let bytes = self.take(length)?;
        // Definitions stand in the database's own encoding; what is not UTF-8 cannot be sent
        // back to a server as it is, so it must not pass silently.
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(Short::Bad(ArchiveError::Damaged(
                "a definition that is not UTF-8",
            ))),
        }
    }
}
