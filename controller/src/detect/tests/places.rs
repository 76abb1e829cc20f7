//! Detectors of data: where they lie, who mounts them, what they are, what is gone or damaged.

use super::{
    Critical, Facts, Seen, TimeDelta, Warning, facts, healthy, look, mount, now, one, place, seen,
    volume,
};
use crate::{
    data_store::{Contents, Known, Lost, Swapped, advance, match_up, observe},
    detect::{data_damaged::Triaged, kinds},
};
use holdfast_proto::{
    fleet::{Container, ContainerState, Engine, MountKind},
    task::{DataEvidence, DataTriage, DataVerdict},
};

/// A second container, `copy-db`, that runs.
fn second(facts: &mut Facts) -> &mut Container {
    let host = &mut facts.hosts[0];
    let mut copy = host.containers[0].clone();
    copy.id = "c2".to_owned();
    copy.name = "copy-db".to_owned();
    copy.started_at = Some(now());
    host.containers[0].started_at = Some(now() - TimeDelta::days(3));
    host.containers.push(copy);
    host.containers.last_mut().unwrap()
}

/// It runs a server on this place; which does not answer, as in incident 1.
fn with_server(host_path: &str) -> impl Fn(&mut Facts) {
    move |facts| {
        second(facts);
        let mut instance = healthy("copy-db");
        instance.health = None;
        instance.down_reason = "starting up".to_owned();
        instance.data = Some(place(host_path));
        facts.hosts[0].instances.push(instance);
    }
}

#[test]
fn incident_1_two_servers_on_one_directory() {
    // By the volume, by a directory above the data in it, by one below.
    for path in ["/volumes/shop_data", "/volumes", "/volumes/shop_data/x"] {
        let found = seen(with_server(path));
        one(
            &found,
            "double-mount",
            Critical,
            "shop-db and copy-db on web-1",
        );
        assert!(found[0].advice.contains("docker stop copy-db"), "{found:?}");
        assert_eq!(found[0].subject, "web-1/shop-db");
    }
    assert_eq!(seen(with_server("/volumes/shop_data2")), []);
    for state in [ContainerState::Exited, ContainerState::Created] {
        let found = seen(|facts| {
            with_server("/volumes/shop_data")(facts);
            facts.hosts[0].containers[1].state = state;
        });
        // What does not run is only down.
        assert!(
            found.iter().all(|seen| seen.kind.name == "instance-down"),
            "{found:?}"
        );
    }
    for state in [ContainerState::Paused, ContainerState::Restarting] {
        let found = seen(|facts| {
            with_server("/volumes/shop_data")(facts);
            facts.hosts[0].containers[1].state = state;
        });
        let kinds: Vec<_> = found.iter().map(|seen| seen.kind.name).collect();
        assert!(kinds.contains(&"double-mount"), "{kinds:?}");
    }
}

#[test]
fn a_container_that_can_write_to_live_data_is_told_of() {
    let mounts = |source: &str, read_only: bool| {
        seen(|facts| {
            let tool = second(facts);
            let mut mounted = mount("x", "/backup");
            mounted.host_path = source.to_owned();
            mounted.kind = MountKind::Bind;
            mounted.read_only = read_only;
            tool.mounts = vec![mounted];
        })
    };
    let writes = mounts("/volumes/shop_data/base", false);
    one(
        &writes,
        "double-mount",
        Warning,
        "container copy-db can write",
    );
    assert_eq!(mounts("/volumes/shop_data", true), []);
    // What watches or tends the host has all of its disk.
    assert_eq!(mounts("/", false), []);
    assert_eq!(mounts("/volumes", false), []);
    assert_eq!(mounts("/volumes/shop", false), []);
}

#[test]
fn two_servers_on_copies_of_one_directory() {
    let twins = |change: fn(&mut Facts)| {
        seen(|facts| {
            let mut twin = facts.hosts[0].clone();
            twin.name = "web-2".parse().unwrap();
            facts.hosts.push(twin);
            change(facts);
        })
    };
    let found = twins(|_| {});
    one(
        &found,
        "same-identifier",
        Critical,
        "web-1/shop-db and web-2/shop-db",
    );
    assert_eq!(
        twins(|facts| {
            let health = facts.hosts[1].instances[0].health.as_mut().unwrap();
            health.in_recovery = true;
        }),
        [],
        "a standby"
    );
    assert_eq!(
        twins(|facts| {
            let health = facts.hosts[1].instances[0].health.as_mut().unwrap();
            health.system_identifier = "8".to_owned();
        }),
        []
    );
}

#[test]
fn a_server_that_ends_again_and_again() {
    let restarted = |count, seconds, state| {
        let found = seen(|facts| {
            let container = &mut facts.hosts[0].containers[0];
            container.restart_count = count;
            container.started_at = Some(now() - TimeDelta::seconds(seconds));
            container.state = state;
        });
        found
            .into_iter()
            .filter(|seen| seen.kind.name == "restart-loop")
            .collect::<Vec<_>>()
    };
    use ContainerState::{Exited, Restarting, Running};
    one(
        &restarted(3, 5, Running),
        "restart-loop",
        Critical,
        "3 times",
    );
    one(
        &restarted(9, 500, Restarting),
        "restart-loop",
        Critical,
        "9 times",
    );
    assert_eq!(restarted(2, 5, Running), []);
    assert_eq!(restarted(9, 120, Running), [], "it stands");
    assert_eq!(restarted(9, 5, Exited), [], "somebody stopped it");
}

/// The healthy fleet as the catalog knows it.
fn remembered(facts: &mut Facts) {
    let observed = observe(&facts.hosts, &[]);
    let matched = match_up(&[], &observed);
    let steps = matched
        .iter()
        .filter_map(|(_, one)| advance(None, one, now()));
    facts.stores = steps.map(|step| step.known).collect();
}

fn known(change: impl Fn(&mut Known)) -> impl Fn(&mut Facts) {
    move |facts| {
        remembered(facts);
        change(&mut facts.stores[0]);
    }
}

#[test]
fn incident_4_a_service_on_other_data() {
    assert_eq!(seen(remembered), []);
    let swap = |known: &mut Known| {
        let mut store = known.accepted.clone();
        store.volume.as_mut().unwrap().name = "shop2_data".to_owned();
        known.contents.counts = [("shop users".to_owned(), 14)].into();
        known.swapped = Some(Swapped {
            store,
            contents: Contents {
                counts: [("shop users".to_owned(), 1)].into(),
                ..Contents::default()
            },
            at: now(),
        });
    };
    let found = seen(known(swap));
    one(
        &found,
        "identity-swapped",
        Critical,
        "volume shop_data → shop2_data; shop users 14 → 1",
    );
    let there = |found: &[Seen]| format!("{:?}", found[0].evidence);
    assert!(there(&found).contains("shop_data is still there"));
    let gone = seen(|facts: &mut Facts| {
        known(swap)(facts);
        facts.hosts[0].volumes.clear();
    });
    let of_swap: Vec<_> = gone
        .into_iter()
        .filter(|seen| seen.kind.name == "identity-swapped")
        .collect();
    assert!(there(&of_swap).contains("not there any more"));
}

#[test]
fn incident_5_a_volume_is_gone() {
    let without = |change: fn(&mut Facts)| {
        seen(|facts| {
            remembered(facts);
            let host = &mut facts.hosts[0];
            host.volumes.clear();
            host.containers.clear();
            host.instances.clear();
            change(facts);
        })
    };
    let found = without(|_| {});
    one(
        &found,
        "volume-gone",
        Critical,
        "shop_data with the data of web-1/shop-db is gone",
    );
    // Who cannot look does not know.
    assert_eq!(without(|facts| facts.hosts[0].connected = false), []);
    let blind = without(|facts| facts.hosts[0].engine_error = "no socket".to_owned());
    one(&blind, "engine-unreachable", Warning, "no socket");
}

#[test]
fn a_volume_with_a_database_that_nobody_uses() {
    let unused = |minutes, users: &[&str]| {
        seen(|facts| {
            remembered(facts);
            facts.stores[0].last_seen_at = now() - TimeDelta::minutes(minutes);
            let host = &mut facts.hosts[0];
            host.containers.clear();
            host.instances.clear();
            host.volumes[0].used_by = users.iter().map(|&user| user.to_owned()).collect();
        })
    };
    one(
        &unused(15, &[]),
        "unused-volume",
        Warning,
        "a prune would take it",
    );
    assert_eq!(unused(14, &[]), []);
    assert_eq!(unused(15, &["shop-db"]), []);
}

#[test]
fn a_large_database_that_is_gone_or_empty() {
    let lost = |left| {
        seen(known(|known: &mut Known| {
            let lost = Lost {
                before: 1 << 30,
                now: left,
                at: now(),
            };
            known.lost.insert("shop".to_owned(), lost);
        }))
    };
    let lost = |left: Option<u64>| lost(left);
    one(&lost(None), "database-gone", Critical, "web-1/shop-db/shop");
    one(
        &lost(Some(8 << 20)),
        "database-gone",
        Critical,
        "has shrunk from",
    );
}

#[test]
fn an_anonymous_volume_is_one_by_the_volumes_of_its_own_host() {
    let mut facts = facts();
    let mut other = facts.hosts[0].clone();
    other.name = "web-2".parse().unwrap();
    other.instances.clear();
    other.volumes = vec![volume("shop_data", true)];
    facts.hosts.push(other);
    assert_eq!(look(&Facts::default(), &facts, now()), []);
}

#[test]
fn every_kind_has_a_code_of_its_own_and_a_page_that_says_what_to_do() {
    let kinds = kinds();
    for pair in kinds.windows(2) {
        assert_ne!(pair[0].code, pair[1].code);
        assert!(
            kinds
                .iter()
                .filter(|kind| kind.name == pair[0].name)
                .count()
                == 1
        );
    }
    for kind in kinds {
        let head = format!("# {} {}\n", kind.code, kind.name);
        assert!(kind.page.starts_with(&head), "{}", kind.code);
        for part in [
            "What it says",
            "Why it matters",
            "What to do",
            "When it ends",
        ] {
            assert!(kind.page.contains(&format!("## {part}\n")), "{}", kind.code);
        }
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/findings");
    let pages = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(
        pages,
        super::super::kinds().len(),
        "a page without its kind"
    );
}

#[test]
fn incident_2_damaged_files_are_told_of() {
    let triaged = |verdict| {
        let evidence = |code: &str, what: &str| DataEvidence {
            code: code.to_owned(),
            verdict,
            what: what.to_owned(),
        };
        seen(|facts| {
            facts.triages = vec![Triaged {
                instance: "web-1/shop-db".parse().unwrap(),
                found: DataTriage {
                    path: "/volumes/shop_data".to_owned(),
                    engine: Engine::Postgres,
                    version: "15".to_owned(),
                    system_identifier: "7".to_owned(),
                    running: false,
                    verdict,
                    evidence: vec![
                        evidence("file-missing", "the server said: 14:06 could not open"),
                        evidence("system-index-missing", "global/2671 is missing"),
                    ],
                    runbook: "catalog-damage".to_owned(),
                    next: "ctl backup create --volume web-1/shop_data --stop".to_owned(),
                },
            }];
        })
    };
    let index = triaged(DataVerdict::IndexBroken);
    one(
        &index,
        "data-damaged",
        Critical,
        "nothing is lost: global/2671",
    );
    assert!(index[0].advice.contains("ctl backup create"), "{index:?}");
    for verdict in [DataVerdict::WalDamaged, DataVerdict::DataLost] {
        let lost = triaged(verdict);
        one(&lost, "data-damaged", Critical, "damaged: global/2671");
    }
    let unknown = triaged(DataVerdict::Unknown);
    one(&unknown, "data-damaged", Warning, "is not known");
    for verdict in [DataVerdict::Sound, DataVerdict::NeedsRecovery] {
        assert_eq!(triaged(verdict), []);
    }
}
