//! From the byte stream of a COPY OUT to pure rows: frames, header and trailer cut away.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use holdfast_proto::image::Hash128;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

/// Size at which a batch is handed on; a batch may exceed it by one row.
pub const BATCH_BYTES: usize = 1 << 20;

/// Rows above this are taken as they arrive, so that a huge value is never held whole.
const LARGE_ROW: usize = 256 << 10;

/// Signature (11), flags (4), length of the header extension (4).
const BINARY_HEADER: usize = 19;
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

const COPY_DATA: u8 = b'd';

/// Takes the CopyData messages off the front of a buffer.
pub struct RowReader {
    binary: bool,
    header_seen: bool,
    batch: Vec<u8>,
    /// The rest of a large row and its hash so far.
    large: Option<(usize, Box<Xxh3Default>)>,
    rows: u64,
    sum: u128,
    bytes: u64,
}

impl RowReader {
    #[must_use]
    pub fn new(binary: bool) -> Self {
        Self {
            binary,
            header_seen: !binary,
            batch: Vec::with_capacity(BATCH_BYTES + LARGE_ROW),
            large: None,
            rows: 0,
            sum: 0,
            bytes: 0,
        }
    }

    /// Consumes CopyData from `inbox` until the batch is full, more bytes are needed, or another
    /// kind of message stands in front. Tells whether such a message stands there.
    ///
    /// # Errors
    /// `InvalidData` when the server does not send what the COPY format says.
    pub fn take(&mut self, inbox: &mut BytesMut) -> io::Result<bool> {
        let mut at = 0;
        let mut other = false;
        while self.batch.len() < BATCH_BYTES {
            if self.large.is_some() {
                at += self.take_large(&inbox[at..]);
                if self.large.is_some() {
                    break;
                }
                continue;
            }
            let rest = &inbox[at..];
            if rest.len() < 5 {
                break;
            }
            if rest[0] != COPY_DATA {
                other = true;
                break;
            }
            let length = u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize;
            let length = length
                .checked_sub(4)
                .ok_or_else(|| invalid("a CopyData message shorter than its own length"))?;
            let body = &rest[5..];
            if body.len() < length.min(LARGE_ROW) {
                break;
            }
            if body.len() >= length {
                self.take_whole(&body[..length])?;
                at += 5 + length;
            } else {
                at += 5 + self.open_large(body, length)?;
            }
        }
        inbox.advance(at);
        Ok(other)
    }

    /// What has been gathered, when there is any.
    pub fn batch(&mut self) -> Option<Bytes> {
        if self.batch.is_empty() {
            return None;
        }
        let fresh = Vec::with_capacity(BATCH_BYTES + LARGE_ROW);
        Some(Bytes::from(std::mem::replace(&mut self.batch, fresh)))
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.batch.len() >= BATCH_BYTES
    }

    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The order-free sum over all rows so far.
    #[must_use]
    pub fn fingerprint(&self) -> Hash128 {
        Hash128(self.sum)
    }

    fn take_whole(&mut self, frame: &[u8]) -> io::Result<()> {
        let row = if self.header_seen {
            frame
        } else {
            self.strip_header(frame)?
        };
        // The trailer is a field count of -1; no row is as short.
        if self.binary && (row.is_empty() || row == [0xff, 0xff]) {
            return Ok(());
        }
        self.count(xxh3_128(row), row.len());
        self.batch.extend_from_slice(row);
        Ok(())
    }

    fn open_large(&mut self, body: &[u8], length: usize) -> io::Result<usize> {
        let row = if self.header_seen {
            body
        } else {
            self.strip_header(body)?
        };
        let mut hash = Box::new(Xxh3Default::new());
        hash.update(row);
        self.batch.extend_from_slice(row);
        self.bytes += row.len() as u64;
        self.large = Some((length - body.len(), hash));
        Ok(body.len())
    }

    fn take_large(&mut self, input: &[u8]) -> usize {
        let Some((left, hash)) = &mut self.large else {
            return 0;
        };
        let room = BATCH_BYTES.saturating_sub(self.batch.len());
        let taken = input.len().min(*left).min(room);
        hash.update(&input[..taken]);
        self.batch.extend_from_slice(&input[..taken]);
        self.bytes += taken as u64;
        *left -= taken;
        if *left == 0 {
            let digest = hash.digest128();
            self.large = None;
            self.count(digest, 0);
        }
        taken
    }

    fn count(&mut self, hash: u128, bytes: usize) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
        self.bytes += bytes as u64;
    }

    fn strip_header<'a>(&mut self, frame: &'a [u8]) -> io::Result<&'a [u8]> {
        let (header, row) = frame
            .split_at_checked(BINARY_HEADER)
            .ok_or_else(|| invalid("a binary COPY that begins with a fragment"))?;
        if !header.starts_with(SIGNATURE) || header[11..] != [0; 8] {
            return Err(invalid("a binary COPY with an unknown header"));
        }
        self.header_seen = true;
        Ok(row)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the server sent {what}"),
    )
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use proptest::prelude::*;

    use super::*;

    fn header() -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend_from_slice(&[0; 8]);
        out
    }

    fn frame(out: &mut BytesMut, body: &[u8]) {
        out.put_u8(COPY_DATA);
        out.put_u32(u32::try_from(body.len() + 4).unwrap());
        out.put_slice(body);
    }

    /// The frames that a server sends for these rows, and CopyDone.
    fn server(rows: &[Vec<u8>], binary: bool) -> BytesMut {
        let mut out = BytesMut::new();
        let mut first = if binary { header() } else { Vec::new() };
        for row in rows {
            first.extend_from_slice(row);
            frame(&mut out, &first);
            first.clear();
        }
        if binary {
            first.extend_from_slice(&[0xff, 0xff]);
            frame(&mut out, &first);
        }
        out.put_slice(b"c\0\0\0\x04");
        out
    }

    /// Feeds in pieces; gives all bytes of all batches.
    fn read(stream: &[u8], piece: usize, binary: bool) -> (Vec<u8>, RowReader) {
        let mut reader = RowReader::new(binary);
        let mut inbox = BytesMut::new();
        let mut out = Vec::new();
        let mut pieces = stream.chunks(piece);
        loop {
            let done = reader.take(&mut inbox).unwrap();
            if let Some(batch) = reader.batch() {
                out.extend_from_slice(&batch);
                continue;
            }
            if done {
                break;
            }
            inbox.extend_from_slice(pieces.next().expect("the stream ends with CopyDone"));
        }
        (out, reader)
    }

    fn sum(rows: &[Vec<u8>]) -> Hash128 {
        Hash128(
            rows.iter()
                .fold(0, |sum: u128, row| sum.wrapping_add(xxh3_128(row))),
        )
    }

    #[test]
    fn an_empty_table_is_no_rows() {
        for binary in [true, false] {
            let (bytes, reader) = read(&server(&[], binary), 7, binary);
            assert!(bytes.is_empty());
            assert_eq!((reader.rows(), reader.fingerprint()), (0, Hash128(0)));
        }
    }

    #[test]
    fn a_huge_row_passes_in_pieces_and_hashes_whole() {
        let rows = vec![vec![1; 10], vec![7; 3 * BATCH_BYTES + 11], vec![2; 10]];
        for binary in [true, false] {
            let (bytes, reader) = read(&server(&rows, binary), 100_000, binary);
            assert_eq!(bytes, rows.concat());
            assert_eq!((reader.rows(), reader.fingerprint()), (3, sum(&rows)));
            assert_eq!(reader.bytes(), bytes.len() as u64);
        }
    }

    #[test]
    fn a_foreign_header_is_refused() {
        let mut inbox = BytesMut::new();
        frame(&mut inbox, b"PGCOPY\n\xff\r\n\0\0\0\0\x01\0\0\0\0row");
        assert!(RowReader::new(true).take(&mut inbox).is_err());
    }

    proptest! {
        #[test]
        fn rows_come_out_whatever_the_pieces(
            rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 3..400), 0..60),
            piece in 1usize..700,
            binary: bool,
        ) {
            let (bytes, reader) = read(&server(&rows, binary), piece, binary);
            prop_assert_eq!(bytes, rows.concat());
            prop_assert_eq!(reader.rows(), rows.len() as u64);
            prop_assert_eq!(reader.fingerprint(), sum(&rows));
        }

        #[test]
        fn the_order_of_rows_does_not_matter(
            mut rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 3..40), 0..30),
        ) {
            let forth = sum(&rows);
            rows.reverse();
            prop_assert_eq!(forth, sum(&rows));
        }
    }
}
