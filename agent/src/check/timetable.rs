//! When each check is due: pure, time and chance are given.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use holdfast_proto::check::ScheduledCheck;
use rand::Rng;

/// The first run of a check waits at most this long, so that many do not run at one moment.
const JITTER_AT_MOST: Duration = Duration::from_secs(10);
/// A schedule of nothing would be a busy loop.
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Timetable(BTreeMap<u64, Line>);

#[derive(Debug)]
struct Line {
    check: ScheduledCheck,
    due: Instant,
}

impl Timetable {
    /// Takes over the whole list. What has not changed keeps its time; what is new runs at once,
    /// give or take a tenth of its period.
    pub fn replace(&mut self, checks: Vec<ScheduledCheck>, now: Instant, chance: &mut impl Rng) {
        let mut before = std::mem::take(&mut self.0);
        for check in checks {
            let line = match before.remove(&check.id) {
                Some(line) if line.check == check => line,
                _ => {
                    let most = (check.every / 10).min(JITTER_AT_MOST);
                    Line {
                        due: now + most.mul_f64(chance.random_range(0.0..=1.0)),
                        check,
                    }
                }
            };
            self.0.insert(line.check.id, line);
        }
    }

    /// What is due and not running still. A run that was missed is not made up for.
    pub fn take_due(&mut self, now: Instant, busy: &HashSet<u64>) -> Vec<ScheduledCheck> {
        let mut due = Vec::new();
        for (id, line) in &mut self.0 {
            if line.due > now || busy.contains(id) {
                continue;
            }
            let every = line.check.every.max(SHORTEST);
            line.due += every;
            if line.due <= now {
                line.due = now + every;
            }
            due.push(line.check.clone());
        }
        due
    }

    /// When the next one is due; one that runs still is not waited for here.
    #[must_use]
    pub fn next_due(&self, busy: &HashSet<u64>) -> Option<Instant> {
        let idle = self.0.iter().filter(|(id, _)| !busy.contains(id));
        idle.map(|(_, line)| line.due).min()
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::task::{DatabaseTarget, RunCheck};
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn check(id: u64, seconds: u64) -> ScheduledCheck {
        ScheduledCheck {
            id,
            every: Duration::from_secs(seconds),
            run: RunCheck {
                target: DatabaseTarget {
                    instance: "shop-db".to_owned(),
                    database: "shop".to_owned(),
                },
                count_sql: "select 1".to_owned(),
                newest_sql: String::new(),
                timeout: Duration::from_secs(5),
            },
        }
    }

    fn ids(checks: &[ScheduledCheck]) -> Vec<u64> {
        checks.iter().map(|c| c.id).collect()
    }

    #[test]
    fn the_first_run_comes_soon_and_the_next_one_period_later() {
        let mut chance = StdRng::seed_from_u64(1);
        let mut timetable = Timetable::default();
        let start = Instant::now();
        timetable.replace(vec![check(1, 60)], start, &mut chance);
        let first = timetable.next_due(&HashSet::new()).unwrap();
        assert!(first - start <= Duration::from_secs(6));
        assert_eq!(ids(&timetable.take_due(first, &HashSet::new())), [1]);
        let second = timetable.next_due(&HashSet::new()).unwrap();
        assert_eq!(second - first, Duration::from_secs(60));
    }

    #[test]
    fn an_unchanged_check_keeps_its_time_when_the_list_comes_again() {
        let mut chance = StdRng::seed_from_u64(2);
        let mut timetable = Timetable::default();
        let start = Instant::now();
        timetable.replace(vec![check(1, 60)], start, &mut chance);
        let soon = start + Duration::from_secs(6);
        timetable.take_due(soon, &HashSet::new());
        timetable.replace(vec![check(1, 60), check(2, 60)], soon, &mut chance);
        let later = soon + Duration::from_secs(6);
        assert_eq!(ids(&timetable.take_due(later, &HashSet::new())), [2]);
        timetable.replace(vec![check(1, 30)], later, &mut chance);
        let again = later + Duration::from_secs(3);
        assert_eq!(
            ids(&timetable.take_due(again, &HashSet::new())),
            [1],
            "it changed"
        );
    }

    #[test]
    fn nothing_piles_up_behind_a_slow_run_or_a_long_sleep() {
        let mut chance = StdRng::seed_from_u64(3);
        let mut timetable = Timetable::default();
        let start = Instant::now();
        timetable.replace(vec![check(1, 1)], start, &mut chance);
        let busy = HashSet::from([1]);
        let late = start + Duration::from_secs(100);
        assert!(timetable.take_due(late, &busy).is_empty());
        assert_eq!(timetable.next_due(&busy), None);
        assert_eq!(ids(&timetable.take_due(late, &HashSet::new())), [1]);
        assert!(timetable.take_due(late, &HashSet::new()).is_empty());
    }
}
