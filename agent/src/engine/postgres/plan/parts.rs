//! Cutting a big table at stable borders: a fixed number of heap pages, counted from the first.

use holdfast_proto::image::{Hash128, Part};

/// For speed: smaller tables are not cut, and parts are big.
const WORTH_CUTTING: u64 = 256 << 20;
const FAST_PART: u64 = 128 << 20;
/// For keeping: a row that grew moves those behind it in its part, and nothing beyond.
const KEPT_PART: u64 = 32 << 20;
/// The first version that reads a range of pages without reading the table.
const RANGES_SINCE: u32 = 140_000;

/// Which tables are cut, and where: always at a multiple of the part's size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cutting {
    #[default]
    Never,
    At {
        /// Bytes of the heap.
        part: u64,
        /// Smaller tables are one part.
        from: u64,
    },
}

/// The one part that is the whole relation.
#[must_use]
pub(super) fn whole() -> Vec<Part> {
    vec![part(0, 0, 0)]
}

impl Cutting {
    /// Where it pays: with two processors or fewer it only costs.
    #[must_use]
    pub fn for_speed(cpus: u32) -> Self {
        if cpus <= 2 {
            return Self::Never;
        }
        Self::At {
            part: FAST_PART,
            from: WORTH_CUTTING,
        }
    }

    /// The same borders in every backup, whatever the machine.
    #[must_use]
    pub fn for_keeping(source_version_num: u32) -> Self {
        if source_version_num < RANGES_SINCE {
            return Self::Never;
        }
        Self::At {
            part: KEPT_PART,
            from: KEPT_PART,
        }
    }

    #[must_use]
    pub(super) fn cut(self, heap_bytes: u64, block_bytes: u64) -> Vec<Part> {
        let Self::At { part: size, from } = self else {
            return whole();
        };
        if heap_bytes <= from || block_bytes == 0 {
            return whole();
        }
        let step = size / block_bytes;
        let pages = heap_bytes.div_ceil(block_bytes);
        (0..pages.div_ceil(step))
            .map(|at| {
                part(
                    u32::try_from(at).unwrap_or(u32::MAX),
                    at * step,
                    (at + 1) * step,
                )
            })
            .collect()
    }
}

fn part(index: u32, first_page: u64, end_page: u64) -> Part {
    Part {
        index,
        first_page,
        end_page,
        rows: 0,
        bytes: 0,
        bytes_hash: Hash128::default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_page_is_in_exactly_one_part(heap_bytes in 0u64..(40 << 30), cpus in 0u32..64, kept: bool) {
            let cutting = if kept { Cutting::for_keeping(150_000) } else { Cutting::for_speed(cpus) };
            let parts = cutting.cut(heap_bytes, 8192);
            if parts.len() > 1 {
                prop_assert!(kept || cpus > 2);
                prop_assert_eq!(parts[0].first_page, 0);
                for pair in parts.windows(2) {
                    prop_assert_eq!(pair[0].end_page, pair[1].first_page);
                }
                prop_assert!(parts.last().unwrap().end_page * 8192 >= heap_bytes);
            } else {
                prop_assert_eq!((parts[0].first_page, parts[0].end_page), (0, 0));
            }
        }

        #[test]
        fn growth_moves_no_border(small in 300u64..2000, more in 0u64..2000) {
            for cutting in [Cutting::for_speed(8), Cutting::for_keeping(170_000)] {
                let before = cutting.cut(small << 20, 8192);
                let after = cutting.cut((small + more) << 20, 8192);
                prop_assert_eq!(&after[..before.len()], &before[..]);
            }
        }
    }
}
