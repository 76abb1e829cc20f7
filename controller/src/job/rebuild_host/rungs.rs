//! The rungs of a rebuild: those of each part, and what they say of the host. Pure.

use std::time::Duration;

use holdfast_chassis::units;
use holdfast_proto::{
    drill::{DrilledPart, Rung, RungName, RungOutcome},
    task::{RestoredVolume, VolumeImage},
};

use super::{RebuildHost, volume::RestoredPart};
use crate::job::{
    drill_backup::ladder::is_damage,
    drilling::rungs::{Found, rung, time},
    restore_volume::prove::differs,
    shelf::ReadThrough,
};

/// What is known of one volume; none: the job did not come so far.
#[derive(Debug, Clone, Copy)]
pub struct OfVolume<'a> {
    pub noted: Option<&'a VolumeImage>,
    pub read: Option<&'a ReadThrough>,
    pub part: Option<&'a RestoredPart>,
    /// Why the job broke off; empty: it did not.
    pub broke_off: &'a str,
}

/// Every rung of a volume, from below.
#[must_use]
pub fn of_volume(facts: &OfVolume<'_>) -> Vec<Rung> {
    let read = facts.was_read();
    let restored = match &read {
        Found::Passed(_) => facts.was_restored(),
        Found::Failed(_) => not_tried("its data in the repository are damaged"),
        Found::CouldNot(why) => Found::CouldNot(why.clone()),
    };
    let files = match (&restored, facts.restored().zip(facts.noted)) {
        (Found::Passed(_), Some((restored, noted))) => same(noted, restored),
        (Found::Passed(_), None) => facts.not_reached(),
        (Found::Failed(_), _) => not_tried("it could not be restored"),
        (Found::CouldNot(why), _) => Found::CouldNot(why.clone()),
    };
    vec![
        rung(RungName::Repository, read),
        rung(RungName::Restored, restored),
        rung(RungName::Files, files),
    ]
}

/// What the host's own rungs are: what has no backup, what came back, and how long that took.
#[must_use]
pub fn of_host(
    request: &RebuildHost,
    databases: &[DrilledPart],
    volumes: &[DrilledPart],
    took: Option<Duration>,
    target: Option<Duration>,
    broke_off: &str,
) -> Vec<Rung> {
    let mut rungs = vec![rung(RungName::Covered, covered(request))];
    if !databases.is_empty() {
        rungs.push(rung(RungName::Databases, all(databases, "database")));
    }
    if !volumes.is_empty() {
        rungs.push(rung(RungName::Volumes, all(volumes, "volume")));
    }
    if databases.is_empty() && volumes.is_empty() {
        let nothing = Found::CouldNot("nothing of it has a good backup".to_owned());
        rungs.push(rung(RungName::Databases, nothing));
    }
    let measured = match took {
        Some(took) => time(took, target),
        None => unreached(broke_off),
    };
    rungs.push(rung(RungName::Time, measured));
    rungs
}

fn covered(request: &RebuildHost) -> Found {
    let lost = request.without.iter();
    let lost: Vec<_> = lost
        .map(|one| format!("{}: {}", one.subject, one.why))
        .collect();
    if !lost.is_empty() {
        return Found::Failed(lost);
    }
    let backups = units::plural(request.backups().len() as u64, "backup");
    let names: Vec<_> = request.left_out.iter().map(ToString::to_string).collect();
    Found::Passed(if names.is_empty() {
        backups
    } else {
        format!("{backups}; left out by a policy: {}", names.join(", "))
    })
}

fn all(parts: &[DrilledPart], what: &str) -> Found {
    let told = |part: &DrilledPart| format!("{}: {}", part.subject, part.detail);
    let failed = parts
        .iter()
        .filter(|part| part.outcome == RungOutcome::Failed);
    let failed: Vec<_> = failed.map(told).collect();
    if !failed.is_empty() {
        return Found::Failed(failed);
    }
    let unknown = parts
        .iter()
        .find(|part| part.outcome == RungOutcome::CouldNotRun);
    match unknown {
        Some(part) => Found::CouldNot(told(part)),
        None => Found::Passed(units::plural(parts.len() as u64, what)),
    }
}

fn same(noted: &VolumeImage, restored: &RestoredVolume) -> Found {
    match differs(noted, restored) {
        None => Found::Passed(format!(
            "{}, {} and {} others equal, content and attributes",
            units::plural(noted.files, "file"),
            units::plural(noted.folders, "folder"),
            noted.others
        )),
        Some((why, true)) => Found::Failed(vec![why]),
        // It may be the host that changed them.
        Some((why, false)) => Found::CouldNot(why),
    }
}

fn not_tried(why: &str) -> Found {
    Found::CouldNot(format!("not tried: {why}"))
}

fn unreached(broke_off: &str) -> Found {
    Found::CouldNot(match broke_off {
        "" => "the rebuild did not come so far".to_owned(),
        why => why.to_owned(),
    })
}

impl<'a> OfVolume<'a> {
    fn was_read(&self) -> Found {
        match self.read {
            None => self.not_reached(),
            Some(read) if !read.damage.is_empty() => Found::Failed(read.damage.clone()),
            Some(read) => Found::Passed(format!("{} read and authentic", units::size(read.bytes))),
        }
    }

    fn was_restored(&self) -> Found {
        let Some(part) = self.part else {
            return self.not_reached();
        };
        match (&part.restored, &part.failure, &part.obstacle) {
            (Some(restored), ..) => Found::Passed(units::plural(restored.image.files, "file")),
            (None, Some(failure), _) if is_damage(failure) => {
                Found::Failed(vec![failure.message.clone()])
            }
            (None, Some(failure), _) | (None, None, Some(failure)) => {
                Found::CouldNot(failure.message.clone())
            }
            (None, None, None) => self.not_reached(),
        }
    }

    fn restored(&self) -> Option<&'a RestoredVolume> {
        self.part?.restored.as_ref()
    }

    fn not_reached(&self) -> Found {
        unreached(self.broke_off)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::{
        drill::Verdict,
        task::{FailureKind, TaskFailure},
    };

    use super::*;
    use crate::job::{drilling::rungs::judge, proofs::volumes::image, rebuild_host::Without};

    fn read(damage: &[&str]) -> ReadThrough {
        ReadThrough {
            entries: 1,
            bytes: 700,
            damage: damage.iter().map(|&what| what.to_owned()).collect(),
        }
    }

    fn restored(content: &str, fingerprint: &str) -> RestoredPart {
        RestoredPart {
            restored: Some(RestoredVolume {
                image: image(content),
                fingerprint: image(fingerprint).fingerprint,
                root: 1,
            }),
            ..RestoredPart::default()
        }
    }

    fn failed(kind: FailureKind) -> RestoredPart {
        RestoredPart {
            failure: Some(TaskFailure {
                kind,
                message: "it failed".to_owned(),
                advice: String::new(),
                retryable: false,
            }),
            ..RestoredPart::default()
        }
    }

    fn verdict(read: &ReadThrough, part: Option<&RestoredPart>) -> (Verdict, Option<RungName>) {
        let noted = image("seven files");
        let judged = judge(&of_volume(&OfVolume {
            noted: Some(&noted),
            read: Some(read),
            part,
            broke_off: "",
        }));
        (judged.verdict, judged.broken)
    }

    #[test]
    fn a_volume_is_proven_when_its_own_files_stand_there_and_only_then() {
        let good = restored("seven files", "seven files");
        assert_eq!(verdict(&read(&[]), Some(&good)), (Verdict::Proven, None));
        let other = restored("eight files", "eight files");
        let damaged = |rung| (Verdict::Damaged, Some(rung));
        assert_eq!(verdict(&read(&[]), Some(&other)), damaged(RungName::Files));
        let torn = read(&["a pack is gone"]);
        let nothing = RestoredPart::default();
        assert_eq!(
            verdict(&torn, Some(&nothing)),
            damaged(RungName::Repository)
        );
        let refused = failed(FailureKind::DataMismatch);
        assert_eq!(
            verdict(&read(&[]), Some(&refused)),
            damaged(RungName::Restored)
        );
    }

    #[test]
    fn what_a_host_did_wrong_is_not_held_against_a_volume() {
        let unknown = |rung| (Verdict::CouldNotRun, Some(rung));
        let full = failed(FailureKind::Exhausted);
        assert_eq!(
            verdict(&read(&[]), Some(&full)),
            unknown(RungName::Restored)
        );
        let changed = restored("seven files", "eight files");
        assert_eq!(
            verdict(&read(&[]), Some(&changed)),
            unknown(RungName::Files)
        );
        assert_eq!(verdict(&read(&[]), None), unknown(RungName::Restored));
    }

    #[test]
    fn a_rebuild_that_leaves_something_behind_is_not_green() {
        let mut request = RebuildHost {
            source: "web-1".parse().unwrap(),
            host: "web-2".parse().unwrap(),
            servers: vec![],
            volumes: vec![],
            without: vec![],
            left_out: vec!["web-1/db/tmp".parse().unwrap()],
        };
        let part = DrilledPart {
            subject: "web-1/db/shop".to_owned(),
            backup: 1,
            kind: "full".to_owned(),
            taken_at: chrono::DateTime::UNIX_EPOCH,
            snapshot: String::new(),
            bytes: 1,
            outcome: RungOutcome::Passed,
            detail: String::new(),
            server: None,
            rungs: vec![],
            times: holdfast_proto::drill::DrillTimes::default(),
        };
        let minute = Some(Duration::from_secs(60));
        let of = |request: &RebuildHost, parts: &[DrilledPart]| {
            judge(&of_host(request, parts, &[], minute, None, "")).verdict
        };
        let parts = [part.clone()];
        assert_eq!(of(&request, &parts), Verdict::Proven);
        assert_eq!(of(&request, &[]), Verdict::CouldNotRun);
        request.without.push(Without {
            subject: "web-1/db/crm".to_owned(),
            why: "there is no backup of it".to_owned(),
        });
        assert_eq!(of(&request, &parts), Verdict::Incomplete);
        let broken = DrilledPart {
            outcome: RungOutcome::Failed,
            ..part
        };
        assert_eq!(of(&request, &[parts[0].clone(), broken]), Verdict::Damaged);
    }
}
