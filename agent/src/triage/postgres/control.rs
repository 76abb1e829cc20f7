//! `global/pg_control`: what a cluster knows of itself, and whether it stopped in order.

use crate::triage::bytes::{crc32c, u32_at, u64_at};

/// What the file always holds; behind the fields are zeros.
pub const SIZE: usize = 8192;

/// Formats whose fields lie alike, each with the offset of its checksum.
const FORMATS: [(u32, usize); 3] = [(1300, 288), (1700, 288), (1800, 292)];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    pub system_identifier: u64,
    pub format: u32,
    pub state: State,
    /// Where the newest checkpoint's record begins.
    pub checkpoint: u64,
    /// Where recovery would begin.
    pub redo: u64,
    pub timeline: u32,
    pub next_transaction: u64,
    /// Of a segment of the log, in bytes.
    pub wal_segment: u32,
    /// Of a page of the log, in bytes.
    pub wal_page: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    StartingUp,
    ShutDown,
    ShutDownInRecovery,
    ShuttingDown,
    InCrashRecovery,
    InArchiveRecovery,
    InProduction,
}

/// Why a control file cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    Short {
        bytes: usize,
    },
    /// Of a version that is not known here, or garbage.
    Format {
        format: u32,
    },
    Checksum,
    /// The checksum holds, and a field has a value that it cannot have.
    Nonsense {
        field: &'static str,
    },
}

/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Control, Flaw> {
    let short = || Flaw::Short { bytes: bytes.len() };
    let format = u32_at(bytes, 8).ok_or_else(short)?;
    let (_, checksum) = FORMATS
        .into_iter()
        .find(|(known, _)| *known == format)
        .ok_or(Flaw::Format { format })?;
    let stored = u32_at(bytes, checksum).ok_or_else(short)?;
    let fields = bytes.get(..checksum).ok_or_else(short)?;
    if crc32c(&[fields]) != stored {
        return Err(Flaw::Checksum);
    }
    let number = |at| u32_at(bytes, at).ok_or_else(short);
    let position = |at| u64_at(bytes, at).ok_or_else(short);
    let state = State::of(number(16)?).ok_or(Flaw::Nonsense { field: "state" })?;
    let (wal_page, wal_segment) = (number(224)?, number(228)?);
    let power = |size: u32, least: u32| size.is_power_of_two() && size >= least;
    if !power(wal_page, 1 << 10) || !power(wal_segment, 1 << 20) || wal_page > 1 << 16 {
        return Err(Flaw::Nonsense {
            field: "the size of the log's segments",
        });
    }
    Ok(Control {
        system_identifier: position(0)?,
        format,
        state,
        checkpoint: position(32)?,
        redo: position(40)?,
        timeline: number(48)?,
        next_transaction: position(64)?,
        wal_segment,
        wal_page,
    })
}

/// Whether a server of this major version writes control files of a known form.
#[must_use]
pub fn knows(major: u32) -> bool {
    (13..=18).contains(&major)
}

impl State {
    fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::StartingUp,
            1 => Self::ShutDown,
            2 => Self::ShutDownInRecovery,
            3 => Self::ShuttingDown,
            4 => Self::InCrashRecovery,
            5 => Self::InArchiveRecovery,
            6 => Self::InProduction,
            _ => return None,
        })
    }

    /// Everything is in the data files, and nothing is left to be recovered.
    #[must_use]
    pub fn is_clean(self) -> bool {
        matches!(self, Self::ShutDown | Self::ShutDownInRecovery)
    }

    /// As PostgreSQL's own tool says it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::StartingUp => "starting up",
            Self::ShutDown => "shut down",
            Self::ShutDownInRecovery => "shut down in recovery",
            Self::ShuttingDown => "shutting down",
            Self::InCrashRecovery => "in crash recovery",
            Self::InArchiveRecovery => "in archive recovery",
            Self::InProduction => "in production",
        }
    }
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A whole file of this format, with its checksum.
    pub fn file(format: u32, state: u32) -> Vec<u8> {
        let mut bytes = vec![0; SIZE];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &7_412_345_678_901_234_567u64.to_le_bytes());
        put(8, &format.to_le_bytes());
        put(16, &state.to_le_bytes());
        put(32, &0x0300_0060u64.to_le_bytes());
        put(40, &0x0300_0028u64.to_le_bytes());
        put(48, &1u32.to_le_bytes());
        put(64, &741u64.to_le_bytes());
        put(224, &8192u32.to_le_bytes());
        put(228, &(16u32 << 20).to_le_bytes());
        let at = FORMATS.iter().find(|(known, _)| *known == format);
        let at = at.expect("a known format").1;
        let sum = crc32c(&[&bytes[..at]]);
        bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn each_format_is_read_with_its_own_checksum() {
        for (format, _) in FORMATS {
            let control = read(&file(format, 6)).unwrap();
            assert_eq!(control.system_identifier, 7_412_345_678_901_234_567);
            assert_eq!(control.state, State::InProduction);
            assert_eq!(
                (control.checkpoint, control.redo),
                (0x0300_0060, 0x0300_0028)
            );
            assert_eq!((control.wal_segment, control.timeline), (16 << 20, 1));
        }
        assert_eq!(read(&file(1300, 1)).unwrap().state, State::ShutDown);
        assert_eq!(read(&file(1300, 9)), Err(Flaw::Nonsense { field: "state" }));
    }

    #[test]
    fn every_single_bit_of_the_fields_counts() {
        for (format, end) in FORMATS {
            let whole = file(format, 1);
            for bit in 0..(end + 4) * 8 {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(read(&flipped).is_err(), "bit {bit} of {format}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_short() {
        let whole = file(1800, 1);
        for bytes in [0, 1, 8, 11, 100, 295] {
            assert_eq!(read(&whole[..bytes]), Err(Flaw::Short { bytes }));
        }
        assert!(read(&whole[..296]).is_ok());
        let zeros = read(&[0; SIZE]);
        assert_eq!(zeros, Err(Flaw::Format { format: 0 }));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..400), format in 0usize..3) {
            let _ = read(&bytes);
            let mut known = bytes;
            if let Some(field) = known.get_mut(8..12) {
                field.copy_from_slice(&FORMATS[format].0.to_le_bytes());
            }
            let _ = read(&known);
        }
    }
}
