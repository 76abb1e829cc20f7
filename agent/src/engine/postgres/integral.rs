//! `numeric` values that are whole numbers, such as `sum(…)` gives.

use std::error::Error;

use tokio_postgres::types::{FromSql, Type};

const NEGATIVE: u16 = 0x4000;
const POSITIVE: u16 = 0x0000;

/// A whole number within 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Integral(pub i64);

impl<'a> FromSql<'a> for Integral {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        decode(raw).map(Self).map_err(Into::into)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::NUMERIC
    }
}

/// Number of digits, weight of the first, sign, scale, then digits of base 10 000.
fn decode(raw: &[u8]) -> Result<i64, &'static str> {
    let words: Vec<u16> = raw
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    let [count, weight, sign, _scale, digits @ ..] = words.as_slice() else {
        return Err("the value is damaged");
    };
    if digits.len() != usize::from(*count) {
        return Err("the value is damaged");
    }
    let weight = i32::from(weight.cast_signed());
    let mut total: i128 = 0;
    for (index, digit) in (0i32..).zip(digits) {
        let power = weight - index;
        if power < 0 {
            if *digit != 0 {
                return Err("it is not a whole number");
            }
            continue;
        }
        let place = u32::try_from(power)
            .ok()
            .and_then(|power| 10_000i128.checked_pow(power));
        total = place
            .and_then(|place| place.checked_mul(i128::from(*digit)))
            .and_then(|part| total.checked_add(part))
            .ok_or("it is too large")?;
    }
    match *sign {
        POSITIVE => i64::try_from(total).map_err(|_| "it is too large"),
        NEGATIVE => i64::try_from(-total).map_err(|_| "it is too large"),
        _ => Err("it is not a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    #[test]
    fn whole_numbers_are_read_and_others_are_told_apart() {
        assert_eq!(decode(&raw(&[0, 0, 0, 0])), Ok(0));
        assert_eq!(decode(&raw(&[1, 0, 0, 0, 42])), Ok(42));
        assert_eq!(decode(&raw(&[1, 1, 0, 0, 12])), Ok(120_000));
        assert_eq!(decode(&raw(&[2, 1, NEGATIVE, 0, 1, 5])), Ok(-10_005));
        assert_eq!(
            decode(&raw(&[2, 0, 0, 1, 1, 5000])),
            Err("it is not a whole number")
        );
        assert_eq!(decode(&raw(&[1, 9, 0, 0, 1])), Err("it is too large"));
        assert_eq!(decode(&raw(&[0, 0, 0xC000, 0])), Err("it is not a number"));
        assert_eq!(decode(&[1]), Err("the value is damaged"));
    }
}
