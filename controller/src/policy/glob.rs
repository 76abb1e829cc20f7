//! Patterns with `*` and `?`: whether one fits a name, and whether two can fit the same.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

impl Glob {
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It fits one name only.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        let name: Vec<Sign> = name.chars().map(Sign::One).collect();
        meet(&self.signs(), &name)
    }

    /// Some name fits both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        meet(&self.signs(), &other.signs())
    }

    fn signs(&self) -> Vec<Sign> {
        let sign = |c| match c {
            '*' => Sign::Any,
            '?' => Sign::Some,
            c => Sign::One(c),
        };
        self.0.chars().map(sign).collect()
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    One(char),
    /// One character, whichever.
    Some,
    /// Any number of characters.
    Any,
}

/// Whether one text is described by both, place by place: `reached[b]` says whether the signs of the first up
/// to here and those of the second before `b` can describe the same beginning.
fn meet(first: &[Sign], second: &[Sign]) -> bool {
    let mut reached = vec![false; second.len() + 1];
    reached[0] = true;
    pass_empty(second, &mut reached);
    for sign in first {
        let mut next = vec![false; second.len() + 1];
        for (place, other) in second.iter().enumerate() {
            let both_take_one = match (sign, other) {
                (Sign::Any, _) | (_, Sign::Any) => false,
                (Sign::One(a), Sign::One(b)) => a == b,
                (Sign::Some, _) | (_, Sign::Some) => true,
            };
            if reached[place] && both_take_one {
                next[place + 1] = true;
            }
            // The other's star takes what this sign stands for, and stays.
            if reached[place] && *other == Sign::Any {
                next[place] = true;
            }
        }
        if *sign == Sign::Any {
            // This star takes nothing, or any number of the other's signs.
            let mut since = false;
            for place in 0..=second.len() {
                since |= reached[place];
                next[place] |= since;
            }
        }
        pass_empty(second, &mut next);
        reached = next;
    }
    reached[second.len()]
}

/// A star may stand for nothing.
fn pass_empty(signs: &[Sign], reached: &mut [bool]) {
    for (place, sign) in signs.iter().enumerate() {
        if *sign == Sign::Any && reached[place] {
            reached[place + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, fits) in [
            ("shop", "shop", true),
            ("shop", "shop2", false),
            ("web-*", "web-1", true),
            ("web-*", "web-", true),
            ("web-?", "web-", false),
            ("*", "", true),
            ("*-db", "shop-db", true),
            ("*-db", "shop-dbs", false),
            ("a*b*c", "aXbYbZc", true),
            ("größe?", "größe1", true),
        ] {
            assert_eq!(Glob::new(pattern).fits(name), fits, "{pattern} {name}");
        }
    }

    proptest! {
        /// Two patterns overlap just when one of all short names fits both.
        #[test]
        fn overlaps_are_names_that_fit_both(a in "[ab*?]{0,4}", b in "[ab*?]{0,4}") {
            let mut names = vec![String::new()];
            for length in 0..8 {
                let longer: Vec<_> = names
                    .iter()
                    .filter(|name| name.len() == length)
                    .flat_map(|name| ["a", "b"].map(|c| format!("{name}{c}")))
                    .collect();
                names.extend(longer);
            }
            let (a, b) = (Glob::new(&a), Glob::new(&b));
            let both = names.iter().any(|name| a.fits(name) && b.fits(name));
            prop_assert_eq!(a.overlaps(&b), both);
            prop_assert_eq!(b.overlaps(&a), both);
        }
    }
}
