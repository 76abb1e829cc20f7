//! What an observation changes: the same data elsewhere, other data in their place, and what says which.

use chrono::{DateTime, TimeDelta, Utc};

use holdfast_proto::fleet::ContainerState;

use super::{
    Accepted, Contents, EventKind, Known, Observed, Step, Time, VolumeIdentity, accept, advance,
    match_up, observe,
};
use crate::detect::{Facts, tests::facts};

const GIB: u64 = 1 << 30;

fn now() -> Time {
    DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn observed(change: impl FnOnce(&mut Observed)) -> Observed {
    let mut one = observe(&facts().hosts, &[]).remove(0);
    one.traits.project = "shop".to_owned();
    one.traits.config_hash = "c0ffee".to_owned();
    one.store.volume.as_mut().unwrap().created_at = Some(now() - TimeDelta::days(90));
    change(&mut one);
    one
}

/// Another volume under it, made now.
fn on_volume(one: &mut Observed, name: &str, identifier: &str) {
    one.store.volume = Some(VolumeIdentity {
        name: name.to_owned(),
        created_at: Some(now()),
        driver: "local".to_owned(),
    });
    one.store.host_path = format!("/volumes/{name}");
    one.store.system_identifier = identifier.to_owned();
}

fn holding(one: &mut Observed, databases: &[(&str, u64)]) {
    one.contents = Some(Contents {
        databases: databases
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), *bytes))
            .collect(),
        ..Contents::default()
    });
}

fn known() -> Known {
    let one = observed(|one| holding(one, &[("shop", GIB)]));
    let mut known = advance(None, &one, now()).unwrap().known;
    known.id = 1;
    known
}

fn after(known: &Known, one: &Observed) -> Step {
    advance(Some(known), one, now()).expect("a change")
}

#[track_caller]
fn told(step: &Step, kind: EventKind, change: &str) {
    let (told, changes) = step.event.as_ref().expect("a line in the history");
    assert_eq!(*told, kind, "{changes:?}");
    assert!(
        changes.iter().any(|told| told.contains(change)),
        "{changes:?}"
    );
}

#[test]
fn the_same_again_is_nothing() {
    let same = observed(|one| holding(one, &[("shop", GIB)]));
    assert_eq!(advance(Some(&known()), &same, now()), None);
    // Nor is a server that is down, or a database that has grown a little.
    let down = observed(|one| {
        one.contents = None;
        one.store.system_identifier.clear();
        one.store.inode = 0;
    });
    assert_eq!(advance(Some(&known()), &down, now()), None);
    let grown = observed(|one| holding(one, &[("shop", GIB + GIB / 20)]));
    assert_eq!(advance(Some(&known()), &grown, now()), None);
}

#[test]
fn a_new_service_is_first_seen() {
    let step = advance(None, &observed(|_| {}), now()).unwrap();
    assert_eq!(step.event, Some((EventKind::FirstSeen, vec![])));
    assert_eq!(step.known.service, "shop/db");
}

#[test]
fn an_image_a_container_or_a_place_may_change_with_the_same_data() {
    let upgraded = observed(|one| one.store.image_digest = "sha256:2".to_owned());
    let mut known = known();
    known.accepted.image_digest = "sha256:1".to_owned();
    told(
        &after(&known, &upgraded),
        EventKind::Changed,
        "image sha256:1 → sha256:2",
    );
    let moved = observed(|one| on_volume(one, "shop_data_2", "7"));
    let step = after(&known, &moved);
    told(&step, EventKind::Changed, "volume shop_data → shop_data_2");
    assert_eq!(step.known.swapped, None);
}

#[test]
fn a_new_volume_is_a_swap_before_its_server_has_said_a_word() {
    for change in [
        (|one: &mut Observed| on_volume(one, "shop2_data", "")) as fn(&mut Observed),
        // Removed, and made again under its name.
        |one| on_volume(one, "shop_data", ""),
    ] {
        let step = after(
            &known(),
            &observed(|one| {
                change(one);
                one.contents = None;
            }),
        );
        let (kind, _) = step.event.as_ref().unwrap();
        assert_eq!(*kind, EventKind::Swapped);
        assert_eq!(step.known.accepted, known().accepted, "what shall be stays");
        assert!(step.known.contents.databases.contains_key("shop"));
    }
    let remade = after(
        &known(),
        &observed(|one| {
            one.store.system_identifier = "8".to_owned();
        }),
    );
    told(&remade, EventKind::Swapped, "system identifier 7 → 8");
}

#[test]
fn a_volume_that_an_older_engine_says_was_made_a_moment_ago_is_the_same_directory() {
    let made_again = |born: i64, inode: u64| {
        observed(|one| {
            let volume = one.store.volume.as_mut().unwrap();
            volume.created_at = Some(now());
            one.store.system_identifier.clear();
            one.store.born_at = Some(now() - TimeDelta::days(born));
            one.store.inode = inode;
            one.contents = None;
        })
    };
    let mut known = known();
    known.accepted.born_at = Some(now() - TimeDelta::days(90));
    known.accepted.inode = 7;
    let step = after(&known, &made_again(90, 7));
    assert_eq!((&step.event, &step.known.swapped), (&None, &None));
    for (born, inode) in [(1, 7), (90, 8)] {
        told(
            &after(&known, &made_again(born, inode)),
            EventKind::Swapped,
            "volume's creation",
        );
    }
    // It was seen before its server had set anything up: there is nothing that could be gone.
    known.accepted.system_identifier.clear();
    known.accepted.born_at = None;
    known.accepted.inode = 0;
    assert_eq!(after(&known, &made_again(0, 7)).known.swapped, None);
}

#[test]
fn wrong_data_are_told_once_and_are_over_when_the_right_ones_are_back() {
    let wrong = observed(|one| {
        on_volume(one, "shop2_data", "");
        one.contents = None;
    });
    let swapped = after(&known(), &wrong).known;
    assert_eq!(advance(Some(&swapped), &wrong, now()), None);
    // Its server is up now: better known, no new line.
    let up = observed(|one| {
        on_volume(one, "shop2_data", "9");
        holding(one, &[("shop", 8 << 20)]);
    });
    let step = after(&swapped, &up);
    assert_eq!(step.event, None);
    let better = step.known.swapped.as_ref().unwrap();
    assert_eq!(better.store.system_identifier, "9");
    assert_eq!(better.contents.databases["shop"], 8 << 20);
    assert_eq!(step.known.contents.databases["shop"], GIB, "remembered");

    let back = observed(|one| holding(one, &[("shop", GIB)]));
    let step = after(&step.known, &back);
    let (kind, _) = step.event.as_ref().unwrap();
    assert_eq!((*kind, &step.known.swapped), (EventKind::Returned, &None));
}

#[test]
fn what_turns_out_to_be_the_same_data_elsewhere_was_no_swap() {
    let swapped = after(&known(), &observed(|one| on_volume(one, "restored", ""))).known;
    assert!(swapped.swapped.is_some());
    let step = after(&swapped, &observed(|one| on_volume(one, "restored", "7")));
    told(&step, EventKind::Returned, "volume shop_data → restored");
    assert_eq!(step.known.accepted.volume_name(), Some("restored"));
}

#[test]
fn large_databases_that_have_all_come_along_are_right_small_ones_say_nothing() {
    let moved = |databases: &[(&str, u64)]| {
        observed(|one| {
            on_volume(one, "pg18_data", "8");
            holding(one, databases);
        })
    };
    let full = after(&known(), &moved(&[("shop", GIB - GIB / 20), ("new", 1)]));
    told(&full, EventKind::Accepted, "system identifier 7 → 8");
    for empty in [
        &[("shop", 8 << 20)][..],
        &[("other", GIB)],
        &[("shop", GIB / 2)],
    ] {
        told(
            &after(&known(), &moved(empty)),
            EventKind::Swapped,
            "volume",
        );
    }
    // Fourteen users take no more room than none.
    let mut small = known();
    small.contents.databases = [("shop".to_owned(), 8 << 20)].into();
    told(
        &after(&small, &moved(&[("shop", 8 << 20)])),
        EventKind::Swapped,
        "volume",
    );
}

#[test]
fn a_large_database_that_goes_is_lost_until_it_is_back_or_somebody_accepts() {
    let holds = |databases: &[(&str, u64)]| observed(|one| holding(one, databases));
    for left in [&[][..], &[("shop", GIB / 20)]] {
        let step = after(&known(), &holds(left));
        let lost = &step.known.lost["shop"];
        assert_eq!(
            (lost.before, lost.now),
            (GIB, left.first().map(|one| one.1))
        );
        assert_eq!(step.known.contents.databases["shop"], GIB);
        let mut later = holds(left);
        later.store.container = "shop-db".to_owned();
        assert_eq!(
            advance(Some(&step.known), &later, now() + TimeDelta::hours(1)),
            None
        );
        let back = after(&step.known, &holds(&[("shop", GIB)])).known;
        assert!(back.lost.is_empty());
        let Accepted::Now(word) = accept(&step.known, true, true) else {
            panic!("there is something to accept");
        };
        assert!(word.known.lost.is_empty());
        let next = advance(Some(&word.known), &holds(left), now());
        assert!(next.is_none_or(|step| step.known.lost.is_empty()));
    }
    let mut small = known();
    small.contents.databases = [("shop".to_owned(), 60 << 20)].into();
    assert!(after(&small, &holds(&[])).known.lost.is_empty());
}

#[test]
fn an_operator_says_what_is_right() {
    assert_eq!(accept(&known(), true, true), Accepted::AlreadyRight);
    assert_eq!(accept(&known(), false, true), Accepted::Nothing);
    assert_eq!(accept(&known(), true, false), Accepted::Nothing);
    let wrong = observed(|one| on_volume(one, "shop2_data", "9"));
    let swapped = after(&known(), &wrong).known;
    let Accepted::Now(step) = accept(&swapped, true, false) else {
        panic!("there is something to accept");
    };
    told(&step, EventKind::Accepted, "volume shop_data → shop2_data");
    assert_eq!(advance(Some(&step.known), &wrong, now()), None);
}

fn renamed(change: impl FnOnce(&mut Observed)) -> Observed {
    observed(|one| {
        one.traits.project = "manualmode".to_owned();
        one.service = "manualmode/db".to_owned();
        one.name.instance = "manualmode-db-1".to_owned();
        on_volume(one, "manualmode_data", "9");
        change(one);
    })
}

#[test]
fn incident_4_a_project_that_is_renamed_with_its_directory_is_known_again() {
    let matches = |one: Observed, with_old: Option<bool>| {
        let all: Vec<_> = [
            Some(one),
            with_old.map(|alive| observed(|old| old.alive = alive)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let known = [known()];
        match_up(&known, &all)[0].0.map(|known| known.id)
    };
    // The old container is gone, or stands there stopped.
    assert_eq!(matches(renamed(|_| {}), None), Some(1));
    assert_eq!(matches(renamed(|_| {}), Some(false)), Some(1));
    // The file was edited, the ports are the same.
    let edited = |one: &mut Observed| one.traits.config_hash = "other".to_owned();
    assert_eq!(matches(renamed(edited), None), None);
    let mut with_ports = known();
    with_ports.traits.ports = [5432].into();
    let again = renamed(|one| {
        edited(one);
        one.traits.ports = [5432].into();
    });
    assert!(match_up(&[with_ports], &[again])[0].0.is_some());
    // Another environment of one template has other ports.
    let other_ports = matches(renamed(|one| one.traits.ports = [5433].into()), None);
    assert_eq!(other_ports, None);
    // A second environment beside the first is a service of its own.
    assert_eq!(matches(renamed(|_| {}), Some(true)), None);
    // So is another service, another engine, another volume, another host.
    let other = |change: fn(&mut Observed)| matches(renamed(change), None);
    assert_eq!(
        other(|one| one.traits.compose_service = "cache".to_owned()),
        None
    );
    assert_eq!(other(|one| on_volume(one, "manualmode_logs", "9")), None);
    assert_eq!(other(|one| one.name.host = "web-2".parse().unwrap()), None);

    let known = [known()];
    let one = renamed(|_| {});
    let (before, seen) = match_up(&known, std::slice::from_ref(&one))[0];
    let step = after(before.unwrap(), seen);
    told(
        &step,
        EventKind::Swapped,
        "volume shop_data → manualmode_data",
    );
    assert_eq!(
        (step.known.id, step.known.service.as_str()),
        (1, "manualmode/db")
    );

    // Back in the old directory, with the new container still there: it is as it was.
    let known = [step.known];
    let mut stopped = renamed(|_| {});
    stopped.alive = false;
    let both = [stopped, observed(|_| {})];
    let matched = match_up(&known, &both);
    assert_eq!(
        matched.len(),
        1,
        "what does not run any more is none of its own"
    );
    let step = after(matched[0].0.unwrap(), matched[0].1);
    told(
        &step,
        EventKind::Returned,
        "service manualmode/db → shop/db",
    );
}

#[test]
fn the_container_of_the_old_project_that_stands_there_stopped_is_no_service_of_its_own() {
    let stopped = observed(|one| one.alive = false);
    let all = [stopped, renamed(|_| {})];
    let first = [known()];
    let matched = match_up(&first, &all);
    assert_eq!(matched.len(), 1);
    let next = [after(matched[0].0.unwrap(), matched[0].1).known];
    let matched = match_up(&next, &all);
    assert_eq!(matched.len(), 1);
    assert_eq!(matched[0].1.service, "manualmode/db");
    assert_eq!(advance(matched[0].0, matched[0].1, now()), None);
}

#[test]
fn the_same_place_under_another_name_is_the_same_service() {
    let known = [known()];
    let one = renamed(|one| on_volume(one, "shop_data", "7"));
    let (before, seen) = match_up(&known, std::slice::from_ref(&one))[0];
    let step = after(before.expect("known by its place"), seen);
    assert_eq!(step.known.swapped, None);
    told(&step, EventKind::Changed, "service shop/db → manualmode/db");
}

#[test]
fn a_second_server_on_the_same_directory_does_not_take_the_place_of_the_first() {
    let second = observed(|one| {
        one.service = "a-copy".to_owned();
        one.name.instance = "a-copy".to_owned();
    });
    let known = [known()];
    let both = [second, observed(|_| {})];
    let matched = match_up(&known, &both);
    let services: Vec<_> = matched
        .iter()
        .map(|(known, one)| (known.is_some(), one.service.as_str()))
        .collect();
    assert_eq!(services, [(false, "a-copy"), (true, "shop/db")]);
}

#[test]
fn of_the_containers_of_one_service_the_one_that_runs_is_it() {
    let twice = |second_runs: bool| {
        let mut facts: Facts = facts();
        let host = &mut facts.hosts[0];
        let (mut container, mut instance) = (host.containers[0].clone(), host.instances[0].clone());
        container.id = "c0".to_owned();
        container.name = "a-new-one".to_owned();
        if !second_runs {
            container.state = ContainerState::Exited;
        }
        instance.name.clone_from(&container.name);
        instance.container.clone_from(&container.name);
        host.containers.push(container);
        host.instances.push(instance);
        let mut services: Vec<_> = observe(&facts.hosts, &[])
            .into_iter()
            .map(|one| (one.service, one.name.instance))
            .collect();
        services.sort();
        services
    };
    let pair = |service: &str, instance: &str| (service.to_owned(), instance.to_owned());
    assert_eq!(
        twice(false),
        [pair("shop/db", "shop-db")],
        "what it was before"
    );
    assert_eq!(
        twice(true),
        [pair("shop-db", "shop-db"), pair("shop/db", "a-new-one")]
    );
}

#[test]
fn a_server_whose_place_nobody_has_told_yet_is_not_judged() {
    let mut facts = facts();
    let instance = &mut facts.hosts[0].instances[0];
    instance.data = None;
    instance.health = None;
    assert_eq!(observe(&facts.hosts, &[]), []);
}

#[test]
fn what_has_never_run_is_no_service_yet() {
    let mut facts = facts();
    facts.hosts[0].containers[0].state = ContainerState::Created;
    assert_eq!(observe(&facts.hosts, &[]), []);
}

#[test]
fn what_a_check_counted_is_remembered_while_it_cannot_count() {
    let counting = |count: Option<i64>| {
        observed(|one| {
            holding(one, &[("shop", GIB)]);
            let counts = &mut one.contents.as_mut().unwrap().counts;
            counts.extend(count.map(|count| ("shop users".to_owned(), count)));
        })
    };
    let before = after(&known(), &counting(Some(14))).known;
    assert_eq!(advance(Some(&before), &counting(None), now()), None);
    let fewer = after(&before, &counting(Some(13))).known;
    assert_eq!(fewer.contents.counts["shop users"], 13);
    let wrong = |count: Option<i64>| {
        let mut one = counting(count);
        on_volume(&mut one, "shop2_data", "9");
        let databases = &mut one.contents.as_mut().unwrap().databases;
        databases.insert("shop".to_owned(), 8 << 20);
        one
    };
    let swapped = after(&fewer, &wrong(Some(1))).known;
    assert_eq!(advance(Some(&swapped), &wrong(None), now()), None);
    assert_eq!(swapped.contents.counts["shop users"], 13);
    assert_eq!(swapped.swapped.unwrap().contents.counts["shop users"], 1);
}

#[test]
fn a_host_that_cannot_be_looked_at_shows_nothing() {
    let mut facts = facts();
    facts.hosts[0].engine_error = "no socket".to_owned();
    assert_eq!(observe(&facts.hosts, &[]), []);
    facts.hosts[0].engine_error.clear();
    facts.hosts[0].connected = false;
    assert_eq!(observe(&facts.hosts, &[]), []);
}
