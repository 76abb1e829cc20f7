//! The ladder: what a drill found, rung by rung, and what follows from it. Pure.
//!
//! Each rung passed, failed, or could not run. A rung that could not run is never green, and proves no damage. What
//! was not asked for (checks, assertions) has no rung, so that nothing looks tried that was not.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use holdfast_chassis::units;
use holdfast_proto::{
    drill::{Rung, RungName},
    image::{Hash128, Manifest, Relation, RelationKind},
    task::{
        AssertionOutcome, ExaminedDatabase, FailureKind, ReceivedImage, RestoredImage, TaskFailure,
    },
};

use super::{
    examine::{CheckHeld, Examination},
    restore::Restored,
};
use crate::job::{
    drilling::rungs::{self, Found as Step, passed_unless, rung},
    shelf::ReadThrough,
};

/// What is known of one drill; none: the job did not come so far.
#[derive(Debug, Clone, Copy)]
pub struct Climb<'a> {
    /// The image as it was noted when the backup was made.
    pub noted: Option<&'a Manifest>,
    pub read: Option<&'a ReadThrough>,
    pub restored: Option<&'a Restored>,
    pub examined: Option<&'a Examination>,
    /// As many as the policy has.
    pub assertions: usize,
    pub took: Option<Duration>,
    pub target: Option<Duration>,
    /// Why the job broke off; empty: it did not.
    pub broke_off: &'a str,
}

/// Every rung that there is, from below.
#[must_use]
pub fn climb(facts: &Climb<'_>) -> Vec<Rung> {
    let mut rungs = vec![
        rung(RungName::Repository, facts.repository()),
        rung(RungName::Restored, facts.was_restored()),
        rung(RungName::Relations, facts.compared(relations)),
        rung(RungName::Rows, facts.compared(rows)),
        rung(RungName::Fingerprints, facts.compared(fingerprints)),
        rung(RungName::Structure, facts.structure()),
    ];
    rungs.extend(facts.checks().map(|step| rung(RungName::Checks, step)));
    rungs.extend(
        facts
            .asserted()
            .map(|step| rung(RungName::Assertions, step)),
    );
    rungs.push(rung(RungName::Time, facts.time()));
    rungs
}

impl<'a> Climb<'a> {
    fn repository(&self) -> Step {
        let Some(read) = self.read else {
            return self.not_reached();
        };
        if !read.damage.is_empty() {
            return Step::Failed(read.damage.clone());
        }
        if let Some(other) = self.other_image() {
            return Step::Failed(vec![other]);
        }
        Step::Passed(format!(
            "{} in {} read and authentic",
            units::size(read.bytes),
            units::plural(read.entries, "entry").replace("entrys", "entries")
        ))
    }

    /// A sound image of another moment in the backup's place is not this backup.
    fn other_image(&self) -> Option<String> {
        let (noted, image) = (self.noted?, self.image()?);
        let other = &image.manifest;
        (noted != other).then(|| {
            format!(
                "the repository holds another image under this name: of {} UTC, and this backup was taken {} UTC",
                other.taken_at.format("%F %H:%M:%S"),
                noted.taken_at.format("%F %H:%M:%S")
            )
        })
    }

    fn was_restored(&self) -> Step {
        if let Some(below) = self.below() {
            return below;
        }
        match self.restored {
            None => self.not_reached(),
            Some(Restored {
                image: Some(image), ..
            }) => {
                let relations = &image.received.relations;
                let rows = relations.iter().map(|relation| relation.rows).sum();
                let tables = units::plural(relations.len() as u64, "table");
                Step::Passed(format!("{tables}, {}", units::plural(rows, "row")))
            }
            Some(Restored {
                failure: Some(failure),
                ..
            }) if is_damage(failure) => Step::Failed(vec![failure.message.clone()]),
            Some(Restored {
                failure, obstacle, ..
            }) => match failure.as_ref().or(obstacle.as_ref()) {
                Some(failure) => Step::CouldNot(failure.message.clone()),
                None => self.not_reached(),
            },
        }
    }

    fn compared(&self, differences: fn(&Manifest, &ReceivedImage) -> Step) -> Step {
        match (self.on_ground(), self.noted, self.image()) {
            (Err(below), ..) => below,
            (Ok(()), Some(noted), Some(image)) => differences(noted, &image.received),
            (Ok(()), ..) => self.not_reached(),
        }
    }

    fn structure(&self) -> Step {
        if let Err(below) = self.on_ground() {
            return below;
        }
        let (Some(examined), Some(image)) = (self.examined, self.image()) else {
            return self.not_reached();
        };
        match (&examined.structure, &examined.failure) {
            (Some(found), _) => sound(found, &image.received),
            (None, Some(failure)) => Step::CouldNot(failure.message.clone()),
            (None, None) => self.not_reached(),
        }
    }

    /// None: no check is set, or was when the backup was made.
    fn checks(&self) -> Option<Step> {
        let examined = self.examined?;
        if examined.checks.is_empty() {
            return None;
        }
        Some(
            self.on_ground()
                .err()
                .unwrap_or_else(|| held(&examined.checks)),
        )
    }

    fn asserted(&self) -> Option<Step> {
        if self.assertions == 0 {
            return None;
        }
        if let Err(below) = self.on_ground() {
            return Some(below);
        }
        let structure = self
            .examined
            .and_then(|examined| examined.structure.as_ref());
        Some(match structure {
            Some(found) => asserted(&found.assertions, self.assertions),
            None => self.not_reached(),
        })
    }

    fn time(&self) -> Step {
        match self.took {
            None => self.not_reached(),
            Some(took) => rungs::time(took, self.target),
        }
    }

    fn image(&self) -> Option<&'a RestoredImage> {
        self.restored?.image.as_ref()
    }

    /// Why a rung above the first says nothing; none: the repository is intact, and this backup's.
    fn below(&self) -> Option<Step> {
        match self.repository() {
            Step::Passed(_) => None,
            Step::Failed(_) => Some(Step::CouldNot(
                "not tried: the repository's data are not this backup's".to_owned(),
            )),
            Step::CouldNot(why) => Some(Step::CouldNot(why)),
        }
    }

    /// Whether this backup stands in the throwaway server.
    fn on_ground(&self) -> Result<(), Step> {
        match self.was_restored() {
            Step::Passed(_) => Ok(()),
            Step::Failed(_) => Err(Step::CouldNot(
                "not tried: it could not be restored".to_owned(),
            )),
            Step::CouldNot(why) => Err(Step::CouldNot(why)),
        }
    }

    fn not_reached(&self) -> Step {
        let why = match self.broke_off {
            "" => "the drill did not come so far",
            why => why,
        };
        Step::CouldNot(why.to_owned())
    }
}

/// A server that refuses what the backup holds, or data that are not what they should be. What a host, a disk or
/// ourselves did wrong proves nothing.
#[must_use]
fn is_damage(failure: &TaskFailure) -> bool {
    match failure.kind {
        FailureKind::Invalid | FailureKind::Conflict | FailureKind::DataMismatch => true,
        FailureKind::Unavailable
        | FailureKind::Exhausted
        | FailureKind::Cancelled
        | FailureKind::Refused
        | FailureKind::Internal => false,
    }
}

type Name<'a> = (&'a str, &'a str);

fn by_name(relations: &[Relation]) -> BTreeMap<Name<'_>, &Relation> {
    let named = relations.iter();
    named
        .map(|relation| ((relation.schema.as_str(), relation.name.as_str()), relation))
        .collect()
}

/// Those that are on both sides.
fn pairs<'a>(
    noted: &'a Manifest,
    found: &'a ReceivedImage,
) -> Vec<(String, &'a Relation, &'a Relation)> {
    let stands = by_name(&found.relations);
    let both = noted.relations.iter().filter_map(|relation| {
        let name = (relation.schema.as_str(), relation.name.as_str());
        let other = stands.get(&name)?;
        Some((format!("{}.{}", name.0, name.1), relation, *other))
    });
    both.collect()
}

fn relations(noted: &Manifest, found: &ReceivedImage) -> Step {
    let (wanted, stands) = (by_name(&noted.relations), by_name(&found.relations));
    let mut wrong = Vec::new();
    if wanted.len() != noted.relations.len() || stands.len() != found.relations.len() {
        wrong.push("a relation is listed twice, so that nothing is proven".to_owned());
    }
    let missing = wanted.keys().filter(|name| !stands.contains_key(*name));
    wrong.extend(missing.map(|(schema, name)| format!("{schema}.{name} is missing")));
    let extra = stands.keys().filter(|name| !wanted.contains_key(*name));
    wrong.extend(extra.map(|(schema, name)| format!("{schema}.{name} is no part of the backup")));
    let sequences: BTreeSet<_> = found
        .sequences
        .iter()
        .map(|s| (&s.schema, &s.name))
        .collect();
    let lost = noted.sequences.iter();
    let lost = lost.filter(|s| !sequences.contains(&(&s.schema, &s.name)));
    wrong.extend(lost.map(|s| format!("sequence {}.{} is missing", s.schema, s.name)));
    if noted.schema_hash != found.schema_hash {
        wrong.push("the schema has other bytes than were backed up".to_owned());
    }
    let tables = units::plural(wanted.len() as u64, "relation");
    let sequences = units::plural(noted.sequences.len() as u64, "sequence");
    passed_unless(wrong, format!("{tables}, {sequences}"))
}

fn rows(noted: &Manifest, found: &ReceivedImage) -> Step {
    let mut wrong = Vec::new();
    let mut all = 0;
    for (name, wanted, stands) in pairs(noted, found) {
        all += wanted.rows;
        if wanted.rows != stands.rows {
            wrong.push(format!(
                "{name} has {} rows instead of {}",
                stands.rows, wanted.rows
            ));
        } else if stands.kind != RelationKind::LargeObjects && stands.server_rows != wanted.rows {
            let counted = stands.server_rows;
            wrong.push(format!(
                "{name} has {} rows, the server counted {counted}",
                wanted.rows
            ));
        }
    }
    passed_unless(wrong, units::plural(all, "row"))
}

fn fingerprints(noted: &Manifest, found: &ReceivedImage) -> Step {
    let mut wrong = Vec::new();
    let mut blank = Vec::new();
    let pairs = pairs(noted, found);
    for (name, wanted, stands) in &pairs {
        if wanted.rows > 0 && wanted.fingerprint == Hash128::default() {
            blank.push(name.clone());
        } else if wanted.fingerprint != stands.fingerprint {
            wrong.push(format!(
                "{name} has the fingerprint {} instead of {}: its rows differ",
                stands.fingerprint, wanted.fingerprint
            ));
        }
    }
    for wanted in &noted.sequences {
        let mut stands = found.sequences.iter();
        let stands = stands.find(|s| (&s.schema, &s.name) == (&wanted.schema, &wanted.name));
        if let Some(stands) = stands.filter(|stands| *stands != wanted) {
            wrong.push(format!(
                "sequence {}.{} stands at {} instead of {}",
                wanted.schema, wanted.name, stands.last_value, wanted.last_value
            ));
        }
    }
    if wrong.is_empty() && !blank.is_empty() {
        return Step::CouldNot(format!(
            "backed up without a fingerprint: {}",
            blank.join(", ")
        ));
    }
    passed_unless(wrong, units::plural(pairs.len() as u64, "fingerprint"))
}

fn sound(found: &ExaminedDatabase, restored: &ReceivedImage) -> Step {
    let broken = found.broken.iter();
    let mut wrong: Vec<String> = broken
        .map(|one| format!("{}: {}", one.name, one.reason))
        .collect();
    // More than the archive lists is what the server counts otherwise; fewer are lost.
    for (what, stand, made) in [
        ("indexes", found.indexes, restored.indexes),
        ("constraints", found.constraints, restored.constraints),
    ] {
        if stand < made {
            wrong.push(format!("{stand} {what} stand, and the backup has {made}"));
        }
    }
    if !wrong.is_empty() {
        return Step::Failed(wrong);
    }
    if !found.amcheck_error.is_empty() {
        return Step::CouldNot(format!("amcheck cannot be used: {}", found.amcheck_error));
    }
    if let Some(unknown) = found.unknown.first() {
        return Step::CouldNot(format!("{}: {}", unknown.name, unknown.reason));
    }
    let trees = units::plural(u64::from(found.checked_indexes), "B-tree");
    let anew = units::plural(u64::from(found.checked_constraints), "constraint");
    Step::Passed(format!(
        "{trees} checked with their tables, {anew} validated anew"
    ))
}

fn held(checks: &[CheckHeld]) -> Step {
    let told = |check: &CheckHeld| format!("check {}: {}", check.name, check.detail);
    let failed = checks.iter().filter(|check| check.holds == Some(false));
    let failed: Vec<_> = failed.map(told).collect();
    match checks.iter().find(|check| check.holds.is_none()) {
        Some(unknown) if failed.is_empty() => Step::CouldNot(told(unknown)),
        _ => {
            let all: Vec<_> = checks.iter().map(told).collect();
            passed_unless(failed, all.join("; "))
        }
    }
}

fn asserted(outcomes: &[AssertionOutcome], wanted: usize) -> Step {
    let told = |one: &AssertionOutcome| format!("{}: {}", one.statement, one.reason);
    let failed = outcomes.iter().filter(|one| one.holds == Some(false));
    let failed: Vec<_> = failed.map(told).collect();
    if !failed.is_empty() {
        return Step::Failed(failed);
    }
    if let Some(unknown) = outcomes.iter().find(|one| one.holds.is_none()) {
        return Step::CouldNot(told(unknown));
    }
    if outcomes.len() < wanted {
        return Step::CouldNot(format!("{} of {wanted} were asked", outcomes.len()));
    }
    Step::Passed(units::plural(outcomes.len() as u64, "assertion"))
}

#[cfg(test)]
mod tests;
