//! Segments of the write-ahead log: their names, their first page, and the record of a checkpoint.

use super::control::Control;
use crate::triage::bytes::{crc32c, u8_at, u16_at, u32_at, u64_at};

/// Of a page that is no first one, in bytes.
const SHORT_HEADER: usize = 24;
/// Of the first page of a segment.
const LONG_HEADER: usize = 40;
const RECORD_HEADER: usize = 24;
/// Behind the header of a record without blocks: what kind of data follows, how long it is.
const DATA_HEADER: usize = 2;
/// A checkpoint's record is shorter in every version.
const MOST_CHECKPOINT: usize = 256;

/// The first page of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstPage {
    pub magic: u16,
    pub timeline: u32,
    /// Where in the log the segment begins; of a segment that was made ready and not yet written: an older place.
    pub address: u64,
    pub system_identifier: u64,
}

/// Why the record of a checkpoint cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// There are zeros where it should be.
    Empty,
    Checksum,
    /// It is a record of something else, or the checkpoint of another moment.
    Other,
    Short,
}

impl Flaw {
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Empty => "there is nothing where it should be",
            Self::Checksum => "its checksum is wrong",
            Self::Other => "something else is where it should be",
            Self::Short => "the segment ends before it",
        }
    }
}

#[must_use]
pub fn number(position: u64, segment: u32) -> u64 {
    position.checked_div(u64::from(segment)).unwrap_or_default()
}

/// "000000010000000000000003".
#[must_use]
pub fn name(timeline: u32, number: u64, segment: u32) -> String {
    let in_each = (1u64 << 32)
        .checked_div(u64::from(segment))
        .unwrap_or(1)
        .max(1);
    let (high, low) = (number / in_each, number % in_each);
    format!("{timeline:08X}{high:08X}{low:08X}")
}

/// Timeline and number; none: it is no segment.
#[must_use]
pub fn parse(name: &str, segment: u32) -> Option<(u32, u64)> {
    if name.len() != 24 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let part = |at: usize| u32::from_str_radix(name.get(at..at + 8)?, 16).ok();
    let in_each = (1u64 << 32).checked_div(u64::from(segment))?.max(1);
    let number = u64::from(part(8)?) * in_each + u64::from(part(16)?);
    Some((part(0)?, number))
}

/// As the servers of a major version write it; none: not known here.
#[must_use]
pub fn magic(major: u32) -> Option<u16> {
    Some(match major {
        13 => 0xD106,
        14 => 0xD10D,
        15 => 0xD110,
        16 => 0xD113,
        17 => 0xD116,
        18 => 0xD118,
        _ => return None,
    })
}

/// None: too few bytes.
#[must_use]
pub fn first_page(bytes: &[u8]) -> Option<FirstPage> {
    Some(FirstPage {
        magic: u16_at(bytes, 0)?,
        timeline: u32_at(bytes, 4)?,
        address: u64_at(bytes, 8)?,
        system_identifier: u64_at(bytes, 24)?,
    })
}

impl FirstPage {
    /// Whether it is one of this cluster, written by this major version.
    #[must_use]
    pub fn is_of(&self, control: &Control, major: u32) -> bool {
        let known = match magic(major) {
            Some(magic) => self.magic == magic,
            None => self.magic >> 8 == 0xD1,
        };
        known && self.system_identifier == control.system_identifier
    }
}

/// Where the pages begin that hold a checkpoint's record: two of them, unless the segment ends.
#[must_use]
pub fn pages_of(control: &Control) -> (u64, usize) {
    let page = u64::from(control.wal_page).max(1);
    let in_segment = control.checkpoint % u64::from(control.wal_segment).max(1);
    let begin = in_segment - in_segment % page;
    (begin, control.wal_page as usize * 2)
}

/// The checkpoint's record in the pages that [`pages_of`] names. `Ok(false)`: it goes on in the next segment, so that
/// it was not looked at as a whole.
///
/// # Errors
/// What is wrong with it.
pub fn checkpoint(pages: &[u8], control: &Control) -> Result<bool, Flaw> {
    let page = control.wal_page as usize;
    let (begin, _) = pages_of(control);
    let offset = usize::try_from(control.checkpoint % u64::from(control.wal_page).max(1));
    let offset = offset.map_err(|_| Flaw::Short)?;
    let header = if begin == 0 {
        LONG_HEADER
    } else {
        SHORT_HEADER
    };
    if offset < header {
        return Err(Flaw::Other);
    }
    let first = pages.get(..page).ok_or(Flaw::Short)?;
    let mut record = first.get(offset..).ok_or(Flaw::Short)?.to_vec();
    let on_one_page = record.len();
    let whole = u32_at(&record, 0).ok_or(Flaw::Short)? as usize;
    if whole == 0 {
        return Err(Flaw::Empty);
    }
    if !(RECORD_HEADER + DATA_HEADER + 8..=MOST_CHECKPOINT).contains(&whole) {
        return Err(Flaw::Other);
    }
    if whole > on_one_page {
        let last = begin + u64::from(control.wal_page) >= u64::from(control.wal_segment);
        if last {
            return Ok(false);
        }
        let rest = page + SHORT_HEADER..page * 2;
        record.extend_from_slice(pages.get(rest).ok_or(Flaw::Short)?);
    }
    let (head, data) = record
        .get(..whole)
        .and_then(|record| record.split_at_checked(RECORD_HEADER))
        .ok_or(Flaw::Short)?;
    let fields = head.get(..20).ok_or(Flaw::Short)?;
    if u32_at(head, 20) != Some(crc32c(&[data, fields])) {
        return Err(Flaw::Checksum);
    }
    let is_checkpoint = u8_at(head, 17) == Some(0)
        && u8_at(head, 16).is_some_and(|info| matches!(info & 0xF0, 0 | 0x10));
    let redo = u64_at(data, DATA_HEADER);
    if is_checkpoint && redo == Some(control.redo) {
        Ok(true)
    } else {
        Err(Flaw::Other)
    }
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::triage::postgres::control::{self, tests::file};

    const SEGMENT: u32 = 16 << 20;

    fn control(checkpoint: u64) -> Control {
        Control {
            checkpoint,
            ..control::read(&file(1700, 6)).unwrap()
        }
    }

    /// The pages of a segment with the checkpoint's record at its place.
    pub fn pages(control: &Control) -> Vec<u8> {
        let mut data = vec![255, 88];
        data.extend(control.redo.to_le_bytes());
        data.extend([7; 80]);
        let mut head = vec![0; 20];
        head[..4].copy_from_slice(&114u32.to_le_bytes());
        head[16] = 0x10;
        let sum = crc32c(&[&data, &head]);
        let record = [head, sum.to_le_bytes().to_vec(), data].concat();
        let mut pages = vec![0; 2 * 8192];
        let offset = usize::try_from(control.checkpoint % 8192).unwrap();
        let first = record.len().min(8192 - offset);
        pages[offset..offset + first].copy_from_slice(&record[..first]);
        let rest = &record[first..];
        pages[8192 + SHORT_HEADER..8192 + SHORT_HEADER + rest.len()].copy_from_slice(rest);
        pages
    }

    #[test]
    fn names_follow_the_position() {
        assert_eq!(number(0x1_0300_0028, SEGMENT), 259);
        assert_eq!(name(2, 259, SEGMENT), "000000020000000100000003");
        assert_eq!(parse("000000020000000100000003", SEGMENT), Some((2, 259)));
        assert_eq!(name(1, 3, 1 << 30), "000000010000000000000003");
        for other in [
            "000000010000000000000003.partial",
            "archive_status",
            "00000002.history",
        ] {
            assert_eq!(parse(other, SEGMENT), None, "{other}");
        }
    }

    #[test]
    fn a_checkpoint_is_found_on_one_page_and_over_two() {
        for checkpoint in [0x0300_0028, 0x0300_2018, 0x0300_3FF8, 0x0300_3FA0] {
            let control = control(checkpoint);
            let pages = pages(&control);
            assert_eq!(
                super::checkpoint(&pages, &control),
                Ok(true),
                "{checkpoint:x}"
            );
        }
        // The last page of its segment: the rest lies in the next one.
        let control = control(0x03FF_FFF8);
        assert_eq!(super::checkpoint(&pages(&control), &control), Ok(false));
    }

    #[test]
    fn zeros_other_records_and_changed_bytes_are_told() {
        let control = control(0x0300_2018);
        let whole = pages(&control);
        assert_eq!(checkpoint(&vec![0; 16384], &control), Err(Flaw::Empty));
        assert_eq!(checkpoint(&whole[..8000], &control), Err(Flaw::Short));
        let mut changed = whole.clone();
        changed[0x18 + 60] ^= 4;
        assert_eq!(checkpoint(&changed, &control), Err(Flaw::Checksum));
        let moved = Control {
            redo: 0x0300_0000,
            ..control
        };
        assert_eq!(checkpoint(&whole, &moved), Err(Flaw::Other));
    }

    #[test]
    fn a_segment_of_another_cluster_or_version_is_not_ours() {
        let control = control(0x0300_0028);
        let mut bytes = vec![0; LONG_HEADER];
        bytes[..2].copy_from_slice(&0xD116u16.to_le_bytes());
        bytes[24..32].copy_from_slice(&control.system_identifier.to_le_bytes());
        let page = first_page(&bytes).unwrap();
        assert!(page.is_of(&control, 17) && !page.is_of(&control, 15) && page.is_of(&control, 19));
        bytes[24] ^= 1;
        assert!(!first_page(&bytes).unwrap().is_of(&control, 17));
        assert_eq!(first_page(&bytes[..20]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..20_000), position in any::<u64>()) {
            let control = control(position);
            let _ = checkpoint(&bytes, &control);
            let _ = first_page(&bytes);
            let (begin, _) = pages_of(&control);
            prop_assert!(begin < u64::from(SEGMENT));
        }

        #[test]
        fn every_name_reads_back(timeline in any::<u32>(), number in 0u64..1 << 34, power in 20u32..=30) {
            let name = name(timeline, number, 1 << power);
            prop_assert_eq!(parse(&name, 1 << power), Some((timeline, number)));
        }
    }
}
