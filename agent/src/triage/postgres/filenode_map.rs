//! `pg_filenode.map`: in which file each of the most important catalogs lies.

use crate::triage::bytes::{crc32c, u32_at};

/// What every map begins with.
const MAGIC: u32 = 0x0059_2717;
/// Up to version 15, and since: most entries, offset of the checksum.
const SIZES: [(usize, usize); 2] = [(62, 504), (64, 520)];
const ENTRIES: usize = 8;

/// A catalog, or an index of one, and its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    pub relation: u32,
    pub file: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    Short { bytes: usize },
    Magic,
    Checksum,
}

impl Flaw {
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Short { bytes } => format!("it holds {bytes} bytes only"),
            Self::Magic => "it does not begin as such a file does".to_owned(),
            Self::Checksum => "its checksum is wrong".to_owned(),
        }
    }
}

/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Vec<Mapping>, Flaw> {
    let short = Flaw::Short { bytes: bytes.len() };
    if u32_at(bytes, 0).ok_or(short)? != MAGIC {
        return Err(Flaw::Magic);
    }
    let (_, least) = SIZES[0];
    if bytes.len() < least + 4 {
        return Err(short);
    }
    let sound = |checksum: usize| {
        let sum = bytes.get(..checksum).map(|fields| crc32c(&[fields]));
        sum.is_some() && sum == u32_at(bytes, checksum)
    };
    let count = usize::try_from(u32_at(bytes, 4).ok_or(short)?).unwrap_or(usize::MAX);
    let most = SIZES.iter().find(|(_, checksum)| sound(*checksum));
    let &(most, _) = most.ok_or(Flaw::Checksum)?;
    if count > most {
        return Err(Flaw::Checksum);
    }
    let entry = |index: usize| {
        let at = ENTRIES + index * 8;
        Some(Mapping {
            relation: u32_at(bytes, at)?,
            file: u32_at(bytes, at + 4)?,
        })
    };
    (0..count).map(|index| entry(index).ok_or(short)).collect()
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A whole map: of the older form, or of the newer one.
    pub fn file(newer: bool, mappings: &[(u32, u32)]) -> Vec<u8> {
        let (_, checksum) = SIZES[usize::from(newer)];
        let mut bytes = vec![0; if newer { 524 } else { 512 }];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4] = u8::try_from(mappings.len()).unwrap();
        for (index, (relation, file)) in mappings.iter().enumerate() {
            let at = ENTRIES + index * 8;
            bytes[at..at + 4].copy_from_slice(&relation.to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&file.to_le_bytes());
        }
        let sum = crc32c(&[&bytes[..checksum]]);
        bytes[checksum..checksum + 4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn both_forms_are_read() {
        for newer in [false, true] {
            let read = read(&file(newer, &[(1262, 1262), (2671, 16_400)])).unwrap();
            assert_eq!(read.len(), 2);
            assert_eq!((read[1].relation, read[1].file), (2671, 16_400));
        }
    }

    #[test]
    fn what_is_broken_is_told() {
        let whole = file(true, &[(1262, 1262)]);
        let mut flipped = whole.clone();
        flipped[9] ^= 1;
        assert_eq!(read(&flipped), Err(Flaw::Checksum));
        assert_eq!(read(&whole[..100]), Err(Flaw::Short { bytes: 100 }));
        assert_eq!(read(&[]), Err(Flaw::Short { bytes: 0 }));
        assert_eq!(read(&[0; 524]), Err(Flaw::Magic));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes);
            if let Some(field) = bytes.get_mut(..4) {
                field.copy_from_slice(&MAGIC.to_le_bytes());
            }
            let _ = read(&bytes);
        }
    }
}
