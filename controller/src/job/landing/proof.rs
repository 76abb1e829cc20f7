//! What makes an image on a server proven: the comparison of what was sent with what stands there. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use holdfast_proto::{
    check::{CheckOutcome, CheckVerdict},
    image::{DataPath, Hash128, Manifest, ProofLevel, Relation, RelationKind, SequenceState},
    task::ReceivedImage,
};
use serde::{Deserialize, Serialize};

/// What was proven, and how; stays with the job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopyProof {
    pub level: ProofLevel,
    pub relations: Vec<ProvenRelation>,
    pub checks: Vec<ProvenCheck>,
    pub path: DataPath,
    pub resent_parts: u32,
    /// Over all relations, as they left the source.
    pub rows: u64,
    pub bytes: u64,
    /// Everything agrees and every check holds.
    pub green: bool,
    pub snapshot_at: DateTime<Utc>,
    pub lsn: String,
    pub created_roles: Vec<String>,
    pub notices: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenRelation {
    pub schema: String,
    pub name: String,
    pub source_rows: u64,
    pub target_rows: u64,
    pub source_fingerprint: Hash128,
    pub target_fingerprint: Hash128,
    pub equal: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProvenCheck {
    pub name: String,
    pub verdict: CheckVerdict,
    pub outcome: CheckOutcome,
    pub reasons: Vec<String>,
}

/// The comparison of one image at both ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub relations: Vec<ProvenRelation>,
    /// One line for each difference, with the name of what differs; empty: the image is equal.
    pub differences: Vec<String>,
}

type Name<'a> = (&'a str, &'a str);

/// Compares what was sent with what arrived, as the level demands.
#[must_use]
pub fn compare(level: ProofLevel, sent: &Manifest, received: &ReceivedImage) -> Comparison {
    let source = by_name(&sent.relations);
    let target = by_name(&received.relations);
    let mut comparison = Comparison {
        relations: Vec::new(),
        differences: Vec::new(),
    };
    if sent.relations.len() != source.len() || received.relations.len() != target.len() {
        let twice = "a relation is listed twice, so the proof means nothing".to_owned();
        comparison.differences.push(twice);
    }
    let names: BTreeSet<Name<'_>> = source.keys().chain(target.keys()).copied().collect();
    for name in names {
        let differs = match (source.get(&name), target.get(&name)) {
            (Some(left), Some(right)) => difference(level, left, right),
            (Some(_), None) => Some("did not arrive".to_owned()),
            (None, _) => Some("is on the target, but nothing was sent".to_owned()),
        };
        let line = line(
            name,
            source.get(&name),
            target.get(&name),
            differs.is_none(),
        );
        comparison.relations.push(line);
        if let Some(differs) = differs {
            let (schema, name) = name;
            comparison
                .differences
                .push(format!("{schema}.{name} {differs}"));
        }
    }
    compare_sequences(
        &sent.sequences,
        &received.sequences,
        &mut comparison.differences,
    );
    if sent.schema_hash != received.schema_hash {
        let schema = "the schema arrived with other bytes than it was sent with".to_owned();
        comparison.differences.push(schema);
    }
    comparison
}

fn by_name(relations: &[Relation]) -> BTreeMap<Name<'_>, &Relation> {
    relations
        .iter()
        .map(|relation| ((relation.schema.as_str(), relation.name.as_str()), relation))
        .collect()
}

/// Why the two are not the same rows, or none.
fn difference(level: ProofLevel, sent: &Relation, got: &Relation) -> Option<String> {
    if sent.rows != got.rows {
        return Some(format!("has {} rows instead of {}", got.rows, sent.rows));
    }
    // Each server counts what goes through COPY; large objects do not.
    if sent.kind != RelationKind::LargeObjects {
        let counts = [sent.server_rows, got.server_rows];
        if let Some(count) = counts.into_iter().find(|count| *count != sent.rows) {
            return Some(format!("has {} rows, a server counted {count}", sent.rows));
        }
    }
    match level {
        ProofLevel::Transit => difference_in_transit(sent, got),
        ProofLevel::Full => difference_in_content(sent, got),
    }
}

fn difference_in_transit(sent: &Relation, got: &Relation) -> Option<String> {
    if sent.bytes != got.bytes || sent.parts.len() != got.parts.len() {
        let (bytes, parts) = (got.bytes, got.parts.len());
        return Some(format!(
            "arrived as {bytes} bytes in {parts} parts instead of {} in {}",
            sent.bytes,
            sent.parts.len()
        ));
    }
    let arrived: BTreeMap<u32, _> = got.parts.iter().map(|part| (part.index, part)).collect();
    let other = sent
        .parts
        .iter()
        .find(|part| arrived.get(&part.index) != Some(part));
    other.map(|part| format!("arrived with other bytes in part {}", part.index))
}

fn difference_in_content(sent: &Relation, got: &Relation) -> Option<String> {
    // Rows without a fingerprint were not looked at: that is no proof.
    if sent.rows > 0 && sent.fingerprint == Hash128::default() {
        return Some("was sent without a fingerprint".to_owned());
    }
    (sent.fingerprint != got.fingerprint).then(|| {
        let (sent, got) = (sent.fingerprint, got.fingerprint);
        format!("has the fingerprint {got} instead of {sent}: its rows differ")
    })
}

fn line(
    (schema, name): Name<'_>,
    sent: Option<&&Relation>,
    got: Option<&&Relation>,
    equal: bool,
) -> ProvenRelation {
    ProvenRelation {
        schema: schema.to_owned(),
        name: name.to_owned(),
        source_rows: sent.map_or(0, |relation| relation.rows),
        target_rows: got.map_or(0, |relation| relation.rows),
        source_fingerprint: sent.map_or_else(Hash128::default, |relation| relation.fingerprint),
        target_fingerprint: got.map_or_else(Hash128::default, |relation| relation.fingerprint),
        equal,
    }
}

fn compare_sequences(sent: &[SequenceState], got: &[SequenceState], differences: &mut Vec<String>) {
    let key = |sequence: &SequenceState| (sequence.schema.clone(), sequence.name.clone());
    let got: BTreeMap<_, _> = got
        .iter()
        .map(|sequence| (key(sequence), sequence))
        .collect();
    let known: BTreeSet<_> = sent.iter().map(key).collect();
    for sequence in sent {
        let name = format!("sequence {}.{}", sequence.schema, sequence.name);
        match got.get(&key(sequence)) {
            None => differences.push(format!("{name} did not arrive")),
            Some(arrived) if *arrived != sequence => differences.push(format!(
                "{name} stands at {} instead of {}",
                arrived.last_value, sequence.last_value
            )),
            Some(_) => {}
        }
    }
    for (schema, name) in got.keys().filter(|key| !known.contains(*key)) {
        differences.push(format!("sequence {schema}.{name} was not sent"));
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::image::Part;
    use proptest::prelude::*;

    use super::*;

    fn relation(name: &str, rows: u64) -> Relation {
        Relation {
            schema: "public".to_owned(),
            name: name.to_owned(),
            kind: RelationKind::Table,
            rows,
            fingerprint: Hash128(u128::from(rows) * 7919),
            bytes: rows * 10,
            parts: vec![Part {
                index: 0,
                first_page: 0,
                end_page: 0,
                rows,
                bytes: rows * 10,
                bytes_hash: Hash128(42),
            }],
            server_rows: rows,
        }
    }

    fn manifest(relations: Vec<Relation>) -> Manifest {
        Manifest {
            format: 1,
            taken_at: DateTime::UNIX_EPOCH,
            lsn: "0/1".to_owned(),
            system_identifier: "1".to_owned(),
            server_version: "17.1".to_owned(),
            database: "shop".to_owned(),
            relations,
            sequences: vec![SequenceState {
                schema: "public".to_owned(),
                name: "users_id_seq".to_owned(),
                last_value: 5,
                is_called: true,
            }],
            schema_hash: Hash128(9),
            schema_bytes: 100,
        }
    }

    fn received(manifest: &Manifest) -> ReceivedImage {
        ReceivedImage {
            relations: manifest.relations.clone(),
            sequences: manifest.sequences.clone(),
            indexes: 0,
            constraints: 0,
            schema_hash: manifest.schema_hash,
            notices: vec![],
        }
    }

    fn pair() -> (Manifest, ReceivedImage) {
        let manifest = manifest(vec![relation("users", 5000), relation("orders", 3)]);
        let received = received(&manifest);
        (manifest, received)
    }

    const LEVELS: [ProofLevel; 2] = [ProofLevel::Transit, ProofLevel::Full];

    #[test]
    fn equal_images_have_no_difference_in_any_order() {
        let (sent, mut got) = pair();
        got.relations.reverse();
        for level in LEVELS {
            let comparison = compare(level, &sent, &got);
            assert_eq!(comparison.differences, [""; 0]);
            assert!(comparison.relations.iter().all(|line| line.equal));
            assert_eq!(comparison.relations.len(), 2);
        }
    }

    /// Every single thing that may differ is found, on the level that promises it.
    #[test]
    fn each_difference_is_found() {
        type Spoil = fn(&mut ReceivedImage);
        let both: [(&str, Spoil); 9] = [
            ("did not arrive", |got| drop(got.relations.pop())),
            ("nothing was sent", |got| {
                got.relations.push(relation("extra", 0))
            }),
            ("listed twice", |got| {
                got.relations.push(relation("users", 5000))
            }),
            ("rows instead of", |got| got.relations[0].rows -= 1),
            ("a server counted", |got| got.relations[0].server_rows -= 1),
            ("sequence public.users_id_seq did not arrive", |got| {
                got.sequences.clear()
            }),
            ("stands at 4 instead of 5", |got| {
                got.sequences[0].last_value = 4
            }),
            ("stands at 5", |got| got.sequences[0].is_called = false),
            ("the schema arrived", |got| got.schema_hash = Hash128(8)),
        ];
        let transit: [(&str, Spoil); 3] = [
            ("other bytes in part 0", |got| {
                got.relations[0].parts[0].bytes_hash = Hash128(1)
            }),
            ("bytes in 0 parts", |got| got.relations[0].parts.clear()),
            ("arrived as 1 bytes", |got| got.relations[0].bytes = 1),
        ];
        let full: [(&str, Spoil); 1] = [("its rows differ", |got| {
            got.relations[0].fingerprint = Hash128(1);
        })];
        let cases = LEVELS
            .iter()
            .flat_map(|level| both.iter().map(move |case| (*level, case)))
            .chain(transit.iter().map(|case| (ProofLevel::Transit, case)))
            .chain(full.iter().map(|case| (ProofLevel::Full, case)));
        for (level, (expected, spoil)) in cases {
            let (sent, mut got) = pair();
            spoil(&mut got);
            let found = compare(level, &sent, &got).differences.join("\n");
            assert!(found.contains(expected), "{level:?}: {expected}: {found:?}");
        }
    }

    #[test]
    fn rows_that_nobody_fingerprinted_prove_nothing() {
        let (mut sent, _) = pair();
        sent.relations[0].fingerprint = Hash128::default();
        let got = received(&sent);
        assert!(
            !compare(ProofLevel::Full, &sent, &got)
                .differences
                .is_empty()
        );
    }

    proptest! {
        // Green on both levels exactly when rows, counts and content are the same everywhere.
        #[test]
        fn green_means_equal(left in proptest::collection::vec(0u64..3, 1..4), right in proptest::collection::vec(0u64..3, 1..4)) {
            let image = |rows: &[u64]| manifest(rows.iter().enumerate().map(|(n, rows)| relation(&format!("t{n}"), *rows)).collect());
            let comparison = compare(ProofLevel::Full, &image(&left), &received(&image(&right)));
            prop_assert_eq!(comparison.differences.is_empty(), left == right);
        }
    }
}
