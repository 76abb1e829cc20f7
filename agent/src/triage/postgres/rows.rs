//! Rows of a catalog out of its file, and how the transactions ended that wrote them.

use std::collections::BTreeMap;

use super::{
    control::Control,
    heap::{self, Fate},
};
use crate::triage::directory::{Directory, Look};

/// Of a catalog's file, pages read at a time.
const PAGES: usize = 64;
/// At most so many segments of transactions' ends are kept in memory: 256 KiB each.
const MOST_FATES: usize = 64;
/// A segment of a relation's file; behind it another one begins.
const SEGMENT_BYTES: u64 = 1 << 30;

/// Rows of a catalog, until `take` says no. Says how many pages were none.
pub fn walk(
    directory: &Directory,
    path: &str,
    fates: &mut Fates<'_>,
    take: &mut dyn FnMut(&[u8]) -> bool,
) -> Look<usize> {
    let mut bad = 0;
    let mut segment = 0u64;
    loop {
        let part = match segment {
            0 => path.to_owned(),
            _ => format!("{path}.{segment}"),
        };
        let mut length = 0u64;
        let mut goes_on = true;
        let read = directory.pieces(&part, PAGES * heap::PAGE, |piece| {
            length += piece.len() as u64;
            for page in piece.chunks(heap::PAGE) {
                match heap::rows(page, fates) {
                    Ok(rows) => goes_on = goes_on && rows.into_iter().all(&mut *take),
                    Err(heap::BadPage) => bad += 1,
                }
            }
            goes_on
        });
        match read {
            Look::Missing if segment > 0 => return Look::Seen(bad),
            Look::Seen(()) if goes_on && length == SEGMENT_BYTES => segment += 1,
            other => return other.map(|()| bad),
        }
    }
}

/// How transactions ended, read when somebody asks.
pub struct Fates<'a> {
    directory: &'a Directory,
    segments: BTreeMap<u32, Vec<u8>>,
    /// The first that began after the newest checkpoint, where that matters.
    recent: Option<u32>,
}

impl<'a> Fates<'a> {
    #[must_use]
    pub fn new(directory: &'a Directory, control: Option<&Control>) -> Self {
        let control = control.filter(|control| !control.state.is_clean());
        // Their numbers go round.
        let recent =
            control.and_then(|control| u32::try_from(control.next_transaction & 0xFFFF_FFFF).ok());
        Self {
            directory,
            segments: BTreeMap::new(),
            recent,
        }
    }
}

impl heap::Transactions for Fates<'_> {
    fn is_recent(&self, transaction: u32) -> bool {
        let after = |first: u32| transaction.wrapping_sub(first).cast_signed() >= 0;
        transaction >= heap::FIRST_NORMAL && self.recent.is_some_and(after)
    }

    fn fate(&mut self, transaction: u32) -> Fate {
        if transaction < heap::FIRST_NORMAL {
            return Fate::Committed;
        }
        let number = transaction / heap::PER_SEGMENT;
        if !self.segments.contains_key(&number) {
            if self.segments.len() >= MOST_FATES {
                self.segments.clear();
            }
            let path = format!("pg_xact/{number:04X}");
            let read = self
                .directory
                .read_from(&path, 0, (heap::PER_SEGMENT / 4) as usize);
            let bytes = read.seen().cloned().unwrap_or_default();
            self.segments.insert(number, bytes);
        }
        let segment = self.segments.get(&number).map(Vec::as_slice);
        heap::fate(segment.unwrap_or_default(), transaction)
    }
}
