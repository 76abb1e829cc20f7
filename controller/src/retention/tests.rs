//! Every rule of retention, as a property; and two years of daily backups.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;

mod deletion;
pub mod two_years;

/// A date's year and its period in it.
type Period = fn(NaiveDate) -> (i32, u32);

const BERLIN: Tz = chrono_tz::Europe::Berlin;

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn stored(backup: BackupId, taken_at: DateTime<Utc>) -> Facts {
    Facts {
        backup,
        taken_at,
        state: BackupState::Stored,
        pinned: false,
        read_by: vec![],
        deletion: None,
    }
}

/// One a day at 02:30 UTC, the first with number 1.
fn daily(first: &str, days: u32) -> Vec<Facts> {
    let first: NaiveDate = first.parse().unwrap();
    let dates = first.iter_days().take(days as usize);
    (1..)
        .zip(dates)
        .map(|(id, date)| stored(id, date.and_hms_opt(2, 30, 0).unwrap().and_utc()))
        .collect()
}

pub fn kept(decisions: &[Decision]) -> BTreeSet<BackupId> {
    let kept = decisions.iter().filter(|decision| decision.keep);
    kept.map(|decision| decision.backup).collect()
}

fn words(decisions: &[Decision], backup: BackupId) -> Vec<String> {
    let of = decisions.iter().find(|decision| decision.backup == backup);
    of.unwrap().reasons.iter().map(Reason::to_string).collect()
}

#[test]
fn seven_four_twelve_with_the_reason_for_each() {
    let series = daily("2026-01-01", 325);
    let decisions = plan(&series, &Rules::default(), at("2026-11-21T12:00:00Z"));
    // 2026-11-21 is backup 325, a Saturday.
    assert_eq!(
        words(&decisions, 325),
        [
            "the newest good one",
            "daily 1 of 7 (2026-11-21)",
            "weekly 1 of 4 (2026-W47)",
            "monthly 1 of 12 (2026-11)"
        ]
    );
    assert_eq!(
        words(&decisions, 319),
        ["daily 7 of 7 (2026-11-15)", "weekly 2 of 4 (2026-W46)"]
    );
    assert_eq!(
        words(&decisions, 318),
        ["older than what daily 7, weekly 4 and monthly 12 keep"]
    );
    let days: Vec<String> = kept(&decisions)
        .iter()
        .rev()
        .map(|id| {
            series[usize::try_from(*id).unwrap() - 1]
                .taken_at
                .format("%m-%d")
                .to_string()
        })
        .collect();
    assert_eq!(
        days,
        [
            "11-21", "11-20", "11-19", "11-18", "11-17", "11-16", "11-15", "11-08", "11-01",
            "10-31", "09-30", "08-31", "07-31", "06-30", "05-31", "04-30", "03-31", "02-28",
            "01-31"
        ]
    );
}

#[test]
fn a_series_that_failed_for_weeks_keeps_its_good_past() {
    let series = daily("2026-10-01", 20);
    let rules = Rules {
        within: Some(Duration::from_hours(72)),
        ..Rules::default()
    };
    let just_after = plan(&series, &rules, at("2026-10-20T03:00:00Z"));
    let weeks_later = plan(&series, &rules, at("2026-12-24T03:00:00Z"));
    assert_eq!(just_after, weeks_later);
    assert!(kept(&weeks_later).len() >= 9);

    // The days on which it failed left damaged ones behind: they push nothing out.
    let mut failing = series.clone();
    failing.extend((21..60).map(|id| Facts {
        state: BackupState::Damaged,
        ..stored(
            id,
            at("2026-10-20T02:30:00Z") + TimeDelta::days(i64::try_from(id).unwrap() - 20),
        )
    }));
    let with_damaged = plan(&failing, &rules, at("2026-12-24T03:00:00Z"));
    let good = |id: &BackupId| *id <= 20;
    let good_kept: BTreeSet<_> = kept(&with_damaged).into_iter().filter(good).collect();
    assert_eq!(good_kept, kept(&weeks_later));
}

#[test]
fn a_day_has_as_many_hours_as_its_zone_gives_it() {
    // From one midnight in Berlin to the next: 25 hours in which clocks go back, 23 in which they go forward.
    for (midnight, hours) in [
        ("2026-10-24T22:00:00Z", 25),
        ("2026-03-28T23:00:00Z", 23),
        ("2026-07-01T22:00:00Z", 24),
    ] {
        let series: Vec<Facts> = (0..hours)
            .map(|hour| {
                stored(
                    hour,
                    at(midnight) + TimeDelta::hours(i64::try_from(hour).unwrap()),
                )
            })
            .collect();
        let rules = Rules {
            hourly: 100,
            ..Rules::none(BERLIN)
        };
        let now = at(midnight) + TimeDelta::days(3);
        assert_eq!(kept(&plan(&series, &rules, now)).len() as u64, hours);
        let rules = Rules {
            daily: 100,
            ..Rules::none(BERLIN)
        };
        let last = kept(&plan(&series, &rules, now));
        assert_eq!(last, BTreeSet::from([hours - 1]), "{midnight}");
    }
}

#[test]
fn what_is_damaged_goes_when_it_was_looked_into_and_not_when_it_is_all_there_is() {
    let damaged = Facts {
        state: BackupState::Damaged,
        ..stored(1, at("2026-11-01T02:00:00Z"))
    };
    let good = stored(2, at("2026-11-02T02:00:00Z"));
    let rules = Rules::default();
    let both = [damaged.clone(), good];
    let soon = plan(&both, &rules, at("2026-11-03T02:00:00Z"));
    assert_eq!(
        words(&soon, 1),
        ["damaged: kept for 7 days, to be looked into"]
    );
    let later = plan(&both, &rules, at("2026-11-09T02:00:00Z"));
    assert_eq!(words(&later, 1), ["damaged, and good ones are there"]);
    assert_eq!(kept(&later), BTreeSet::from([2]));
    let alone = plan(&[damaged], &rules, at("2027-11-09T02:00:00Z"));
    assert_eq!(words(&alone, 1), ["damaged, but there is no good one"]);
}

#[test]
fn a_backup_from_the_future_pushes_nothing_out() {
    let mut series = daily("2026-11-01", 10);
    let now = at("2026-11-10T12:00:00Z");
    let rules = Rules {
        last: 2,
        within: Some(Duration::from_hours(48)),
        ..Rules::none(Tz::UTC)
    };
    let before = kept(&plan(&series, &rules, now));
    series.push(Facts {
        state: BackupState::Proven,
        ..stored(99, at("2031-01-01T00:00:00Z"))
    });
    let mut after = kept(&plan(&series, &rules, now));
    assert!(after.remove(&99));
    assert_eq!(after, before);
}

fn states() -> impl Strategy<Value = BackupState> {
    prop_oneof![
        4 => Just(BackupState::Stored),
        1 => Just(BackupState::Checked),
        2 => Just(BackupState::Proven),
        2 => Just(BackupState::Damaged),
        1 => Just(BackupState::Expired),
    ]
}

const START: i64 = 1_700_000_000;
const YEARS: i64 = 3 * 366 * 86_400;

fn series() -> impl Strategy<Value = Vec<Facts>> {
    let one = (
        0..YEARS,
        states(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
    );
    prop::collection::vec(one, 0..60).prop_map(|all| {
        (1..)
            .zip(all)
            .map(|(backup, (second, state, pinned, read))| Facts {
                state,
                pinned,
                read_by: if read { vec![7] } else { vec![] },
                ..stored(backup, DateTime::from_timestamp(START + second, 0).unwrap())
            })
            .collect()
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let zones = prop::sample::select(vec![
        Tz::UTC,
        BERLIN,
        chrono_tz::America::New_York,
        chrono_tz::Asia::Kolkata,
        chrono_tz::Australia::Lord_Howe,
    ]);
    let counts = (
        0..4_u32,
        0..30_u32,
        0..10_u32,
        0..6_u32,
        0..15_u32,
        0..4_u32,
    );
    (counts, prop::option::of(1..400_u64), zones).prop_map(|(counts, within, zone)| {
        let (last, hourly, daily, weekly, monthly, yearly) = counts;
        Rules {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            within: within.map(|days| Duration::from_hours(24 * days)),
            zone,
        }
    })
}

/// After all of them, or in the middle: then some are of the future.
fn nows() -> impl Strategy<Value = DateTime<Utc>> {
    (0..YEARS + 400 * 86_400)
        .prop_map(|second| DateTime::from_timestamp(START + second, 0).unwrap())
}

fn good(facts: &Facts, now: DateTime<Utc>) -> bool {
    facts.state.is_good() && facts.taken_at <= now
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn each_backup_that_is_there_has_one_decision_with_a_reason(
        series in series(), rules in rules(), now in nows(),
    ) {
        let decisions = plan(&series, &rules, now);
        let there: Vec<_> = series
            .iter()
            .filter(|facts| facts.state != BackupState::Expired)
            .map(|facts| facts.backup)
            .collect();
        prop_assert_eq!(decisions.iter().map(|d| d.backup).collect::<Vec<_>>(), there);
        prop_assert!(decisions.iter().all(|d| !d.reasons.is_empty()));
    }

    #[test]
    fn pinned_and_read_ones_stay(series in series(), rules in rules(), now in nows()) {
        let kept = kept(&plan(&series, &rules, now));
        for facts in series.iter().filter(|facts| facts.state != BackupState::Expired) {
            if facts.pinned || !facts.read_by.is_empty() {
                prop_assert!(kept.contains(&facts.backup), "{facts:?}");
            }
        }
    }

    #[test]
    fn the_newest_proven_and_the_newest_good_one_stay(
        series in series(), rules in rules(), now in nows(),
    ) {
        let kept = kept(&plan(&series, &rules, now));
        let newest = |wanted: &dyn Fn(&&Facts) -> bool| {
            let candidates = series.iter().filter(|facts| good(facts, now)).filter(wanted);
            candidates.max_by_key(|facts| (facts.taken_at, facts.backup))
        };
        let proven = newest(&|facts| facts.state == BackupState::Proven);
        for newest in newest(&|_| true).into_iter().chain(proven) {
            prop_assert!(kept.contains(&newest.backup), "{newest:?}");
        }
    }

    /// As long as anything is there, something stays.
    #[test]
    fn a_series_is_never_emptied(series in series(), rules in rules(), now in nows()) {
        let there = series.iter().any(|facts| facts.state != BackupState::Expired);
        prop_assert_eq!(!kept(&plan(&series, &rules, now)).is_empty(), there);
    }

    /// By another way of counting: sorted into periods of a map, the newest of each of the last so many.
    #[test]
    fn the_newest_of_each_of_the_last_periods_stays(
        series in series(), rules in rules(), now in nows(),
    ) {
        let kept = kept(&plan(&series, &rules, now));
        let periods: [(u32, Period); 4] = [
            (rules.daily, |date| (date.year(), date.ordinal())),
            (rules.weekly, |date| (date.iso_week().year(), date.iso_week().week())),
            (rules.monthly, |date| (date.year(), date.month())),
            (rules.yearly, |date| (date.year(), 0)),
        ];
        for (number, period) in periods {
            let mut newest = BTreeMap::new();
            for facts in series.iter().filter(|facts| good(facts, now)) {
                let date = facts.taken_at.with_timezone(&rules.zone).date_naive();
                let of_period = newest.entry(period(date)).or_insert((facts.taken_at, facts.backup));
                *of_period = (*of_period).max((facts.taken_at, facts.backup));
            }
            for (_, backup) in newest.values().rev().take(number as usize) {
                prop_assert!(kept.contains(backup), "{backup} of {number}");
            }
        }
    }

    #[test]
    fn the_last_ones_and_those_within_stay(series in series(), rules in rules(), now in nows()) {
        let kept = kept(&plan(&series, &rules, now));
        let mut good: Vec<_> = series.iter().filter(|facts| good(facts, now)).collect();
        good.sort_by_key(|facts| (facts.taken_at, facts.backup));
        for facts in good.iter().rev().take(rules.last as usize) {
            prop_assert!(kept.contains(&facts.backup));
        }
        if let (Some(within), Some(newest)) = (rules.within, good.last()) {
            for facts in &good {
                if newest.taken_at - facts.taken_at <= TimeDelta::from_std(within).unwrap() {
                    prop_assert!(kept.contains(&facts.backup));
                }
            }
        }
    }

    /// No more than the rules ask for stays of what nothing else holds.
    #[test]
    fn what_stays_is_bounded_by_the_rules(series in series(), rules in rules(), now in nows()) {
        prop_assume!(!rules.is_empty() && rules.within.is_none());
        let decisions = plan(&series, &rules, now);
        let held = decisions.iter().filter(|decision| {
            decision.keep && decision.reasons.iter().all(|reason| {
                matches!(reason, Reason::Last { .. } | Reason::Newest { .. })
            })
        });
        let most = rules.last + rules.hourly + rules.daily + rules.weekly + rules.monthly + rules.yearly;
        prop_assert!(held.count() <= most as usize);
    }

    #[test]
    fn damaged_ones_do_not_count(series in series(), rules in rules(), now in nows()) {
        let good: Vec<Facts> = series.iter().filter(|f| f.state.is_good()).cloned().collect();
        let with: BTreeSet<_> = kept(&plan(&series, &rules, now));
        let without = kept(&plan(&good, &rules, now));
        for facts in &good {
            prop_assert_eq!(with.contains(&facts.backup), without.contains(&facts.backup));
        }
    }

    /// What good ones stay does not depend on the time, once it is after them: a pause ages nothing out.
    #[test]
    fn time_alone_removes_no_good_backup(series in series(), rules in rules(), days in 0..2_000_i64) {
        let now = DateTime::from_timestamp(START + YEARS, 0).unwrap();
        let good: Vec<Facts> = series.into_iter().filter(|f| f.state.is_good()).collect();
        prop_assert_eq!(
            plan(&good, &rules, now),
            plan(&good, &rules, now + TimeDelta::days(days))
        );
    }

    /// When what may go has gone, the next look finds nothing more to remove.
    #[test]
    fn removal_ends(series in series(), rules in rules(), now in nows()) {
        let first = kept(&plan(&series, &rules, now));
        let left: Vec<Facts> = series.into_iter().filter(|f| first.contains(&f.backup)).collect();
        prop_assert_eq!(kept(&plan(&left, &rules, now)), first);
    }

    /// More generous rules keep all that stricter ones keep.
    #[test]
    fn more_rules_keep_more(series in series(), rules in rules(), more in rules(), now in nows()) {
        prop_assume!(!rules.is_empty());
        let sum = Rules {
            last: rules.last + more.last,
            hourly: rules.hourly + more.hourly,
            daily: rules.daily + more.daily,
            weekly: rules.weekly + more.weekly,
            monthly: rules.monthly + more.monthly,
            yearly: rules.yearly + more.yearly,
            within: rules.within.max(more.within),
            zone: rules.zone,
        };
        let strict = kept(&plan(&series, &rules, now));
        prop_assert!(strict.is_subset(&kept(&plan(&series, &sum, now))));
    }

    #[test]
    fn without_rules_every_good_one_stays(series in series(), now in nows()) {
        let kept = kept(&plan(&series, &Rules::none(Tz::UTC), now));
        prop_assert!(series.iter().filter(|f| f.state.is_good()).all(|f| kept.contains(&f.backup)));
    }
}
