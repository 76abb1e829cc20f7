//! Cutting a big table at stable borders: a fixed number of heap pages, counted from the first.

use holdfast_proto::image::{Hash128, Part};

/// Smaller tables are not cut.
const WORTH_CUTTING: u64 = 256 << 20;
/// A part of a table; always at a multiple of it, so that an unchanged range stays one part.
const PART_BYTES: u64 = 128 << 20;

/// The one part that is the whole relation.
#[must_use]
pub(super) fn whole() -> Vec<Part> {
    vec![part(0, 0, 0)]
}

/// Cuts where it pays: with two processors or fewer it only costs.
#[must_use]
pub(super) fn cut(heap_bytes: u64, block_bytes: u64, cpus: u32) -> Vec<Part> {
    if cpus <= 2 || heap_bytes <= WORTH_CUTTING || block_bytes == 0 {
        return whole();
    }
    let step = PART_BYTES / block_bytes;
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
        fn every_page_is_in_exactly_one_part(heap_bytes in 0u64..(40 << 30), cpus in 0u32..64) {
            let parts = cut(heap_bytes, 8192, cpus);
            if parts.len() > 1 {
                prop_assert!(cpus > 2);
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
            let before = cut(small << 20, 8192, 8);
            let after = cut((small + more) << 20, 8192, 8);
            prop_assert_eq!(&after[..before.len()], &before[..]);
        }
    }
}
