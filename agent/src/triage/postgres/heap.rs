//! Rows in the pages of a catalog, read without the server: only those that are certainly there.
//!
//! A row counts when the transaction that made it is known to have ended well, and none is known or suspected to have
//! removed it. What is uncertain is left out: nobody is to be told that a file is missing whose row may be none.

use crate::triage::bytes::{u8_at, u16_at, u32_at};

/// Of every page of a server as it is distributed, in bytes.
pub const PAGE: usize = 8192;
const PAGE_HEADER: usize = 24;
/// Size of the page and version of its form, as one number.
const LAYOUT: u16 = 8192 | 4;
const POINTER: usize = 4;
/// A pointer to a row that is there.
const NORMAL: u32 = 1;

/// Only locked by the second transaction, not removed.
const LOCK_ONLY: u16 = 0x0080;
const MADE: u16 = 0x0100;
const NOT_MADE: u16 = 0x0200;
/// Made so long ago that nobody asks any more.
const FROZEN: u16 = MADE | NOT_MADE;
const REMOVED: u16 = 0x0400;
const NOT_REMOVED: u16 = 0x0800;
const SEVERAL: u16 = 0x1000;

/// How a transaction ended, as far as the files tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Committed,
    Aborted,
    Unknown,
}

/// The page's bytes make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPage;

/// What is known of transactions.
pub trait Transactions {
    fn fate(&mut self, transaction: u32) -> Fate;
    /// It began after the newest checkpoint: what it made may be in the log alone.
    fn is_recent(&self, transaction: u32) -> bool;
}

/// The fields of every row that is certainly there, one after the other.
///
/// # Errors
/// When it is no page of a table.
pub fn rows<'a>(page: &'a [u8], known: &mut impl Transactions) -> Result<Vec<&'a [u8]>, BadPage> {
    let field = |at| u16_at(page, at).map(usize::from).ok_or(BadPage);
    let (lower, upper, special) = (field(12)?, field(14)?, field(16)?);
    if page.len() != PAGE {
        return Err(BadPage);
    }
    // One that was added and not yet filled.
    if upper == 0 && page.iter().all(|byte| *byte == 0) {
        return Ok(Vec::new());
    }
    let in_order = PAGE_HEADER <= lower && lower <= upper && upper <= special && special <= PAGE;
    let pointers = lower.saturating_sub(PAGE_HEADER).is_multiple_of(POINTER);
    if !in_order || !pointers || u16_at(page, 18) != Some(LAYOUT) {
        return Err(BadPage);
    }
    let mut found = Vec::new();
    for at in (PAGE_HEADER..lower).step_by(POINTER) {
        let pointer = u32_at(page, at).ok_or(BadPage)?;
        if (pointer >> 15) & 3 != NORMAL {
            continue;
        }
        let (offset, length) = ((pointer & 0x7FFF) as usize, (pointer >> 17) as usize);
        let row = page.get(offset..offset + length).ok_or(BadPage)?;
        let begin = usize::from(u8_at(row, 22).ok_or(BadPage)?);
        if is_there(row, known).ok_or(BadPage)? {
            found.push(row.get(begin..).ok_or(BadPage)?);
        }
    }
    Ok(found)
}

fn is_there(row: &[u8], known: &mut impl Transactions) -> Option<bool> {
    let (maker, remover) = (u32_at(row, 0)?, u32_at(row, 4)?);
    let marks = u16_at(row, 20)?;
    let made = match marks & FROZEN {
        _ if known.is_recent(maker) => false,
        FROZEN | MADE => true,
        NOT_MADE => false,
        _ => known.fate(maker) == Fate::Committed,
    };
    if !made {
        return Some(false);
    }
    if remover == 0 || marks & (NOT_REMOVED | LOCK_ONLY) != 0 {
        return Some(true);
    }
    if marks & (REMOVED | SEVERAL) != 0 {
        return Some(false);
    }
    Some(known.fate(remover) == Fate::Aborted)
}

/// How a transaction ended, from the bytes of the segment of `pg_xact` that holds it.
#[must_use]
pub fn fate(segment: &[u8], transaction: u32) -> Fate {
    let in_segment = transaction % PER_SEGMENT;
    let bits =
        u8_at(segment, (in_segment / 4) as usize).map(|four| (four >> (2 * (in_segment % 4))) & 3);
    match bits {
        Some(1) => Fate::Committed,
        Some(2) => Fate::Aborted,
        _ => Fate::Unknown,
    }
}

/// Transactions in each segment of `pg_xact`.
pub const PER_SEGMENT: u32 = 32 * 8192 * 4;

/// The first that is no mark of its own.
pub const FIRST_NORMAL: u32 = 3;

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page with these rows: maker, remover, marks, fields.
    pub fn page(rows: &[(u32, u32, u16, Vec<u8>)]) -> Vec<u8> {
        let mut page = vec![0; PAGE];
        let mut upper = PAGE;
        for (index, (maker, remover, marks, fields)) in rows.iter().enumerate() {
            let mut row = vec![0; 24];
            row[..4].copy_from_slice(&maker.to_le_bytes());
            row[4..8].copy_from_slice(&remover.to_le_bytes());
            row[20..22].copy_from_slice(&marks.to_le_bytes());
            row[22] = 24;
            row.extend(fields);
            upper -= row.len().next_multiple_of(8);
            page[upper..upper + row.len()].copy_from_slice(&row);
            let length = u32::try_from(row.len()).unwrap();
            let pointer = u32::try_from(upper).unwrap() | NORMAL << 15 | length << 17;
            let at = PAGE_HEADER + index * POINTER;
            page[at..at + 4].copy_from_slice(&pointer.to_le_bytes());
        }
        let lower = u16::try_from(PAGE_HEADER + rows.len() * POINTER).unwrap();
        page[12..14].copy_from_slice(&lower.to_le_bytes());
        page[14..16].copy_from_slice(&u16::try_from(upper).unwrap().to_le_bytes());
        page[16..18].copy_from_slice(&8192u16.to_le_bytes());
        page[18..20].copy_from_slice(&LAYOUT.to_le_bytes());
        page
    }

    /// Up to 1000 nothing is recent.
    struct Ended(Fate);

    impl Transactions for Ended {
        fn fate(&mut self, transaction: u32) -> Fate {
            match transaction {
                100 => Fate::Committed,
                101 => Fate::Aborted,
                _ => self.0,
            }
        }

        fn is_recent(&self, transaction: u32) -> bool {
            transaction > 1000
        }
    }

    #[test]
    fn only_rows_that_are_certainly_there_count() {
        let cases = [
            (7, 0, FROZEN | NOT_REMOVED, true),
            (7, 0, MADE | NOT_REMOVED, true),
            (7, 9, MADE | LOCK_ONLY, true),
            (7, 0, NOT_MADE | NOT_REMOVED, false),
            (7, 9, MADE | REMOVED, false),
            (7, 9, MADE | SEVERAL, false),
            // Nothing is noted on the row: the log of transactions tells.
            (100, 0, NOT_REMOVED, true),
            (101, 0, NOT_REMOVED, false),
            (102, 0, NOT_REMOVED, false),
            (7, 100, MADE, false),
            (7, 101, MADE, true),
            (7, 102, MADE, false),
            // What recovery makes again.
            (1001, 0, FROZEN | NOT_REMOVED, false),
        ];
        for (maker, remover, marks, there) in cases {
            let page = page(&[(maker, remover, marks, vec![42])]);
            let rows = rows(&page, &mut Ended(Fate::Unknown)).unwrap();
            assert_eq!(!rows.is_empty(), there, "{maker} {remover} {marks:x}");
            assert!(rows.iter().all(|row| row[0] == 42));
        }
    }

    #[test]
    fn an_empty_page_is_none_and_a_broken_one_is_told() {
        let nobody = &mut Ended(Fate::Unknown);
        assert_eq!(rows(&[0; PAGE], nobody), Ok(Vec::new()));
        assert_eq!(rows(&[0; 100], nobody), Err(BadPage));
        let whole = page(&[(7, 0, FROZEN, vec![1])]);
        for (at, byte) in [(18, 9), (12, 255), (13, 255), (27, 255)] {
            let mut broken = whole.clone();
            broken[at] = byte;
            assert_eq!(rows(&broken, nobody), Err(BadPage), "{at}");
        }
    }

    #[test]
    fn two_bits_say_how_a_transaction_ended() {
        let segment = [0b1001_0100u8, 0b01];
        let ended = |number| fate(&segment, number);
        assert_eq!(ended(0), Fate::Unknown);
        assert_eq!(ended(1), Fate::Committed);
        assert_eq!(ended(3), Fate::Aborted);
        assert_eq!(ended(PER_SEGMENT + 4), Fate::Committed);
        assert_eq!(ended(500), Fate::Unknown, "past the end");
    }

    proptest! {
        #[test]
        fn no_page_breaks_it(mut bytes in proptest::collection::vec(any::<u8>(), PAGE..=PAGE), lower in 24u16..400) {
            bytes[12..14].copy_from_slice(&lower.to_le_bytes());
            bytes[14..16].copy_from_slice(&4000u16.to_le_bytes());
            bytes[16..18].copy_from_slice(&8192u16.to_le_bytes());
            bytes[18..20].copy_from_slice(&LAYOUT.to_le_bytes());
            let _ = rows(&bytes, &mut Ended(Fate::Committed));
            let _ = rows(&bytes[..100], &mut Ended(Fate::Committed));
        }
    }
}
