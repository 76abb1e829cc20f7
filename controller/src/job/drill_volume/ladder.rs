//! The ladder of a volume's backup: what a drill found, rung by rung. Pure.

use std::time::Duration;

use holdfast_chassis::units;
use holdfast_proto::{
    drill::{Rung, RungName},
    task::{FailureKind, RestoredVolume, TaskFailure, VolumeImage},
};

use super::restore::Restored;
use crate::job::{
    drilling::rungs::{Found, rung, time},
    shelf::ReadThrough,
};

/// What is known of one drill; none: the job did not come so far.
#[derive(Debug, Clone, Copy)]
pub struct Climb<'a> {
    /// As it was noted when the backup was made.
    pub noted: Option<&'a VolumeImage>,
    pub read: Option<&'a ReadThrough>,
    pub restored: Option<&'a Restored>,
    pub took: Option<Duration>,
    pub target: Option<Duration>,
    /// Why the job broke off; empty: it did not.
    pub broke_off: &'a str,
}

/// Every rung that there is, from below.
#[must_use]
pub fn climb(facts: &Climb<'_>) -> Vec<Rung> {
    vec![
        rung(RungName::Repository, facts.repository()),
        rung(RungName::Restored, facts.was_restored()),
        rung(RungName::Files, facts.equal()),
        rung(RungName::Time, facts.time()),
    ]
}

impl<'a> Climb<'a> {
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
        let (noted, volume) = (self.noted?, self.volume()?);
        let other = &volume.image;
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
            Found::Failed(_) => {
                let why = "not tried: the repository's data are not this backup's";
                return Found::CouldNot(why.to_owned());
            }
            Found::CouldNot(why) => return Found::CouldNot(why),
        }
        match self.restored {
            Some(Restored {
                volume: Some(volume),
                ..
            }) => Found::Passed(counts(&volume.image)),
            Some(Restored {
                failure: Some(failure),
                ..
            }) if is_damage(failure) => Found::Failed(vec![failure.message.clone()]),
            Some(Restored {
                failure: Some(failure),
                ..
            }) => Found::CouldNot(failure.message.clone()),
            _ => self.not_reached(),
        }
    }

    /// The list of what was read back has an entry for everything: name, kind, content, owner, mode, times.
    fn equal(&self) -> Found {
        match self.was_restored() {
            Found::Passed(_) => {}
            Found::Failed(_) => {
                return Found::CouldNot("not tried: it could not be restored".to_owned());
            }
            Found::CouldNot(why) => return Found::CouldNot(why),
        }
        let (Some(noted), Some(volume)) = (self.noted, self.volume()) else {
            return self.not_reached();
        };
        if volume.fingerprint == noted.fingerprint {
            Found::Passed(format!(
                "of everything that is in it: {}",
                noted.fingerprint
            ))
        } else {
            Found::Failed(vec![format!(
                "what was read back has the fingerprint {} instead of {}",
                volume.fingerprint, noted.fingerprint
            )])
        }
    }

    fn time(&self) -> Found {
        let took = self.took.map(|took| time(took, self.target));
        took.unwrap_or_else(|| self.not_reached())
    }

    fn volume(&self) -> Option<&'a RestoredVolume> {
        self.restored?.volume.as_ref()
    }

    fn not_reached(&self) -> Found {
        let why = match self.broke_off {
            "" => "the drill did not come so far",
            why => why,
        };
        Found::CouldNot(why.to_owned())
    }
}

/// Data that are not what they should be, or not there. What a host, a disk, an engine or ourselves did wrong proves
/// nothing.
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
    use holdfast_proto::{
        drill::{RungOutcome, Verdict},
        image::Hash128,
    };

    use super::*;
    use crate::job::{drilling::rungs::judge, proofs::volumes::image};

    fn intact() -> ReadThrough {
        ReadThrough {
            entries: 3,
            bytes: 700,
            damage: vec![],
        }
    }

    fn restored(image: VolumeImage, fingerprint: Hash128) -> Restored {
        Restored {
            volume: Some(RestoredVolume {
                image,
                fingerprint,
                root: 1,
            }),
            ..Restored::default()
        }
    }

    fn failed(kind: FailureKind) -> Restored {
        Restored {
            failure: Some(TaskFailure {
                kind,
                message: "scripted".to_owned(),
                advice: String::new(),
                retryable: false,
            }),
            ..Restored::default()
        }
    }

    fn judged(
        read: Option<&ReadThrough>,
        restored: Option<&Restored>,
    ) -> (Verdict, Option<RungName>) {
        let rungs = climb(&Climb {
            noted: Some(&image("seven files")),
            read,
            restored,
            took: Some(Duration::from_secs(3)),
            target: None,
            broke_off: "",
        });
        let judgement = judge(&rungs);
        (judgement.verdict, judgement.broken)
    }

    #[test]
    fn every_rung_can_pass_fail_and_not_run() {
        let noted = image("seven files");
        let good = restored(noted.clone(), noted.fingerprint);
        let intact = intact();
        assert_eq!(judged(Some(&intact), Some(&good)), (Verdict::Proven, None));
        let broken = ReadThrough {
            damage: vec!["a pack has other bytes".to_owned()],
            ..intact.clone()
        };
        let (damaged, unknown) = (Verdict::Damaged, Verdict::CouldNotRun);
        for (read, restored, verdict, rung) in [
            (None, None, unknown, RungName::Repository),
            (
                Some(&broken),
                Some(Restored::default()),
                damaged,
                RungName::Repository,
            ),
            (
                Some(&intact),
                Some(restored(
                    image("eight files"),
                    image("eight files").fingerprint,
                )),
                damaged,
                RungName::Repository,
            ),
            (Some(&intact), None, unknown, RungName::Restored),
            (
                Some(&intact),
                Some(failed(FailureKind::DataMismatch)),
                damaged,
                RungName::Restored,
            ),
            (
                Some(&intact),
                Some(failed(FailureKind::Invalid)),
                damaged,
                RungName::Restored,
            ),
            (
                Some(&intact),
                Some(failed(FailureKind::Exhausted)),
                unknown,
                RungName::Restored,
            ),
            (
                Some(&intact),
                Some(failed(FailureKind::Conflict)),
                unknown,
                RungName::Restored,
            ),
            (
                Some(&intact),
                Some(restored(noted.clone(), Hash128(7))),
                damaged,
                RungName::Files,
            ),
        ] {
            let found = judged(read, restored.as_ref());
            assert_eq!(found, (verdict, Some(rung)), "{read:?} {restored:?}");
        }
    }

    #[test]
    fn what_takes_too_long_is_proven_all_the_same_and_told() {
        let noted = image("seven files");
        let good = restored(noted.clone(), noted.fingerprint);
        let rungs = climb(&Climb {
            noted: Some(&noted),
            read: Some(&intact()),
            restored: Some(&good),
            took: Some(Duration::from_secs(3)),
            target: Some(Duration::from_secs(2)),
            broke_off: "",
        });
        assert_eq!(rungs[3].outcome, RungOutcome::Failed);
        let judgement = judge(&rungs);
        assert_eq!(
            (judgement.verdict, judgement.broken),
            (Verdict::Proven, Some(RungName::Time))
        );
    }
}
