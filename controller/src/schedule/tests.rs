//! Rules of the schedule as properties: a scheduler is driven through random clocks.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;

const BERLIN: Tz = chrono_tz::Europe::Berlin;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn item(database: &str, schedule: &str, since: DateTime<Utc>) -> Item {
    let database: DatabaseName = database.parse().unwrap();
    Item {
        place: database.host.clone(),
        of: Scheduled::Database(database),
        work: Work::Backup,
        timing: Timing::parse(schedule, BERLIN, Some(Duration::from_mins(20))).unwrap(),
        since,
        first_within: Duration::from_mins(30),
        runs: vec![],
        obstacle: None,
    }
}

fn ended(started_at: DateTime<Utc>, minutes: i64, well: bool) -> Run {
    Run {
        started_at,
        end: Some(RunEnd {
            at: started_at + TimeDelta::minutes(minutes),
            well,
        }),
    }
}

fn verdict(item: &Item, now: DateTime<Utc>) -> Verdict {
    decide(std::slice::from_ref(item), Limits::default(), now)[0]
        .verdict
        .clone()
}

fn starts(item: &Item, now: DateTime<Utc>) -> bool {
    matches!(verdict(item, now), Verdict::Start { .. })
}

#[test]
fn a_new_database_has_its_first_backup_within_half_an_hour() {
    let since = at("2026-11-21T10:00:00Z");
    for number in 0..50 {
        let item = item(&format!("web-1/db/{number}"), "daily", since);
        assert!(starts(&item, since + TimeDelta::minutes(30)));
    }
}

#[test]
fn many_missed_runs_are_caught_up_by_one() {
    let mut shop = item(
        "web-1/shop-db/shop",
        "0 3 * * *",
        at("2026-11-01T00:00:00Z"),
    );
    shop.runs = vec![ended(at("2026-11-10T02:10:00Z"), 5, true)];
    let now = at("2026-11-21T12:00:00Z");
    let Verdict::Start { slot, why } = verdict(&shop, now) else {
        panic!("{:?}", verdict(&shop, now));
    };
    assert!(
        slot > at("2026-11-21T02:00:00Z") && slot < at("2026-11-21T02:20:00Z"),
        "{slot}"
    );
    assert_eq!(why, Waits::Schedule);
    shop.runs.push(ended(now, 5, true));
    let Verdict::Next { at: next, .. } = verdict(&shop, now + TimeDelta::minutes(6)) else {
        panic!("it begins again");
    };
    assert_eq!(next - slot, TimeDelta::days(1));
}

#[test]
fn what_failed_is_tried_again_with_longer_and_longer_pauses_and_at_its_next_moment_at_the_latest() {
    let mut shop = item(
        "web-1/shop-db/shop",
        "0 3 * * *",
        at("2026-11-01T00:00:00Z"),
    );
    let mut now = at("2026-11-21T03:00:00Z");
    shop.runs = vec![ended(at("2026-11-20T02:15:00Z"), 5, true)];
    let mut pauses = Vec::new();
    for failures in 1..=6 {
        shop.runs.push(ended(now, 1, false));
        let failed_at = now + TimeDelta::minutes(1);
        let Verdict::Next { at: again, why } = verdict(&shop, failed_at) else {
            panic!("no pause");
        };
        assert_eq!(why, Waits::AfterFailures(failures));
        pauses.push((again - failed_at).num_minutes());
        assert!(starts(&shop, again) && !starts(&shop, again - TimeDelta::seconds(1)));
        now = again;
    }
    assert_eq!(pauses, [15, 30, 60, 120, 240, 240]);
    let hourly = Item {
        timing: Timing::parse("hourly", BERLIN, None).unwrap(),
        ..shop.clone()
    };
    shop.runs.push(ended(now, 1, false));
    assert!(starts(
        &Item {
            runs: shop.runs,
            ..hourly
        },
        now + TimeDelta::minutes(61)
    ));
}

#[test]
fn a_clock_that_goes_back_a_little_starts_nothing_twice_and_a_wrong_one_stops_nothing_for_long() {
    let mut shop = item(
        "web-1/shop-db/shop",
        "0 3 * * *",
        at("2026-11-01T00:00:00Z"),
    );
    let ran = at("2026-11-21T02:30:00Z");
    shop.runs = vec![ended(ran, 5, true)];
    for minutes in 0..60 {
        assert!(
            !starts(&shop, ran - TimeDelta::minutes(minutes)),
            "{minutes} minutes back"
        );
    }
    // It was 2031 on the controller for a while.
    shop.runs = vec![ended(at("2031-01-01T00:00:00Z"), 5, true)];
    assert!(starts(&shop, at("2026-11-21T04:00:00Z")));
    shop.since = at("2031-01-01T00:00:00Z");
    shop.runs.clear();
    assert!(starts(&shop, at("2026-11-21T04:00:00Z")));
}

#[test]
fn an_obstacle_holds_what_is_due_and_says_so() {
    let mut shop = item("web-1/shop-db/shop", "daily", at("2026-11-01T00:00:00Z"));
    shop.obstacle = Some("web-1 is not connected".to_owned());
    let Verdict::Held { by, .. } = verdict(&shop, at("2026-11-21T12:00:00Z")) else {
        panic!("not held");
    };
    assert_eq!(by, "web-1 is not connected");
}

#[test]
fn who_waits_longest_comes_first_and_a_drill_does_not_take_a_backups_place() {
    let since = at("2026-11-01T00:00:00Z");
    let now = at("2026-11-21T12:00:00Z");
    let mut items: Vec<Item> = (0..4)
        .map(|number| item(&format!("web-1/db/{number}"), "0 3 * * *", since))
        .collect();
    for item in &mut items {
        item.runs = vec![ended(at("2026-11-20T04:00:00Z"), 5, true)];
    }
    // Due since yesterday's moment... of another schedule: hours earlier than the others.
    items[3].timing = Timing::parse("0 22 * * *", BERLIN, Some(Duration::ZERO)).unwrap();
    items.push(Item {
        work: Work::Drill,
        ..items[0].clone()
    });
    let decisions = decide(
        &items,
        Limits {
            backups: 1,
            drills: 1,
        },
        now,
    );
    let started: Vec<_> = decisions
        .iter()
        .filter(|decision| matches!(decision.verdict, Verdict::Start { .. }))
        .map(|decision| (decision.of.to_string(), decision.work))
        .collect();
    assert_eq!(
        started,
        [
            ("web-1/db/3".to_owned(), Work::Backup),
            ("web-1/db/0".to_owned(), Work::Drill)
        ]
    );
    let Verdict::Held { by, .. } = &decisions[0].verdict else {
        panic!("not held");
    };
    assert_eq!(by, "1 at once is the limit for backups on web-1");
}

#[test]
fn what_never_ran_begins_with_its_first_moment_when_that_comes_sooner() {
    let since = at("2026-11-21T10:00:00Z");
    let mut shop = item("web-1/shop-db/shop", "* * * * *", since);
    shop.timing = Timing::parse("* * * * *", BERLIN, Some(Duration::ZERO)).unwrap();
    assert!(!starts(&shop, since + TimeDelta::seconds(59)));
    assert!(starts(&shop, since + TimeDelta::minutes(1)));
    let Verdict::Start { why, .. } = verdict(&shop, since + TimeDelta::minutes(1)) else {
        panic!("not started");
    };
    assert_eq!(why, Waits::First);
}

fn rebuild(host: &str, place: &str) -> Item {
    Item {
        of: Scheduled::Host(host.parse().unwrap()),
        work: Work::Rebuild,
        place: place.parse().unwrap(),
        ..item("web-1/x/x", "0 3 * * *", at("2026-11-01T00:00:00Z"))
    }
}

#[test]
fn rebuilds_count_as_drills_of_the_host_that_does_them_and_off_site_drills_of_the_fleet() {
    let now = at("2026-11-21T12:00:00Z");
    let drill = Item {
        work: Work::Drill,
        place: "lab-1".parse().unwrap(),
        ..item("web-9/db/x", "0 3 * * *", at("2026-10-01T00:00:00Z"))
    };
    let offsite = |host: &str| Item {
        work: Work::Offsite,
        ..rebuild(host, host)
    };
    let items = [
        drill,
        rebuild("web-1", "lab-1"),
        rebuild("web-2", "web-2"),
        offsite("web-1"),
        offsite("web-2"),
    ];
    let held = decide(&items, Limits::default(), now)
        .into_iter()
        .map(|decision| match decision.verdict {
            Verdict::Start { .. } => String::new(),
            Verdict::Held { by, .. } => by,
            other => panic!("{other:?}"),
        });
    let held: Vec<_> = held.collect();
    let full = "1 at once is the limit for drills on lab-1";
    assert_eq!(held[..3], ["", full, ""]);
    assert_eq!(held[3..].iter().filter(|by| by.is_empty()).count(), 1);
    assert!(held.contains(&"1 at once is the limit for off-site drills".to_owned()));
}

#[test]
fn what_keeps_a_host_busy_for_hours_is_tried_again_after_days() {
    let mut whole = rebuild("web-1", "web-1");
    whole.timing = Timing::parse("quarterly", BERLIN, None).unwrap();
    let now = at("2026-11-21T03:00:00Z");
    let mut pauses = Vec::new();
    for _ in 0..5 {
        whole.runs.push(ended(now, 1, false));
        let Verdict::Next { at: again, .. } = verdict(&whole, now + TimeDelta::minutes(1)) else {
            panic!("no pause");
        };
        pauses.push((again - now).num_days());
    }
    assert_eq!(pauses, [1, 2, 4, 7, 7]);
}

#[test]
fn each_day_of_a_year_with_its_changes_of_clocks_has_one_run() {
    for schedule in ["30 2 * * *", "daily", "59 22 * * *"] {
        let mut shop = item("web-1/shop-db/shop", schedule, at("2025-12-31T00:00:00Z"));
        shop.runs = vec![ended(at("2025-12-31T22:59:00Z"), 1, true)];
        let (mut now, mut days) = (at("2025-12-31T23:00:00Z"), Vec::new());
        while now < at("2026-12-31T23:00:00Z") {
            if starts(&shop, now) {
                days.push(now.with_timezone(&BERLIN).date_naive());
                shop.runs = vec![ended(now, 3, true)];
            }
            now += TimeDelta::minutes(10);
        }
        let first: chrono::NaiveDate = "2026-01-01".parse().unwrap();
        let year: Vec<_> = first.iter_days().take(365).collect();
        assert_eq!(days, year, "{schedule}");
    }
}

fn schedules() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "hourly",
        "daily",
        "weekly",
        "*/15 * * * *",
        "30 2 * * *",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// A scheduler that sleeps, is away for weeks, and whose runs fail: each moment has one run at most,
    /// a pause has one, and nothing that is due waits.
    #[test]
    fn each_moment_has_one_run_at_most(
        schedule in schedules(),
        steps in prop::collection::vec((1_i64..200, any::<bool>(), 0_i64..30), 1..80),
        away in prop::collection::vec(0_usize..80, 0..4),
    ) {
        let mut now = at("2026-03-20T00:00:00Z");
        let mut shop = item("web-1/shop-db/shop", schedule, now);
        let mut slots = Vec::new();
        for (number, (minutes, well, takes)) in steps.into_iter().enumerate() {
            now += TimeDelta::minutes(minutes);
            if away.contains(&number) {
                now += TimeDelta::days(23);
            }
            match verdict(&shop, now) {
                Verdict::Start { slot, why } => {
                    prop_assert!(slot <= now);
                    if why == Waits::Schedule {
                        slots.push(slot);
                    }
                    shop.runs.push(ended(now, takes, well));
                    now += TimeDelta::minutes(takes);
                    // Just afterwards nothing is due, unless a moment came while it ran.
                    let since = shop.runs[shop.runs.len() - 1].started_at;
                    let came = shop.timing.latest("web-1/shop-db/shop backup", now).unwrap() > since;
                    prop_assert_eq!(starts(&shop, now), came);
                }
                Verdict::Next { at, .. } => prop_assert!(at > now),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        let mut once = slots.clone();
        once.dedup();
        prop_assert_eq!(slots, once);
    }

    /// A clock that goes back by less than an hour, again and again, starts no moment twice.
    #[test]
    fn a_clock_that_goes_back_repeats_nothing(
        schedule in schedules(),
        jumps in prop::collection::vec((1_i64..400, 0_i64..55), 1..60),
    ) {
        let mut now = at("2026-10-20T00:00:00Z");
        let mut shop = item("web-1/shop-db/shop", schedule, now);
        let mut slots = std::collections::BTreeSet::new();
        for (forward, back) in jumps {
            now += TimeDelta::minutes(forward);
            for now in [now, now - TimeDelta::minutes(back), now] {
                if let Verdict::Start { slot, why } = verdict(&shop, now) {
                    if why == Waits::Schedule {
                        prop_assert!(slots.insert(slot), "{slot} twice");
                    }
                    shop.runs.push(ended(now, 0, true));
                }
            }
        }
    }

    #[test]
    fn no_host_has_more_than_its_limit(
        all in prop::collection::vec((0_u8..3, 0_u8..12, any::<bool>(), any::<bool>()), 0..40),
        backups in 0_u32..4,
        drills in 0_u32..3,
    ) {
        let now = at("2026-11-21T12:00:00Z");
        let since = at("2026-11-01T00:00:00Z");
        let items: Vec<Item> = all
            .iter()
            .map(|(host, database, drill, running)| Item {
                work: if *drill { Work::Drill } else { Work::Backup },
                runs: match running {
                    true => vec![Run { started_at: now - TimeDelta::minutes(3), end: None }],
                    false => vec![],
                },
                ..item(&format!("web-{host}/db/{database}"), "daily", since)
            })
            .collect();
        let decisions = decide(&items, Limits { backups, drills }, now);
        for host in 0..3_u8 {
            for (work, limit) in [(Work::Backup, backups), (Work::Drill, drills)] {
                let here = || decisions.iter().filter(|decision| {
                    decision.of.to_string().starts_with(&format!("web-{host}/")) && decision.work == work
                });
                let starting = here().filter(|d| matches!(d.verdict, Verdict::Start { .. })).count();
                let running = here().filter(|d| matches!(d.verdict, Verdict::Running { .. })).count();
                let held = here().filter(|d| matches!(d.verdict, Verdict::Held { .. })).count();
                prop_assert!(starting == 0 || starting + running <= limit as usize);
                // Nobody is held while there is room.
                prop_assert!(held == 0 || starting + running >= limit as usize);
            }
        }
    }
}
