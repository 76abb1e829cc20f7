//! Numbers out of raw bytes, as the servers of little-endian machines write them. Past the end is nothing.

use crc::{CRC_32_ISCSI, Crc, Digest};

/// CRC-32C, which PostgreSQL and InnoDB both use.
const CASTAGNOLI: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

#[must_use]
pub fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

#[must_use]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(array(bytes, at)?))
}

#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(array(bytes, at)?))
}

#[must_use]
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(array(bytes, at)?))
}

/// In the order of the network, which InnoDB keeps.
#[must_use]
pub fn u32_be_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(array(bytes, at)?))
}

/// A name in a field of fixed length, up to its first zero.
#[must_use]
pub fn name_at(bytes: &[u8], at: usize, length: usize) -> Option<String> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Over all parts, one after the other.
#[must_use]
pub fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut digest: Digest<'_, u32> = CASTAGNOLI.digest();
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_where_the_bytes_do() {
        let bytes = [1, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(u32_at(&bytes, 4), Some(2));
        assert_eq!(u32_be_at(&bytes, 4), Some(0x0200_0000));
        assert_eq!(u64_at(&bytes, 0), Some(0x2_0000_0001));
        assert_eq!(u32_at(&bytes, 5), None);
        assert_eq!(u16_at(&bytes, usize::MAX), None);
        assert_eq!(name_at(b"ab\0\0", 0, 4).as_deref(), Some("ab"));
        assert_eq!(name_at(b"ab", 0, 4), None);
    }

    #[test]
    fn the_checksum_is_castagnoli_s() {
        // The check value of the catalogue of CRCs.
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283);
    }
}
