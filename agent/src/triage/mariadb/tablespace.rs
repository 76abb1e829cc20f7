//! The first page of an InnoDB file: whose it is, how long the file must be, whether its checksum holds.

use crate::triage::bytes::{crc32c, u8_at, u32_be_at};

/// Enough for the largest page.
pub const MOST_PAGE: usize = 64 << 10;
/// Of a page that no other size is noted for.
const USUAL: usize = 16 << 10;
const HEADER: usize = 38;
/// Marks a file whose pages carry one checksum over everything, in their last bytes.
const ONE_CHECKSUM: u32 = 1 << 4;

/// What the first page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstPage {
    pub space: u32,
    /// Length that the file has at least, in bytes.
    pub least_bytes: u64,
    pub checksum: Checksum,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Holds,
    /// There is no other way to make one in such a file.
    Wrong,
    /// Older files may carry others, or none.
    NotTheUsual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    Short,
    /// Nothing but zeros.
    Empty,
    /// It is no first page, or of two files at once.
    Nonsense,
}

impl Flaw {
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Short => "it ends within its first page",
            Self::Empty => "its first page is empty",
            Self::Nonsense => "its first page makes no sense",
        }
    }
}

/// From the first bytes of a file, as many as [`MOST_PAGE`] or all that it has.
///
/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8]) -> Result<FirstPage, Flaw> {
    let number = |at| u32_be_at(bytes, at).ok_or(Flaw::Short);
    let (flags, pages) = (number(HEADER + 16)?, number(HEADER + 8)?);
    let logical = logical_size(flags).ok_or(Flaw::Nonsense)?;
    let physical = physical_size(flags, logical);
    let page = bytes.get(..physical).ok_or(Flaw::Short)?;
    if page.iter().all(|byte| *byte == 0) {
        return Err(Flaw::Empty);
    }
    let (number_of_page, space, again) = (number(4)?, number(34)?, number(HEADER)?);
    if number_of_page != 0 || space != again || pages == 0 {
        return Err(Flaw::Nonsense);
    }
    Ok(FirstPage {
        space,
        least_bytes: u64::from(pages) * physical as u64,
        checksum: checksum(page, flags, physical == logical),
    })
}

fn logical_size(flags: u32) -> Option<usize> {
    let power = if flags & ONE_CHECKSUM != 0 {
        flags & 15
    } else {
        (flags >> 6) & 15
    };
    match power {
        0 => Some(USUAL),
        3..=7 => Some(512 << power),
        _ => None,
    }
}

/// Of a compressed row format, smaller than what is worked with.
fn physical_size(flags: u32, logical: usize) -> usize {
    let power = (flags >> 1) & 15;
    if flags & ONE_CHECKSUM != 0 || !(1..=5).contains(&power) {
        return logical;
    }
    512 << power
}

fn checksum(page: &[u8], flags: u32, plain: bool) -> Checksum {
    if flags & ONE_CHECKSUM != 0 {
        let end = page.len().saturating_sub(4);
        let sum = page.get(..end).map(|bytes| crc32c(&[bytes]));
        return if sum.is_some() && sum == u32_be_at(page, end) {
            Checksum::Holds
        } else {
            Checksum::Wrong
        };
    }
    let parts = page
        .get(4..26)
        .zip(page.get(HEADER..page.len().saturating_sub(8)));
    let sum = parts.map(|(head, body)| crc32c(&[head]) ^ crc32c(&[body]));
    if plain && sum.is_some() && sum == u32_be_at(page, 0) {
        Checksum::Holds
    } else {
        Checksum::NotTheUsual
    }
}

/// Whether the header of a redo log's file is one, by its checksum.
#[must_use]
pub fn is_log_header(bytes: &[u8]) -> bool {
    let sum = bytes.get(..508).map(|head| crc32c(&[head]));
    sum.is_some() && sum == u32_be_at(bytes, 508)
}

/// Whether Aria's control file begins as one.
#[must_use]
pub fn is_aria_control(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xfe, 0xfe, 0x0c]) && u8_at(bytes, 3) == Some(1) && bytes.len() >= 40
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A first page, with either kind of checksum.
    pub fn page(space: u32, pages: u32, one_checksum: bool) -> Vec<u8> {
        let mut page = vec![0; USUAL];
        page[34..38].copy_from_slice(&space.to_be_bytes());
        page[38..42].copy_from_slice(&space.to_be_bytes());
        page[46..50].copy_from_slice(&pages.to_be_bytes());
        page[25] = 8;
        if one_checksum {
            page[54..58].copy_from_slice(&(ONE_CHECKSUM | 5).to_be_bytes());
            let sum = crc32c(&[&page[..USUAL - 4]]);
            page[USUAL - 4..].copy_from_slice(&sum.to_be_bytes());
        } else {
            let sum = crc32c(&[&page[4..26]]) ^ crc32c(&[&page[38..USUAL - 8]]);
            page[..4].copy_from_slice(&sum.to_be_bytes());
        }
        page
    }

    #[test]
    fn both_kinds_of_checksums_are_known() {
        for one in [true, false] {
            let whole = page(7, 4, one);
            let read = super::read(&whole).unwrap();
            assert_eq!((read.space, read.least_bytes), (7, 4 * 16384));
            assert_eq!(read.checksum, Checksum::Holds);
            let mut flipped = whole;
            flipped[5000] ^= 1;
            let wrong = if one {
                Checksum::Wrong
            } else {
                Checksum::NotTheUsual
            };
            assert_eq!(super::read(&flipped).unwrap().checksum, wrong);
        }
    }

    #[test]
    fn what_is_no_first_page_is_told() {
        let whole = page(7, 4, true);
        assert_eq!(read(&whole[..9000]), Err(Flaw::Short));
        assert_eq!(read(&[0; USUAL]), Err(Flaw::Empty));
        let mut other = whole;
        other[41] = 8;
        assert_eq!(read(&other), Err(Flaw::Nonsense));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
            let _ = read(&bytes);
            let _ = is_log_header(&bytes);
            let _ = is_aria_control(&bytes);
        }
    }
}
