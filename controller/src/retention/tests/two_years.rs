//! Two years of daily backups, with a drill a month, a fortnight of failures and removal in two phases.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};

use super::{BERLIN, Period, at, stored};
use crate::{
    catalog::{BackupId, BackupState},
    retention::{
        Facts, Rules, plan,
        removal::{GRACE, Step, step},
    },
};

const DAYS: usize = 731;

/// A series as retention sees it, day after day.
pub struct TwoYears {
    rules: Rules,
    /// What is there …
    backups: Vec<Facts>,
    /// … and since when it is marked.
    marked: BTreeMap<BackupId, DateTime<Utc>>,
    good_days: Vec<NaiveDate>,
}

/// What a day brought.
pub struct Day {
    /// None: the backup failed.
    pub made: Option<BackupId>,
    pub gone: Vec<BackupId>,
}

impl TwoYears {
    pub fn new() -> Self {
        Self {
            rules: Rules {
                zone: BERLIN,
                ..Rules::default()
            },
            backups: Vec::new(),
            marked: BTreeMap::new(),
            good_days: Vec::new(),
        }
    }

    pub fn dates() -> impl Iterator<Item = (BackupId, NaiveDate)> {
        let first: NaiveDate = "2026-01-01".parse().unwrap();
        (1..).zip(first.iter_days().take(DAYS))
    }

    /// A backup at half past midnight in Berlin, and a look at all of them an hour later. What the rules promise
    /// is there then.
    pub fn pass(&mut self, id: BackupId, date: NaiveDate) -> Day {
        // 23:30 UTC: the next day already in Berlin.
        let evening = date.pred_opt().unwrap().and_hms_opt(23, 30, 0).unwrap();
        let taken_at = evening.and_utc();
        let good = !fails(date);
        if good {
            self.backups.push(stored(id, taken_at));
            self.good_days.push(date);
        }
        if date.day() == 3
            && let Some(newest) = self.backups.last_mut()
        {
            newest.state = BackupState::Proven;
        }
        let mut backups = self.backups.iter().rev();
        let proven = backups.find(|facts| facts.state == BackupState::Proven);
        let proven = proven.map(|proven| proven.backup);
        let gone = self.look(taken_at + TimeDelta::hours(1));
        assert!(
            proven.is_none_or(|proven| !gone.contains(&proven)),
            "{date}"
        );
        self.assert_promised(date);
        Day {
            made: good.then_some(id),
            gone,
        }
    }

    pub fn there(&self) -> Vec<BackupId> {
        self.backups.iter().map(|facts| facts.backup).collect()
    }

    /// What went.
    fn look(&mut self, now: DateTime<Utc>) -> Vec<BackupId> {
        let mut gone = Vec::new();
        for decision in plan(&self.backups, &self.rules, now) {
            let id = decision.backup;
            match step(decision.keep, self.marked.get(&id).copied(), GRACE, now) {
                Step::Mark => drop(self.marked.insert(id, now)),
                Step::Unmark => drop(self.marked.remove(&id)),
                Step::Remove => gone.push(id),
                Step::Leave | Step::Wait { .. } => {}
            }
        }
        self.backups.retain(|facts| !gone.contains(&facts.backup));
        gone
    }

    fn assert_promised(&self, today: NaiveDate) {
        let local = |facts: &Facts| facts.taken_at.with_timezone(&BERLIN).date_naive();
        let dates: Vec<NaiveDate> = self.backups.iter().map(local).collect();
        let promised: [(usize, Period); 3] = [
            (7, |date| (date.year(), date.ordinal())),
            (4, |date| (date.iso_week().year(), date.iso_week().week())),
            (12, |date| (date.year(), date.month())),
        ];
        for (number, period) in promised {
            let mut wanted: BTreeMap<_, _> = BTreeMap::new();
            for date in &self.good_days {
                wanted.insert(period(*date), *date);
            }
            for newest in wanted.values().rev().take(number) {
                assert!(
                    dates.contains(newest),
                    "on {today} that of {newest} is missing"
                );
            }
        }
    }
}

fn fails(date: NaiveDate) -> bool {
    let first: NaiveDate = "2026-08-03".parse().unwrap();
    (0..14).contains(&(date - first).num_days())
}

#[test]
fn on_every_day_of_two_years_the_past_is_as_the_rules_promise() {
    let (mut years, mut most) = (TwoYears::new(), 0);
    for (id, date) in TwoYears::dates() {
        years.pass(id, date);
        most = most.max(years.backups.len());
    }
    // 7 + 4 + 12 at most, the newest proven one, and those that wait for their removal.
    assert!((20..=26).contains(&most), "{most}");
    // The first ones went long ago.
    assert!(years.backups[0].taken_at > at("2026-12-01T00:00:00Z"));
}
