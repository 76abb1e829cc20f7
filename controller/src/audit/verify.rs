//! Whether a chain is whole: pure, one entry at a time.

use super::{Entry, Hash, Head};

/// Reads a chain from its first entry to its last.
#[derive(Debug)]
pub struct Verifier {
    entries: u64,
    last: Hash,
    /// What was noted outside of the database, and not yet seen in the chain.
    head: Option<Head>,
    broken: Option<Break>,
}

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    pub sequence: u64,
    pub problem: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many were read.
    pub entries: u64,
    pub broken: Option<Break>,
}

impl Verifier {
    /// `head` is what this controller noted last, if it did.
    #[must_use]
    pub fn new(head: Option<Head>) -> Self {
        Self {
            entries: 0,
            last: Hash::START,
            head,
            broken: None,
        }
    }

    /// Takes the next entry in the order of sequence.
    pub fn read(&mut self, entry: &Entry) {
        let expected = self.entries + 1;
        self.entries += 1;
        if self.broken.is_some() {
            return;
        }
        self.broken = self.judge(entry, expected);
        self.last = entry.hash;
    }

    /// After the last entry.
    #[must_use]
    pub fn finish(self) -> Verdict {
        let cut = self.head.filter(|head| head.sequence > self.entries).map(|head| Break {
            sequence: self.entries + 1,
            problem: format!(
                "the log ends at entry {}, but this controller has seen entry {} (hash {}): the end was cut off",
                self.entries, head.sequence, head.hash
            ),
        });
        Verdict {
            entries: self.entries,
            broken: self.broken.or(cut),
        }
    }

    fn judge(&self, entry: &Entry, expected: u64) -> Option<Break> {
        let broken = |sequence, problem| Some(Break { sequence, problem });
        if entry.sequence != expected {
            return broken(
                expected,
                format!(
                    "entry {expected} is missing; {} stands in its place",
                    entry.sequence
                ),
            );
        }
        if entry.previous != self.last {
            return broken(
                expected,
                format!("entry {expected} does not follow from the entry before it"),
            );
        }
        if entry.expected_hash() != entry.hash {
            return broken(
                expected,
                format!("entry {expected} was changed after it was written"),
            );
        }
        match &self.head {
            Some(head) if head.sequence == expected && head.hash != entry.hash => broken(
                expected,
                format!(
                    "entry {expected} has another hash than this controller noted when it was written: the log was written anew"
                ),
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::audit::{NewEntry, Outcome};

    fn contents() -> impl Strategy<Value = Vec<NewEntry>> {
        let text = || "[a-c/\\PC]{0,4}";
        let one = (
            text(),
            text(),
            text(),
            any::<bool>(),
            text(),
            0..2_000_000_000_000_000i64,
        );
        let one = one.prop_map(|(actor, action, subject, ok, detail, micros)| NewEntry {
            at: DateTime::<Utc>::from_timestamp_micros(micros).unwrap(),
            actor,
            action,
            subject,
            outcome: if ok { Outcome::Ok } else { Outcome::Refused },
            detail,
        });
        prop::collection::vec(one, 1..12)
    }

    fn chain(contents: Vec<NewEntry>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for content in contents {
            let (sequence, hash) = entries
                .last()
                .map_or((0, Hash::START), |last| (last.sequence, last.hash));
            entries.push(Entry::after(sequence, hash, content));
        }
        entries
    }

    fn head_of(entries: &[Entry]) -> Option<Head> {
        entries.last().map(|entry| Head {
            sequence: entry.sequence,
            hash: entry.hash,
        })
    }

    fn verify(entries: &[Entry], head: Option<Head>) -> Verdict {
        let mut verifier = Verifier::new(head);
        entries.iter().for_each(|entry| verifier.read(entry));
        verifier.finish()
    }

    fn change(content: &mut NewEntry, field: usize) {
        match field {
            0 => content.at += chrono::Duration::microseconds(1),
            1 => content.actor.push('x'),
            2 => content.action.push('x'),
            3 => content.subject.push('x'),
            4 => {
                content.outcome = match content.outcome {
                    Outcome::Ok => Outcome::Refused,
                    Outcome::Refused => Outcome::Ok,
                };
            }
            // The same bytes in a row, cut at another place.
            _ => content.detail = format!("{}{}", content.subject, content.detail) + "x",
        }
    }

    proptest! {
        #[test]
        fn an_untouched_chain_is_whole(contents in contents()) {
            let entries = chain(contents);
            let verdict = verify(&entries, head_of(&entries));
            prop_assert_eq!(verdict, Verdict { entries: entries.len() as u64, broken: None });
        }

        #[test]
        fn a_head_noted_earlier_fits_a_chain_that_grew(contents in contents(), at in any::<prop::sample::Index>()) {
            let entries = chain(contents);
            let earlier = head_of(&entries[..=at.index(entries.len())]);
            prop_assert_eq!(verify(&entries, earlier).broken, None);
        }

        #[test]
        fn any_change_is_found_where_it_is(contents in contents(), at in any::<prop::sample::Index>(), field in 0..6usize) {
            let mut entries = chain(contents);
            let at = at.index(entries.len());
            change(&mut entries[at].content, field);
            prop_assert_eq!(verify(&entries, None).broken.unwrap().sequence, at as u64 + 1);
        }

        #[test]
        fn a_change_with_its_hash_made_to_fit_is_found_in_the_next_entry_or_by_the_head(
            contents in contents(), at in any::<prop::sample::Index>(), field in 0..6usize
        ) {
            let mut entries = chain(contents);
            let head = head_of(&entries);
            let at = at.index(entries.len());
            change(&mut entries[at].content, field);
            entries[at].hash = entries[at].expected_hash();
            prop_assert!(verify(&entries, head).broken.is_some());
        }

        #[test]
        fn a_removed_entry_is_found(contents in contents(), at in any::<prop::sample::Index>()) {
            let mut entries = chain(contents);
            let head = head_of(&entries);
            let at = at.index(entries.len());
            entries.remove(at);
            prop_assert_eq!(verify(&entries, head).broken.unwrap().sequence, at as u64 + 1);
        }

        #[test]
        fn a_removed_entry_is_found_after_the_rest_was_numbered_anew(contents in contents(), at in any::<prop::sample::Index>()) {
            let mut entries = chain(contents);
            prop_assume!(entries.len() > 1);
            let at = at.index(entries.len() - 1);
            entries.remove(at);
            entries[at..].iter_mut().for_each(|entry| entry.sequence -= 1);
            prop_assert!(verify(&entries, None).broken.is_some());
        }

        #[test]
        fn a_cut_end_is_found_by_the_head_and_only_by_it(contents in contents(), keep in any::<prop::sample::Index>()) {
            let entries = chain(contents);
            let kept = &entries[..keep.index(entries.len())];
            prop_assert_eq!(verify(kept, None).broken, None);
            prop_assert_eq!(verify(kept, head_of(&entries)).broken.unwrap().sequence, kept.len() as u64 + 1);
        }

        #[test]
        fn a_whole_chain_written_anew_is_found_by_the_head(contents in contents(), field in 0..6usize) {
            let entries = chain(contents.clone());
            let mut forged = contents;
            change(&mut forged[0], field);
            let forged = chain(forged);
            prop_assert_eq!(verify(&forged, None).broken, None);
            prop_assert!(verify(&forged, head_of(&entries)).broken.is_some());
        }
    }
}
