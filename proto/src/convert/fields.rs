//! How the plain types travel: numbers, texts, times, lists.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{Fault, Field};

const NANOS_PER_SECOND: u32 = 1_000_000_000;

macro_rules! as_is {
    ($($type:ty),*) => {
        $(impl Field<$type> for $type {
            fn read(wire: $type) -> Result<Self, Fault> {
                Ok(wire)
            }

            fn write(self) -> $type {
                self
            }
        })*
    };
}

as_is!(bool, u8, u32, u64, i32, i64, String);

impl Field<f64> for f64 {
    fn read(wire: f64) -> Result<Self, Fault> {
        if wire.is_finite() {
            Ok(wire)
        } else {
            Err(Fault::Invalid(format!("{wire} is not a number")))
        }
    }

    fn write(self) -> f64 {
        self
    }
}

/// A port.
impl Field<u32> for u16 {
    fn read(wire: u32) -> Result<Self, Fault> {
        Self::try_from(wire).map_err(|_| Fault::Invalid(format!("{wire} is above 65535")))
    }

    fn write(self) -> u32 {
        self.into()
    }
}

impl Field<prost_types::Timestamp> for DateTime<Utc> {
    fn read(wire: prost_types::Timestamp) -> Result<Self, Fault> {
        let prost_types::Timestamp { seconds, nanos } = wire;
        u32::try_from(nanos)
            .ok()
            .filter(|nanos| *nanos < NANOS_PER_SECOND)
            .and_then(|nanos| Self::from_timestamp(seconds, nanos))
            .ok_or_else(|| Fault::Invalid(format!("{seconds} s and {nanos} ns is not a time")))
    }

    fn write(self) -> prost_types::Timestamp {
        // chrono counts a leap second as nanoseconds above 999 999 999; the wire has no leap seconds.
        let nanos = self.timestamp_subsec_nanos().min(NANOS_PER_SECOND - 1);
        prost_types::Timestamp {
            seconds: self.timestamp(),
            nanos: i32::try_from(nanos).unwrap_or_default(),
        }
    }
}

impl Field<Option<prost_types::Timestamp>> for DateTime<Utc> {
    fn read(wire: Option<prost_types::Timestamp>) -> Result<Self, Fault> {
        Self::read(wire.ok_or(Fault::Missing)?)
    }

    fn write(self) -> Option<prost_types::Timestamp> {
        Some(self.write())
    }
}

impl Field<prost_types::Duration> for Duration {
    fn read(wire: prost_types::Duration) -> Result<Self, Fault> {
        let prost_types::Duration { seconds, nanos } = wire;
        match (u64::try_from(seconds), u32::try_from(nanos)) {
            (Ok(whole), Ok(nanos)) if nanos < NANOS_PER_SECOND => Ok(Self::new(whole, nanos)),
            _ => Err(Fault::Invalid(format!(
                "{seconds} s and {nanos} ns is not a length of time"
            ))),
        }
    }

    fn write(self) -> prost_types::Duration {
        prost_types::Duration {
            seconds: i64::try_from(self.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(self.subsec_nanos()).unwrap_or_default(),
        }
    }
}

impl Field<Option<prost_types::Duration>> for Duration {
    fn read(wire: Option<prost_types::Duration>) -> Result<Self, Fault> {
        Self::read(wire.ok_or(Fault::Missing)?)
    }

    fn write(self) -> Option<prost_types::Duration> {
        Some(self.write())
    }
}

impl<Wire, T: Field<Wire>> Field<Option<Wire>> for Option<T> {
    fn read(wire: Option<Wire>) -> Result<Self, Fault> {
        wire.map(T::read).transpose()
    }

    fn write(self) -> Option<Wire> {
        self.map(T::write)
    }
}

impl<Wire, T: Field<Wire>> Field<Vec<Wire>> for Vec<T> {
    fn read(wire: Vec<Wire>) -> Result<Self, Fault> {
        wire.into_iter().map(T::read).collect()
    }

    fn write(self) -> Vec<Wire> {
        self.into_iter().map(T::write).collect()
    }
}

impl Field<HashMap<String, String>> for BTreeMap<String, String> {
    fn read(wire: HashMap<String, String>) -> Result<Self, Fault> {
        Ok(wire.into_iter().collect())
    }

    fn write(self) -> HashMap<String, String> {
        self.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<Wire, T: Field<Wire> + std::fmt::Debug>(wire: Wire) -> String {
        match T::read(wire) {
            Err(Fault::Invalid(reason)) => reason,
            other => panic!("not refused as invalid: {other:?}"),
        }
    }

    #[test]
    fn a_port_above_65535_is_refused() {
        assert_eq!(u16::read(65_535).unwrap(), 65_535);
        assert_eq!(refusal::<u32, u16>(65_536), "65536 is above 65535");
    }

    #[test]
    fn times_that_are_none_are_refused() {
        type Wire = prost_types::Timestamp;
        for (seconds, nanos) in [(0, -1), (0, 1_000_000_000), (i64::MAX, 0), (i64::MIN, 0)] {
            refusal::<Wire, DateTime<Utc>>(Wire { seconds, nanos });
        }
        assert!(matches!(
            <DateTime<Utc> as Field<Option<Wire>>>::read(None),
            Err(Fault::Missing)
        ));
    }

    #[test]
    fn durations_below_zero_are_refused() {
        type Wire = prost_types::Duration;
        for (seconds, nanos) in [(-1, 0), (0, -1), (1, 1_000_000_000)] {
            refusal::<Wire, Duration>(Wire { seconds, nanos });
        }
        assert!(matches!(
            <Duration as Field<Option<Wire>>>::read(None),
            Err(Fault::Missing)
        ));
    }

    #[test]
    fn what_the_wire_cannot_hold_is_cut_and_not_wrapped() {
        let wire: prost_types::Duration = Duration::MAX.write();
        assert_eq!(wire.seconds, i64::MAX);
        let leap = DateTime::from_timestamp(59, 1_500_000_000).unwrap();
        let wire: prost_types::Timestamp = leap.write();
        assert_eq!((wire.seconds, wire.nanos), (59, 999_999_999));
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            refusal::<f64, f64>(number);
        }
    }
}
