//! Each rung can pass, fail, and not run; and the verdict follows.

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{
    image::SequenceState,
    task::{Examined, ReceivedImage},
};

use holdfast_proto::drill::{RungOutcome, Verdict};

use super::*;
use crate::job::drilling::rungs::judge;
use crate::job::proofs::image_of;

/// Everything that a drill finds out, of a sound backup.
#[derive(Clone)]
struct Found {
    noted: Manifest,
    read: Option<ReadThrough>,
    restored: Option<Restored>,
    examined: Option<Examination>,
    assertions: usize,
    took: Option<Duration>,
    target: Option<Duration>,
    broke_off: &'static str,
}

impl Found {
    fn sound() -> Self {
        let mut noted = image_of("5000 users");
        noted.sequences = vec![SequenceState {
            schema: "public".to_owned(),
            name: "users_id_seq".to_owned(),
            last_value: 5000,
            is_called: true,
        }];
        let received = ReceivedImage {
            relations: noted.relations.clone(),
            sequences: noted.sequences.clone(),
            indexes: 4,
            constraints: 3,
            schema_hash: noted.schema_hash,
            notices: vec![],
        };
        Self {
            read: Some(ReadThrough {
                entries: 3,
                bytes: 700,
                damage: vec![],
            }),
            restored: Some(Restored {
                image: Some(RestoredImage {
                    manifest: noted.clone(),
                    received,
                    fetch_time: None,
                    load_time: None,
                    index_time: None,
                }),
                ..Restored::default()
            }),
            examined: Some(Examination {
                structure: Some(ExaminedDatabase {
                    indexes: 4,
                    constraints: 3,
                    checked_indexes: 6,
                    checked_constraints: 1,
                    assertions: vec![AssertionOutcome {
                        statement: "select true".to_owned(),
                        holds: Some(true),
                        reason: String::new(),
                    }],
                    ..ExaminedDatabase::default()
                }),
                checks: vec![CheckHeld {
                    name: "users".to_owned(),
                    holds: Some(true),
                    detail: "counted 5000".to_owned(),
                }],
                ..Examination::default()
            }),
            noted,
            assertions: 1,
            took: Some(Duration::from_secs(50)),
            target: Some(Duration::from_secs(60)),
            broke_off: "",
        }
    }

    fn rungs(&self) -> Vec<Rung> {
        climb(&Climb {
            noted: Some(&self.noted),
            read: self.read.as_ref(),
            restored: self.restored.as_ref(),
            examined: self.examined.as_ref(),
            assertions: self.assertions,
            took: self.took,
            target: self.target,
            broke_off: self.broke_off,
        })
    }

    fn received(&mut self) -> &mut ReceivedImage {
        let restored = self.restored.as_mut().unwrap();
        &mut restored.image.as_mut().unwrap().received
    }

    fn structure(&mut self) -> &mut ExaminedDatabase {
        let examined = self.examined.as_mut().unwrap();
        examined.structure.as_mut().unwrap()
    }

    fn fails_to_restore(&mut self, kind: FailureKind, obstacle: bool) {
        let failure = Some(TaskFailure {
            kind,
            message: "the server said no".to_owned(),
            advice: String::new(),
            retryable: false,
        });
        let (failure, obstacle) = if obstacle {
            (None, failure)
        } else {
            (failure, None)
        };
        self.restored = Some(Restored {
            failure,
            obstacle,
            ..Restored::default()
        });
        self.examined = Some(Examination::default());
    }
}

fn outcome(rungs: &[Rung], name: RungName) -> Option<RungOutcome> {
    let mut rungs = rungs.iter();
    rungs
        .find(|rung| rung.name == name)
        .map(|rung| rung.outcome)
}

#[test]
fn a_sound_backup_passes_every_rung_and_is_proven() {
    let rungs = Found::sound().rungs();
    let names: Vec<_> = rungs.iter().map(|rung| rung.name).collect();
    let of_hosts = [
        RungName::Snapshots,
        RungName::Manifests,
        RungName::Covered,
        RungName::Files,
        RungName::Databases,
        RungName::Volumes,
    ];
    let own = RungName::ALL.into_iter();
    let own: Vec<_> = own.filter(|name| !of_hosts.contains(name)).collect();
    assert_eq!(names, own);
    for rung in &rungs {
        assert_eq!(rung.outcome, RungOutcome::Passed, "{rung:?}");
        assert!(
            !rung.detail.is_empty() && rung.findings.is_empty(),
            "{rung:?}"
        );
    }
    let judged = judge(&rungs);
    assert_eq!((judged.verdict, judged.broken), (Verdict::Proven, None));
    assert_eq!(judged.reason, "");
}

type Spoil = fn(&mut Found);

/// One thing that is wrong, the rung that says so, and its words.
const DAMAGE: [(&str, RungName, Spoil); 24] = [
    ("pack 7 is not in", RungName::Repository, |found| {
        found.read.as_mut().unwrap().damage = vec!["pack 7 is not in there".to_owned()];
    }),
    ("another image", RungName::Repository, |found| {
        let image = found.restored.as_mut().unwrap().image.as_mut().unwrap();
        image.manifest.taken_at -= TimeDelta::days(1);
    }),
    ("said no", RungName::Restored, |found| {
        found.fails_to_restore(FailureKind::Invalid, false)
    }),
    ("said no", RungName::Restored, |found| {
        found.fails_to_restore(FailureKind::DataMismatch, false)
    }),
    ("said no", RungName::Restored, |found| {
        found.fails_to_restore(FailureKind::Conflict, false)
    }),
    ("public.users is missing", RungName::Relations, |found| {
        drop(found.received().relations.pop())
    }),
    ("no part of the backup", RungName::Relations, |found| {
        let mut extra = found.received().relations[0].clone();
        extra.name = "extra".to_owned();
        found.received().relations.push(extra);
    }),
    ("listed twice", RungName::Relations, |found| {
        let twice = found.received().relations[0].clone();
        found.received().relations.push(twice);
    }),
    (
        "sequence public.users_id_seq is missing",
        RungName::Relations,
        |found| found.received().sequences.clear(),
    ),
    ("the schema has other bytes", RungName::Relations, |found| {
        found.received().schema_hash = Hash128(77)
    }),
    ("rows instead of", RungName::Rows, |found| {
        found.received().relations[0].rows -= 1
    }),
    ("the server counted", RungName::Rows, |found| {
        found.received().relations[0].server_rows -= 1
    }),
    ("its rows differ", RungName::Fingerprints, |found| {
        found.received().relations[0].fingerprint = Hash128(1);
    }),
    (
        "stands at 4999 instead of 5000",
        RungName::Fingerprints,
        |found| {
            found.received().sequences[0].last_value = 4999;
        },
    ),
    ("lacks matching index tuple", RungName::Structure, |found| {
        found.structure().broken = vec![Examined {
            name: "index public.users_age".to_owned(),
            reason: "lacks matching index tuple".to_owned(),
        }];
    }),
    ("3 indexes stand", RungName::Structure, |found| {
        found.structure().indexes = 3
    }),
    ("2 constraints stand", RungName::Structure, |found| {
        found.structure().constraints = 2
    }),
    ("is not present in table", RungName::Structure, |found| {
        found.structure().broken = vec![Examined {
            name: "constraint orders_user_id_fkey of public.orders".to_owned(),
            reason: "Key (user_id)=(7) is not present in table".to_owned(),
        }];
    }),
    // Damage counts, even where something else could not run.
    ("3 indexes stand", RungName::Structure, |found| {
        found.structure().indexes = 3;
        found.structure().amcheck_error = "no such extension".to_owned();
    }),
    ("check users: counted 1", RungName::Checks, |found| {
        found.examined.as_mut().unwrap().checks[0] = CheckHeld {
            name: "users".to_owned(),
            holds: Some(false),
            detail: "counted 1".to_owned(),
        };
    }),
    ("it gave false", RungName::Assertions, |found| {
        found.structure().assertions[0].holds = Some(false);
        found.structure().assertions[0].reason = "it gave false".to_owned();
    }),
    // The lowest rung that failed is the one that is told.
    ("rows instead of", RungName::Rows, |found| {
        found.received().relations[0].rows -= 1;
        found.received().relations[0].fingerprint = Hash128(1);
        found.structure().indexes = 0;
    }),
    ("3 indexes stand", RungName::Structure, |found| {
        found.structure().indexes = 3;
        found.structure().constraints = 0;
        found.structure().assertions[0].holds = None;
    }),
    ("its rows differ", RungName::Fingerprints, |found| {
        found.received().relations[0].fingerprint = Hash128(1);
        found.took = Some(Duration::from_hours(9));
    }),
];

#[test]
fn each_damage_fails_its_rung_and_no_drill_is_proven_with_it() {
    for (words, name, spoil) in DAMAGE {
        let mut found = Found::sound();
        spoil(&mut found);
        let rungs = found.rungs();
        let judged = judge(&rungs);
        assert_eq!(
            (judged.verdict, judged.broken),
            (Verdict::Damaged, Some(name)),
            "{words}: {rungs:#?}"
        );
        assert!(judged.reason.contains(words), "{words}: {}", judged.reason);
        let rung = rungs.iter().find(|rung| rung.name == name).unwrap();
        assert!(!rung.findings.is_empty());
    }
}

/// What keeps a rung from running, and the first rung that says so.
const UNKNOWN: [(RungName, Spoil); 13] = [
    (RungName::Repository, |found| {
        *found = Found {
            read: None,
            restored: None,
            examined: None,
            took: None,
            broke_off: "web-2 is not connected",
            ..Found::sound()
        };
    }),
    (RungName::Restored, |found| {
        (found.restored, found.examined) = (None, None);
    }),
    (RungName::Restored, |found| {
        found.fails_to_restore(FailureKind::Exhausted, false)
    }),
    (RungName::Restored, |found| {
        found.fails_to_restore(FailureKind::Unavailable, false)
    }),
    (RungName::Restored, |found| {
        found.fails_to_restore(FailureKind::Refused, false)
    }),
    (RungName::Restored, |found| {
        found.fails_to_restore(FailureKind::Internal, false)
    }),
    (RungName::Restored, |found| {
        found.fails_to_restore(FailureKind::Invalid, true)
    }),
    (RungName::Fingerprints, |found| {
        found.noted_without_fingerprint()
    }),
    (RungName::Structure, |found| found.examined = None),
    (RungName::Structure, |found| {
        found.structure().amcheck_error = "no such extension".to_owned()
    }),
    (RungName::Structure, |found| {
        found.structure().unknown = vec![Examined {
            name: "index public.users_age".to_owned(),
            reason: "permission denied".to_owned(),
        }];
    }),
    (RungName::Checks, |found| {
        found.examined.as_mut().unwrap().checks[0].holds = None
    }),
    (RungName::Assertions, |found| {
        found.structure().assertions.clear()
    }),
];

impl Found {
    /// As an image that was read without fingerprints.
    fn noted_without_fingerprint(&mut self) {
        self.noted.relations[0].fingerprint = Hash128::default();
        let image = self.restored.as_mut().unwrap().image.as_mut().unwrap();
        image.manifest = self.noted.clone();
    }
}

#[test]
fn what_could_not_run_is_neither_proven_nor_damaged() {
    for (name, spoil) in UNKNOWN {
        let mut found = Found::sound();
        spoil(&mut found);
        let rungs = found.rungs();
        let judged = judge(&rungs);
        assert_eq!(
            (judged.verdict, judged.broken),
            (Verdict::CouldNotRun, Some(name)),
            "{rungs:#?}"
        );
        assert!(!judged.reason.is_empty());
        assert_eq!(outcome(&rungs, name), Some(RungOutcome::CouldNotRun));
    }
}

#[test]
fn above_a_broken_rung_nothing_is_green_that_was_not_tried() {
    let mut found = Found::sound();
    found.read.as_mut().unwrap().damage = vec!["a flipped byte".to_owned()];
    found.restored = Some(Restored::default());
    found.examined = Some(Examination::default());
    found.took = None;
    let rungs = found.rungs();
    let tried = rungs
        .iter()
        .filter(|rung| rung.outcome != RungOutcome::CouldNotRun);
    let tried: Vec<_> = tried.map(|rung| (rung.name, rung.outcome)).collect();
    assert_eq!(tried, [(RungName::Repository, RungOutcome::Failed)]);
    // A stale image passes nothing, though everything in it is equal to itself.
    let mut stale = Found::sound();
    let earlier: DateTime<Utc> = stale.noted.taken_at - TimeDelta::days(1);
    stale
        .restored
        .as_mut()
        .unwrap()
        .image
        .as_mut()
        .unwrap()
        .manifest
        .taken_at = earlier;
    let rungs = stale.rungs();
    let passed = rungs
        .iter()
        .filter(|rung| rung.outcome == RungOutcome::Passed && rung.name != RungName::Time);
    assert_eq!(passed.count(), 0, "{rungs:#?}");
}

#[test]
fn a_recovery_that_takes_too_long_fails_its_rung_and_not_the_backup() {
    let mut late = Found::sound();
    late.took = Some(Duration::from_secs(61));
    let rungs = late.rungs();
    assert_eq!(outcome(&rungs, RungName::Time), Some(RungOutcome::Failed));
    let judged = judge(&rungs);
    assert_eq!(
        (judged.verdict, judged.broken),
        (Verdict::Proven, Some(RungName::Time))
    );
    late.target = None;
    assert_eq!(judge(&late.rungs()).broken, None);
}

#[test]
fn what_nobody_asked_for_has_no_rung() {
    let mut plain = Found::sound();
    plain.assertions = 0;
    plain.structure().assertions.clear();
    plain.examined.as_mut().unwrap().checks.clear();
    let rungs = plain.rungs();
    assert_eq!(
        (
            outcome(&rungs, RungName::Checks),
            outcome(&rungs, RungName::Assertions)
        ),
        (None, None)
    );
    assert_eq!(judge(&rungs).verdict, Verdict::Proven);
}
