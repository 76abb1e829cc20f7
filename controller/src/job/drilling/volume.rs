//! The ladder of a volume's backup, whichever drill restores it. Pure.

use holdfast_chassis::units;
use holdfast_proto::{
    drill::{Rung, RungName},
    task::{FailureKind, RestoredVolume, TaskFailure, VolumeImage},
};

use super::rungs::{Found, rung};
use crate::job::shelf::ReadThrough;

/// What is known of one volume; none: the job did not come so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Climb<'a> {
    /// As it was noted when the backup was made.
    pub noted: Option<&'a VolumeImage>,
    pub read: Option<&'a ReadThrough>,
    pub restored: Option<&'a RestoredVolume>,
    /// What restoring it failed with for good …
    pub failure: Option<&'a TaskFailure>,
    /// … or what kept it from beginning.
    pub obstacle: Option<&'a TaskFailure>,
    /// Why the job broke off; empty: it did not.
    pub broke_off: &'a str,
}

/// Every rung but time, from below.
#[must_use]
pub fn climb(facts: &Climb<'_>) -> Vec<Rung> {
    vec![
        rung(RungName::Repository, facts.repository()),
        rung(RungName::Restored, facts.was_restored()),
        rung(RungName::Files, facts.files()),
    ]
}

impl Climb<'_> {
    fn repository(&self) -> Found {
        let Some(read) = self.read else {
            return self.not_reached();
        };
        if !read.damage.is_empty() {
            return Found::Failed(read.damage.clone());
        }
        if let Some(other) = self.other_image() {
            return Found::Failed(vec![other]);
        }
        Found::Passed(format!("{} read and authentic", units::size(read.bytes)))
    }

    /// A sound image of another moment in the backup's place is not this backup.
    fn other_image(&self) -> Option<String> {
        let (noted, other) = (self.noted?, &self.restored?.image);
        (noted != other).then(|| {
            format!(
                "the repository holds another image under this name: of {} UTC, and this backup was taken {} UTC",
                other.taken_at.format("%F %H:%M:%S"),
                noted.taken_at.format("%F %H:%M:%S")
            )
        })
    }

    fn was_restored(&self) -> Found {
        match self.repository() {
            Found::Passed(_) => {}
            Found::Failed(_) => return not_tried("the repository's data are not this backup's"),
            Found::CouldNot(why) => return Found::CouldNot(why),
        }
        match (self.restored, self.failure, self.obstacle) {
            (Some(restored), ..) => Found::Passed(counts(&restored.image)),
            (None, Some(failure), _) if is_damage(failure) => {
                Found::Failed(vec![failure.message.clone()])
            }
            (None, Some(failure), _) | (None, None, Some(failure)) => {
                Found::CouldNot(failure.message.clone())
            }
            (None, None, None) => self.not_reached(),
        }
    }

    fn files(&self) -> Found {
        match self.was_restored() {
            Found::Passed(_) => {}
            Found::Failed(_) => return not_tried("it could not be restored"),
            Found::CouldNot(why) => return Found::CouldNot(why),
        }
        let (Some(noted), Some(restored)) = (self.noted, self.restored) else {
            return self.not_reached();
        };
        if restored.fingerprint == noted.fingerprint {
            let what = format!("names, content and attributes: {}", noted.fingerprint);
            return Found::Passed(what);
        }
        Found::Failed(vec![format!(
            "what was read back has the fingerprint {} instead of {}",
            restored.fingerprint, noted.fingerprint
        )])
    }

    fn not_reached(&self) -> Found {
        Found::CouldNot(match self.broke_off {
            "" => "the drill did not come so far".to_owned(),
            why => why.to_owned(),
        })
    }
}

/// Data that are not what they should be. A name that is taken, a full disk or a host that is away proves nothing.
fn is_damage(failure: &TaskFailure) -> bool {
    match failure.kind {
        FailureKind::Invalid | FailureKind::DataMismatch => true,
        FailureKind::Conflict
        | FailureKind::Unavailable
        | FailureKind::Exhausted
        | FailureKind::Cancelled
        | FailureKind::Refused
        | FailureKind::Internal => false,
    }
}

fn not_tried(why: &str) -> Found {
    Found::CouldNot(format!("not tried: {why}"))
}

fn counts(image: &VolumeImage) -> String {
    format!(
        "{}, {} and {} others",
        units::plural(image.files, "file"),
        units::plural(image.folders, "folder"),
        image.others
    )
}

#[cfg(test)]
mod tests {
    use holdfast_proto::{drill::Verdict, image::Hash128};

    use super::*;
    use crate::job::{drilling::rungs::judge, proofs::volumes::image};

    fn read(damage: &[&str]) -> ReadThrough {
        ReadThrough {
            entries: 3,
            bytes: 700,
            damage: damage.iter().map(|&what| what.to_owned()).collect(),
        }
    }

    fn restored(image: VolumeImage, fingerprint: Hash128) -> RestoredVolume {
        RestoredVolume {
            image,
            fingerprint,
            root: 1,
        }
    }

    fn failed(kind: FailureKind) -> TaskFailure {
        TaskFailure {
            kind,
            message: "scripted".to_owned(),
            advice: String::new(),
            retryable: false,
        }
    }

    fn judged(facts: Climb<'_>) -> (Verdict, Option<RungName>) {
        let noted = image("seven files");
        let rungs = climb(&Climb {
            noted: Some(&noted),
            ..facts
        });
        let judgement = judge(&rungs);
        (judgement.verdict, judgement.broken)
    }

    #[test]
    fn a_volume_is_proven_when_its_own_files_stand_there_and_only_then() {
        let (intact, torn) = (read(&[]), read(&["a pack is gone"]));
        let (noted, eight) = (image("seven files"), image("eight files"));
        let good = restored(noted.clone(), noted.fingerprint);
        let facts = Climb {
            read: Some(&intact),
            ..Climb::default()
        };
        let of = |restored| {
            judged(Climb {
                restored: Some(restored),
                ..facts
            })
        };
        assert_eq!(of(&good), (Verdict::Proven, None));
        let damaged = |rung| (Verdict::Damaged, Some(rung));
        let other = restored(eight.clone(), eight.fingerprint);
        assert_eq!(of(&other), damaged(RungName::Repository));
        let changed = restored(noted, Hash128(7));
        assert_eq!(of(&changed), damaged(RungName::Files));
        let unread = Climb {
            read: Some(&torn),
            ..facts
        };
        assert_eq!(judged(unread), damaged(RungName::Repository));
    }

    #[test]
    fn what_a_host_did_wrong_is_not_held_against_a_volume() {
        let intact = read(&[]);
        let facts = Climb {
            read: Some(&intact),
            ..Climb::default()
        };
        let restored = Some(RungName::Restored);
        for (kind, verdict) in [
            (FailureKind::DataMismatch, Verdict::Damaged),
            (FailureKind::Invalid, Verdict::Damaged),
            (FailureKind::Exhausted, Verdict::CouldNotRun),
            (FailureKind::Conflict, Verdict::CouldNotRun),
        ] {
            let failure = failed(kind);
            let ended = Climb {
                failure: Some(&failure),
                ..facts
            };
            assert_eq!(judged(ended), (verdict, restored), "{kind:?}");
        }
        let full = failed(FailureKind::DataMismatch);
        let kept = Climb {
            obstacle: Some(&full),
            ..facts
        };
        assert_eq!(judged(kept), (Verdict::CouldNotRun, restored));
        assert_eq!(judged(facts), (Verdict::CouldNotRun, restored));
        let nothing = (Verdict::CouldNotRun, Some(RungName::Repository));
        assert_eq!(judged(Climb::default()), nothing);
    }
}
