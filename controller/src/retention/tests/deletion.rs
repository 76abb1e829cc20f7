//! What somebody deleted goes, and what must not go stays all the same.

use super::*;

fn asked(forced: bool) -> Option<Deletion> {
    Some(Deletion {
        by: "operator/ann".to_owned(),
        forced,
    })
}

fn now() -> DateTime<Utc> {
    at("2026-11-11T12:00:00Z")
}

/// Ten good ones; the fifth is proven.
fn ten() -> Vec<Facts> {
    let mut series = daily("2026-11-01", 10);
    series[4].state = BackupState::Proven;
    series
}

#[test]
fn what_is_deleted_goes_whatever_the_rules_keep_and_makes_room_in_them() {
    let rules = Rules {
        last: 3,
        ..Rules::none(Tz::UTC)
    };
    let mut series = ten();
    assert_eq!(
        kept(&plan(&series, &rules, now())),
        BTreeSet::from([5, 8, 9, 10])
    );
    series[8].deletion = asked(false);
    let decisions = plan(&series, &rules, now());
    assert_eq!(kept(&decisions), BTreeSet::from([5, 7, 8, 10]));
    assert_eq!(words(&decisions, 9), ["deleted by operator/ann"]);
    // Where nothing is ever removed by rule, it goes as well.
    let nothing_goes = plan(&series, &Rules::none(Tz::UTC), now());
    assert_eq!(kept(&nothing_goes).len(), 9);
}

#[test]
fn the_newest_and_the_newest_proven_go_only_by_force() {
    for (place, words_of_it) in [(9, "the newest good one"), (4, "the newest proven one")] {
        let mut series = ten();
        let id = series[place].backup;
        let refused = |forced: bool| {
            let deletion = asked(forced).unwrap();
            let reasons = keeps_from_deletion(&ten(), id, &deletion, now());
            reasons.iter().map(Reason::to_string).collect::<Vec<_>>()
        };
        assert_eq!(refused(false), [words_of_it]);
        assert_eq!(refused(true), Vec::<String>::new());
        series[place].deletion = asked(false);
        assert!(kept(&plan(&series, &Rules::default(), now())).contains(&id));
        series[place].deletion = asked(true);
        let decisions = plan(&series, &Rules::default(), now());
        assert!(!kept(&decisions).contains(&id));
        if place == 9 {
            // Its predecessor is the newest one now.
            assert_eq!(words(&decisions, 9)[0], "the newest good one");
        }
    }
}

#[test]
fn what_is_pinned_or_read_stays_even_by_force() {
    let mut series = ten();
    series[1].pinned = true;
    series[2].read_by = vec![7];
    for (place, reason) in [(1, "pinned"), (2, "job 7 reads it")] {
        series[place].deletion = asked(true);
        let id = series[place].backup;
        let decisions = plan(&series, &Rules::default(), now());
        assert_eq!(words(&decisions, id), [reason]);
        let deletion = asked(true).unwrap();
        assert_eq!(keeps_from_deletion(&series, id, &deletion, now()).len(), 1);
    }
}

#[test]
fn a_damaged_one_that_is_all_there_is_goes_only_by_force() {
    let mut alone = stored(1, at("2026-01-01T02:00:00Z"));
    alone.state = BackupState::Damaged;
    alone.deletion = asked(false);
    let keeps = |alone: &Facts| plan(std::slice::from_ref(alone), &Rules::default(), now())[0].keep;
    assert!(keeps(&alone));
    alone.deletion = asked(true);
    assert!(!keeps(&alone));
}
