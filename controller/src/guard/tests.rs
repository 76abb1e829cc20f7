//! Which data may go: fresh proven backups of everything in them, made since they are there.

use chrono::TimeDelta;
use holdfast_proto::fleet::Engine;

use super::*;
use crate::{
    data_store::{Swapped, advance, observe},
    detect::tests::facts,
    policy::{Subject, file},
};

const GIB: u64 = 1 << 30;
const VOLUME: &str = "shop_data";

fn now() -> Time {
    DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn hours_ago(hours: i64) -> Time {
    now() - TimeDelta::hours(hours)
}

fn database(name: &str) -> DatabaseName {
    format!("web-1/shop-db/{name}").parse().unwrap()
}

fn volume() -> DatabaseName {
    let volume = VolumeName {
        host: "web-1".parse().unwrap(),
        volume: VOLUME.to_owned(),
    };
    volume.into()
}

fn seen(name: DatabaseName, hours: i64) -> Known {
    let engine = name.volume().is_none().then_some(Engine::Postgres);
    Known {
        subject: Subject {
            database: name,
            engine,
            project: String::new(),
            labels: BTreeMap::new(),
            holds: vec![],
        },
        since: hours_ago(hours),
    }
}

/// A service with one database, which has been where it is for a hundred days. Policies ask for nothing.
fn gathered() -> Gathered {
    let mut one = observe(&facts().hosts, &[]).remove(0);
    one.contents = Some(crate::data_store::Contents {
        databases: [("shop".to_owned(), GIB)].into(),
        counts: [
            ("shop users".to_owned(), 5012),
            ("shop admins".to_owned(), 3),
        ]
        .into(),
    });
    let mut store = advance(None, &one, now()).unwrap().known;
    store.id = 1;
    assert_eq!(store.accepted.volume_name(), Some(VOLUME));
    Gathered {
        stores: vec![store],
        since: [(1, now() - TimeDelta::days(100))].into(),
        proven: BTreeMap::new(),
        policies: file::read("default: {protect: false, reason: a test}").unwrap(),
        subjects: BTreeMap::new(),
        allowed: vec![],
    }
}

#[track_caller]
fn only(gathered: &Gathered) -> Protection {
    let mut all = protections(gathered, now());
    assert_eq!(all.len(), 1, "{all:?}");
    let mut own = all.remove(&"web-1".parse().unwrap()).unwrap();
    assert_eq!(own.len(), 1, "{own:?}");
    own.remove(0)
}

#[test]
fn a_backup_that_is_proven_is_fresh_for_a_day() {
    let mut shop = gathered();
    let none = only(&shop);
    assert_eq!((none.place.as_str(), none.proven_at), (VOLUME, None));
    assert_eq!(none.databases[0].users, Some(5012));
    assert!(!none.is_fresh(now()));
    shop.proven.insert(database("shop"), hours_ago(23));
    let fresh = only(&shop);
    assert_eq!(fresh.proven_at, Some(hours_ago(23)));
    assert!(fresh.is_fresh(now()) && !fresh.is_fresh(now() + TimeDelta::hours(1)));
    shop.proven.insert(database("shop"), hours_ago(25));
    assert!(!only(&shop).is_fresh(now()));
    shop.proven.insert(database("shop"), hours_ago(-1));
    assert_eq!(only(&shop).proven_at, None, "dated in the future");
}

#[test]
fn a_target_for_losses_makes_it_stale_sooner_and_never_later() {
    let mut shop = gathered();
    shop.proven.insert(database("shop"), hours_ago(2));
    let known = seen(database("shop"), 1_000);
    shop.subjects.insert(database("shop"), known);
    for (rpo, fresh) in [("1h", false), ("3h", true), ("30d", true)] {
        shop.policies = file::read(&format!("default: {{rpo: {rpo}}}")).unwrap();
        assert_eq!(only(&shop).is_fresh(now()), fresh, "{rpo}");
    }
    shop.proven.insert(database("shop"), hours_ago(25));
    assert!(!only(&shop).is_fresh(now()), "never longer than a day");
}

#[test]
fn every_database_has_to_have_one_and_the_oldest_decides() {
    let mut shop = gathered();
    let databases = &mut shop.stores[0].contents.databases;
    databases.insert("crm".to_owned(), 1);
    shop.proven.insert(database("shop"), hours_ago(1));
    let half = only(&shop);
    assert_eq!((half.proven_at, half.is_fresh(now())), (None, false));
    let fresh: Vec<_> = half
        .databases
        .iter()
        .map(|one| one.is_fresh(now()))
        .collect();
    assert_eq!(fresh, [false, true], "crm, shop");
    shop.proven.insert(database("crm"), hours_ago(5));
    let both = only(&shop);
    assert_eq!(both.proven_at, Some(hours_ago(5)));
    assert_eq!(both.fresh_until, Some(hours_ago(5 - 24)));
}

#[test]
fn what_a_server_has_of_itself_counts_when_it_may_hold_something() {
    let mut shop = gathered();
    shop.proven.insert(database("shop"), hours_ago(1));
    let databases = &mut shop.stores[0].contents.databases;
    databases.insert("postgres".to_owned(), 8 << 20);
    assert_eq!(only(&shop).databases.len(), 1);
    let mut larger = shop.clone();
    let databases = &mut larger.stores[0].contents.databases;
    databases.insert("postgres".to_owned(), 17 << 20);
    assert!(!only(&larger).is_fresh(now()));
    let mut counted = shop.clone();
    let counts = &mut counted.stores[0].contents.counts;
    counts.insert("postgres users".to_owned(), 3);
    assert!(!only(&counted).is_fresh(now()));
    shop.proven.insert(database("postgres"), hours_ago(48));
    assert!(!only(&shop).is_fresh(now()), "somebody backs it up");
}

#[test]
fn a_server_without_databases_is_protected_by_the_whole_volume_alone() {
    let mut shop = gathered();
    shop.stores[0].contents.databases.clear();
    assert_eq!(only(&shop).proven_at, None);
    shop.proven.insert(volume(), hours_ago(3));
    assert_eq!(only(&shop).proven_at, Some(hours_ago(3)));
    assert!(only(&shop).is_fresh(now()));
}

#[test]
fn a_backup_of_other_data_protects_nothing() {
    let mut shop = gathered();
    shop.proven.insert(database("shop"), hours_ago(2));
    shop.since.insert(1, hours_ago(1));
    assert!(!only(&shop).is_fresh(now()), "from before these data came");
    shop.since.insert(1, hours_ago(2));
    assert!(only(&shop).is_fresh(now()));
    shop.since.clear();
    assert!(!only(&shop).is_fresh(now()), "nobody knows since when");
    shop.since.insert(1, hours_ago(3));
    let store = &mut shop.stores[0];
    store.swapped = Some(Swapped {
        store: store.accepted.clone(),
        contents: store.contents.clone(),
        at: hours_ago(1),
    });
    assert!(!only(&shop).is_fresh(now()), "nobody knows of which");
    shop.proven.insert(volume(), hours_ago(2));
    assert!(!only(&shop).is_fresh(now()), "of what was in it before");
    shop.proven.insert(volume(), hours_ago(0));
    assert!(only(&shop).is_fresh(now()), "whatever is in it");
}

#[test]
fn a_volume_that_no_service_was_seen_on_is_protected_by_its_own_backups() {
    let mut shop = gathered();
    shop.stores.clear();
    shop.proven.insert(volume(), hours_ago(3));
    assert!(!only(&shop).is_fresh(now()), "nobody knows since when");
    for (first_seen, fresh) in [(2, false), (4, true)] {
        let known = seen(volume(), first_seen);
        shop.subjects.insert(volume(), known);
        assert_eq!(only(&shop).is_fresh(now()), fresh, "{first_seen} hours ago");
    }
}

#[test]
fn an_operators_word_is_passed_on_also_for_a_place_that_nobody_knows() {
    let mut shop = gathered();
    for place in [VOLUME, "/srv/old"] {
        shop.allowed.push(Allowed {
            host: "web-1".parse().unwrap(),
            place: place.to_owned(),
            allowance: Allowance {
                until: now() + TimeDelta::minutes(10),
                reason: "move".to_owned(),
                by: "operator/ann".to_owned(),
            },
        });
    }
    let all = protections(&shop, now());
    let own = &all[&"web-1".parse().unwrap()];
    assert_eq!(own.len(), 2);
    assert!(
        own.iter()
            .all(|one| one.is_allowed(now()) && !one.is_fresh(now()))
    );
}
