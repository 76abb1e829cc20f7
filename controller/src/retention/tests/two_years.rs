//! Two years of daily backups, with a drill a month, a fortnight of failures and removal in two phases.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};

use super::{BERLIN, Period, at, stored};
use crate::{
    catalog::BackupState,
    retention::{
        Facts, Rules, plan,
        removal::{GRACE, Step, step},
    },
};

/// A repository as retention sees it: what is there, and since when it is marked.
#[derive(Default)]
struct Kept {
    backups: Vec<Facts>,
    marked: BTreeMap<u64, chrono::DateTime<chrono::Utc>>,
}

impl Kept {
    /// One look at `now`; what went.
    fn prune(&mut self, rules: &Rules, now: chrono::DateTime<chrono::Utc>) -> Vec<u64> {
        let mut gone = Vec::new();
        for decision in plan(&self.backups, rules, now) {
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

    fn dates(&self) -> Vec<NaiveDate> {
        let local = |facts: &Facts| facts.taken_at.with_timezone(&BERLIN).date_naive();
        self.backups.iter().map(local).collect()
    }
}

#[test]
fn on_every_day_of_two_years_the_past_is_as_the_rules_promise() {
    let rules = Rules {
        zone: BERLIN,
        ..Rules::default()
    };
    let first: NaiveDate = "2026-01-01".parse().unwrap();
    let failing = "2026-08-03".parse().unwrap().."2026-08-17".parse::<NaiveDate>().unwrap();
    let (mut kept, mut good_days, mut most) = (Kept::default(), Vec::new(), 0);
    for (id, date) in (1..).zip(first.iter_days().take(731)) {
        // 23:30 UTC: the next day already in Berlin.
        let taken_at = date
            .pred_opt()
            .unwrap()
            .and_hms_opt(23, 30, 0)
            .unwrap()
            .and_utc();
        if !failing.contains(&date) {
            kept.backups.push(stored(id, taken_at));
            good_days.push(date);
        }
        if date.day() == 3
            && let Some(newest) = kept.backups.last_mut()
        {
            newest.state = BackupState::Proven;
        }
        let proven = kept
            .backups
            .iter()
            .rev()
            .find(|f| f.state == BackupState::Proven)
            .cloned();
        let gone = kept.prune(&rules, taken_at + chrono::TimeDelta::hours(1));

        assert!(
            proven.is_none_or(|proven| !gone.contains(&proven.backup)),
            "{date}"
        );
        let dates = kept.dates();
        let promised: [(usize, Period); 3] = [
            (7, |date| (date.year(), date.ordinal())),
            (4, |date| (date.iso_week().year(), date.iso_week().week())),
            (12, |date| (date.year(), date.month())),
        ];
        for (number, period) in promised {
            let mut wanted: BTreeMap<_, _> = BTreeMap::new();
            for date in &good_days {
                wanted.insert(period(*date), *date);
            }
            for newest in wanted.values().rev().take(number) {
                assert!(
                    dates.contains(newest),
                    "on {date} that of {newest} is missing"
                );
            }
        }
        most = most.max(kept.backups.len());
    }
    // 7 + 4 + 12 at most, the newest proven one, and those that wait for their removal.
    assert!((20..=26).contains(&most), "{most}");
    // The first ones went long ago.
    assert!(kept.backups[0].taken_at > at("2026-12-01T00:00:00Z"));
}
