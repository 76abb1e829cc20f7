//! Random domain values for the round-trip tests, drawn field by field from proptest's generator.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use proptest::{
    prelude::{Just, Rng as _, Strategy},
    test_runner::TestRng,
};

pub trait Sample: Sized {
    fn sample(source: &mut Source) -> Self;
}

pub struct Source(TestRng);

impl Source {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    pub fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        let index = self.below(choices.len() as u64);
        choices[index as usize].clone()
    }
}

pub fn any<T: Sample + std::fmt::Debug>() -> impl Strategy<Value = T> {
    Just(()).prop_perturb(|(), rng| T::sample(&mut Source(rng)))
}

macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl Sample for $type {
            fn sample(source: &mut Source) -> Self {
                match source.below(8) {
                    0 => Self::MIN,
                    1 => Self::MAX,
                    _ => source.0.next_u64() as Self,
                }
            }
        })*
    };
}

numbers!(u8, u16, u32, u64, i32, i64, u128);

impl Sample for bool {
    fn sample(source: &mut Source) -> Self {
        source.below(2) == 1
    }
}

impl Sample for f64 {
    fn sample(source: &mut Source) -> Self {
        i32::sample(source).into()
    }
}

impl Sample for String {
    fn sample(source: &mut Source) -> Self {
        let alphabet = [
            'a', 'Z', '0', ' ', '.', '/', '"', '\'', '\n', 'ü', '東', '🦀',
        ];
        (0..source.below(12))
            .map(|_| source.one_of(&alphabet))
            .collect()
    }
}

impl Sample for DateTime<Utc> {
    fn sample(source: &mut Source) -> Self {
        // From before the epoch to the year 9999, to the nanosecond.
        let seconds = source.below(255_000_000_000) as i64 - 1_600_000_000;
        let nanos = source.below(1_000_000_000) as u32;
        Self::from_timestamp(seconds, nanos).unwrap()
    }
}

impl Sample for Duration {
    fn sample(source: &mut Source) -> Self {
        Self::new(
            source.below(i64::MAX as u64),
            source.below(1_000_000_000) as u32,
        )
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(source: &mut Source) -> Self {
        bool::sample(source).then(|| T::sample(source))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(source: &mut Source) -> Self {
        (0..source.below(4)).map(|_| T::sample(source)).collect()
    }
}

impl Sample for BTreeMap<String, String> {
    fn sample(source: &mut Source) -> Self {
        Vec::<u8>::sample(source)
            .iter()
            .map(|_| (String::sample(source), String::sample(source)))
            .collect()
    }
}

/// Domain → wire → bytes → wire → domain gives the same value.
macro_rules! round_trip {
    ($test:ident, $domain:ty, $wire:ty) => {
        proptest::proptest! {
            #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
            #[test]
            #[allow(non_snake_case, reason = "named as the variant is")]
            fn $test(value in $crate::convert::sample::any::<$domain>()) {
                let bytes = prost::Message::encode_to_vec(&<$wire>::from(value.clone()));
                let wire = <$wire as prost::Message>::decode(bytes.as_slice()).unwrap();
                proptest::prop_assert_eq!(<$domain>::try_from(wire), Ok(value));
            }
        }
    };
}

/// Each variant comes back; zero and unknown numbers are refused.
macro_rules! enum_round_trip {
    ($test:ident, $domain:ty, [$($variant:ident),*]) => {
        #[test]
        #[allow(non_snake_case, reason = "named as the variant is")]
        fn $test() {
            use $crate::convert::{Fault, Field};

            $({
                let value = <$domain>::$variant;
                assert_eq!(<$domain>::read(value.write()).unwrap(), value);
            })*
            for number in [0, -1, 1000] {
                assert!(matches!(<$domain as Field<i32>>::read(number), Err(Fault::Invalid(_))));
            }
        }
    };
}

pub(super) use {enum_round_trip, round_trip};
