//! Starts, waits, or is held up: one verdict with its reason for everything that has a schedule.

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::names::HostName;

use super::{Scheduled, Timing, Work, timing::part_of};

/// A start that is said to be further in the future than this was stamped by a wrong clock.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::hours(1);

/// One thing that shall be done again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub of: Scheduled,
    pub work: Work,
    /// The host that does it: its limits count.
    pub place: HostName,
    pub timing: Timing,
    /// It has had this schedule since then at the latest.
    pub since: DateTime<Utc>,
    /// What has never run begins within this time, or with the first moment of its schedule.
    pub first_within: Duration,
    /// In any order.
    pub runs: Vec<Run>,
    /// Why it cannot begin now, whatever the time.
    pub obstacle: Option<String>,
}

/// One run of it, by schedule or by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub started_at: DateTime<Utc>,
    /// None while it runs.
    pub end: Option<RunEnd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEnd {
    pub at: DateTime<Utc>,
    pub well: bool,
}

/// How many run at once on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub backups: u32,
    pub drills: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub of: Scheduled,
    pub work: Work,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The moment that it is due since: the newest one, however many were missed.
    Start {
        slot: DateTime<Utc>,
        why: Waits,
    },
    Running {
        since: DateTime<Utc>,
    },
    /// Due since then, and cannot begin.
    Held {
        slot: DateTime<Utc>,
        by: String,
    },
    Next {
        at: DateTime<Utc>,
        why: Waits,
    },
    /// The schedule has no further moment.
    Never,
}

/// What a moment is that is waited for, or has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    First,
    Schedule,
    AfterFailures(u32),
}

/// One decision for each item, in their order.
#[must_use]
pub fn decide(items: &[Item], limits: Limits, now: DateTime<Utc>) -> Vec<Decision> {
    let mut verdicts: Vec<Verdict> = items.iter().map(|item| verdict(item, now)).collect();
    let mut running: BTreeMap<Lane<'_>, u32> = BTreeMap::new();
    for (item, verdict) in items.iter().zip(&verdicts) {
        if matches!(verdict, Verdict::Running { .. }) {
            *running.entry(item.lane()).or_default() += 1;
        }
    }
    let mut due: Vec<(DateTime<Utc>, usize)> = verdicts
        .iter()
        .enumerate()
        .filter_map(|(place, verdict)| match verdict {
            Verdict::Start { slot, .. } => Some((*slot, place)),
            _ => None,
        })
        .collect();
    // Who waits longest comes first; then by name, so that every controller decides the same.
    due.sort_by(|(a, one), (b, other)| {
        let names = (&items[*one].of, &items[*other].of);
        a.cmp(b).then_with(|| names.0.cmp(names.1))
    });
    for (slot, place) in due {
        let item = &items[place];
        let lane = item.lane();
        let run = running.entry(lane).or_default();
        let limit = lane.limit(limits);
        if *run < limit {
            *run += 1;
        } else {
            let by = format!("{limit} at once is the limit {lane}");
            verdicts[place] = Verdict::Held { slot, by };
        }
    }
    items
        .iter()
        .zip(verdicts)
        .map(|(item, verdict)| Decision {
            of: item.of.clone(),
            work: item.work,
            verdict,
        })
        .collect()
}

/// As if it were alone on its host.
fn verdict(item: &Item, now: DateTime<Utc>) -> Verdict {
    if let Some(since) = item.running_since() {
        return Verdict::Running { since };
    }
    let (slot, why) = item.moment(now);
    let Some(slot) = slot else {
        return Verdict::Never;
    };
    match &item.obstacle {
        _ if slot > now => Verdict::Next { at: slot, why },
        Some(by) => Verdict::Held {
            slot,
            by: by.clone(),
        },
        None => Verdict::Start { slot, why },
    }
}

impl Item {
    fn running_since(&self) -> Option<DateTime<Utc>> {
        let running = self.runs.iter().filter(|run| run.end.is_none());
        running.map(|run| run.started_at).min()
    }

    /// What its run counts for.
    fn lane(&self) -> Lane<'_> {
        match self.work {
            Work::Backup => Lane::Backups(&self.place),
            Work::Drill | Work::Rebuild => Lane::Drills(&self.place),
            Work::Offsite => Lane::Offsite,
        }
    }

    /// The moment that it is due since, or the next one.
    fn moment(&self, now: DateTime<Utc>) -> (Option<DateTime<Utc>>, Waits) {
        let name = format!("{} {}", self.of, self.work);
        let believed = |run: &&Run| run.started_at - now <= CLOCKS_DIFFER;
        let mut runs: Vec<&Run> = self.runs.iter().filter(believed).collect();
        runs.sort_by_key(|run| run.started_at);
        let Some(last) = runs.last() else {
            let soon = self.since + part_of(self.first_within, &name);
            let slot = self.timing.next(&name, self.since);
            let first = slot.map_or(soon, |slot| slot.min(soon));
            // A beginning in the future was stamped by a clock that has gone back since.
            let wrong = self.since - now > CLOCKS_DIFFER;
            return (Some(if wrong { now } else { first }), Waits::First);
        };
        let latest = self.timing.latest(&name, now);
        if let Some(slot) = latest.filter(|slot| *slot > last.started_at) {
            return (Some(slot), Waits::Schedule);
        }
        let next = self.timing.next(&name, now);
        let failures = runs.iter().rev().take_while(|run| run.failed()).count();
        match (last.end, u32::try_from(failures)) {
            (Some(end), Ok(failures @ 1..)) => {
                let again = end.at.min(now) + pause(self.work, failures);
                let sooner = next.map_or(again, |next| next.min(again));
                (Some(sooner), Waits::AfterFailures(failures))
            }
            _ => (next, Waits::Schedule),
        }
    }
}

impl Run {
    fn failed(&self) -> bool {
        self.end.is_some_and(|end| !end.well)
    }
}

/// What has one limit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane<'a> {
    Backups(&'a HostName),
    /// Drills and rebuilds.
    Drills(&'a HostName),
    /// The controllers read: one repository of the fleet at a time.
    Offsite,
}

impl Lane<'_> {
    fn limit(self, limits: Limits) -> u32 {
        match self {
            Self::Backups(_) => limits.backups,
            Self::Drills(_) => limits.drills,
            Self::Offsite => 1,
        }
    }
}

impl fmt::Display for Lane<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backups(host) => write!(f, "for backups on {host}"),
            Self::Drills(host) => write!(f, "for drills on {host}"),
            Self::Offsite => f.write_str("for off-site drills"),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            backups: 2,
            drills: 1,
        }
    }
}

/// After a first failure, doubled with each further one.
fn pause(work: Work, failures: u32) -> TimeDelta {
    let (first, longest) = match work {
        Work::Backup | Work::Drill => (TimeDelta::minutes(15), TimeDelta::hours(4)),
        // Each keeps a host, or the line to a storage, busy for hours.
        Work::Rebuild | Work::Offsite => (TimeDelta::days(1), TimeDelta::days(7)),
    };
    let doubled = first.checked_mul(1_i32.checked_shl(failures - 1).unwrap_or(i32::MAX));
    doubled.map_or(longest, |pause| pause.min(longest))
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("the first one"),
            Self::Schedule => f.write_str("by schedule"),
            Self::AfterFailures(1) => f.write_str("again after a failure"),
            Self::AfterFailures(number) => write!(f, "again after {number} failures"),
        }
    }
}
