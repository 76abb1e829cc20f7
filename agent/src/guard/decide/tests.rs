use std::path::PathBuf;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::guard::{
    place::resolve,
    protection::{Allowance, Protection},
    refusal::Rule,
    request::Call,
};

const ROOT: &str = "/nowhere/volumes/shop_db/_data";

fn now() -> DateTime<Utc> {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn data(volume: &str, anonymous: bool) -> DataDirectory {
    DataDirectory {
        place: Place::Volume {
            name: volume.to_owned(),
            anonymous,
        },
        roots: vec![format!("/nowhere/volumes/{volume}/_data").into()],
        inside: vec![PathBuf::new()],
        server: "PostgreSQL 17".to_owned(),
        instance: Some("shop-db".to_owned()),
        databases: vec!["shop".to_owned()],
        servers: vec!["a1".to_owned()],
        on_host: false,
        protection: None,
    }
}

fn container(id: &str, name: &str, volume: &str, alive: bool) -> Container {
    Container {
        id: id.to_owned(),
        names: vec![name.to_owned()],
        alive,
        mounts: vec![Mounted {
            volume: Some(volume.to_owned()),
            path: Some(format!("/nowhere/volumes/{volume}/_data").into()),
            destination: "/data".into(),
            read_only: false,
        }],
        service: None,
    }
}

/// A host with one server on one volume, and everything that has passed.
struct Host {
    facts: Facts,
    claims: Claims,
    /// None: it does not answer.
    engine: Option<Vec<Container>>,
}

impl Host {
    fn shop() -> Self {
        let containers = vec![container("a1", "shop-db", "shop_db", true)];
        Self {
            facts: Facts {
                containers: containers.clone(),
                data: vec![data("shop_db", false)],
                ..Facts::none("web-1", now())
            },
            claims: Claims::default(),
            engine: Some(containers),
        }
    }

    fn view<'a>(&'a self, engine: Engine<'a>) -> View<'a> {
        View {
            facts: &self.facts,
            claims: &self.claims,
            engine,
            now: now(),
        }
    }

    fn request(method: &str, uri: &str, body: &str) -> Request {
        Request::parse(Call {
            method,
            uri,
            body: body.as_bytes(),
            is_form: false,
        })
    }

    fn first(&self, method: &str, uri: &str, body: &str) -> Verdict {
        self.decide(Engine::NotAsked, &Self::request(method, uri, body))
    }

    fn decide(&self, engine: Engine<'_>, request: &Request) -> Verdict {
        let mounts = match request {
            Request::Create(create) => resolve(&create.mounts, &self.facts),
            Request::CreateVolume {
                device: Some(device),
                ..
            } => vec![Mounted {
                volume: None,
                path: Some(device.clone()),
                destination: PathBuf::new(),
                read_only: false,
            }],
            _ => Vec::new(),
        };
        decide(self.view(engine), request, &mounts)
    }

    /// As the guard does it: the engine is asked when memory does not suffice.
    fn ask(&self, method: &str, uri: &str, body: &str) -> Result<(), Refusal> {
        let request = Self::request(method, uri, body);
        let mut verdict = self.decide(Engine::NotAsked, &request);
        if verdict == Verdict::Ask {
            let engine = self.engine.as_deref().map_or(Engine::Silent, Engine::Says);
            verdict = self.decide(engine, &request);
        }
        match verdict {
            Verdict::Allow => Ok(()),
            Verdict::Deny(refusal) => Err(refusal),
            Verdict::Ask => panic!("asks twice"),
        }
    }

    fn create(&self, body: &str) -> Result<(), Refusal> {
        self.ask("POST", "/v1.41/containers/create?name=copy", body)
    }

    fn remove(&self) -> Result<(), Refusal> {
        self.ask("DELETE", "/volumes/shop_db", "")
    }

    /// Makes a container, as far as the guard sees it.
    fn made(&mut self, id: &str, body: &str) -> Result<(), Refusal> {
        let uri = format!("/v1.41/containers/create?name={id}");
        self.ask("POST", &uri, body)?;
        let Request::Create(create) = Self::request("POST", &uri, body) else {
            panic!("no create")
        };
        let mounts = resolve(&create.mounts, &self.facts);
        let fingerprint = u128::from(id.as_bytes()[0]);
        self.claims.create(fingerprint, &create, mounts, now());
        self.claims.created(fingerprint, Some(id));
        Ok(())
    }

    /// Starts it; the engine has not answered yet.
    fn starts(&mut self, id: &str) -> Result<(), Refusal> {
        self.ask("POST", &format!("/containers/{id}/start"), "")?;
        let found: Vec<_> = self.claims.find(id).collect();
        for container in found {
            self.claims.start(&container, id, now());
        }
        Ok(())
    }

    fn stopped(mut self) -> Self {
        for container in self
            .facts
            .containers
            .iter_mut()
            .chain(self.engine.iter_mut().flatten())
        {
            container.alive = false;
        }
        self
    }
}

const BY_NAME: &str = r#"{"Image":"postgres","HostConfig":{"Binds":["shop_db:/data"]}}"#;
const TO_BE_REMOVED: &str =
    r#"{"Image":"postgres","HostConfig":{"Binds":["shop_db:/data"],"AutoRemove":true}}"#;

fn of_service(number: u32, more: &str) -> String {
    format!(
        r#"{{"HostConfig":{{"Binds":["shop_db:/data"]}},"Labels":{{"com.docker.compose.project":"shop",
        "com.docker.compose.service":"db","com.docker.compose.container-number":"{number}"{more}}}}}"#
    )
}

#[test]
fn a_second_container_on_live_data_is_refused_however_it_mounts_them() {
    let host = Host::shop();
    for body in [
        BY_NAME,
        r#"{"hostCONFIG":{"binds":["/nowhere/volumes/shop_db/_data:/data"]}}"#,
        r#"{"HostConfig":{"Binds":["/nowhere/volumes/x/../shop_db:/data"]}}"#,
        r#"{"HostConfig":{"Mounts":[{"Type":"volume","Source":"shop_db","Target":"/d"}]}}"#,
        r#"{"HostConfig":{"Mounts":[{"Type":"volume","Source":"shop_db","Target":"/d","VolumeOptions":{"Subpath":"base"}}]}}"#,
        r#"{"HostConfig":{"Mounts":[{"Type":"volume","Source":"","Target":"/d","VolumeOptions":{"DriverConfig":
            {"Name":"local","Options":{"type":"none","o":"bind","device":"/nowhere/volumes/shop_db/_data"}}}}]}}"#,
        r#"{"HostConfig":{"VolumesFrom":["shop-db"]}}"#,
        r#"{"HostConfig":{"VolumesFrom":["a1:rw"]}}"#,
        r#"{"Binds":["shop_db:/data"]}"#,
    ] {
        let refused = host.create(body).unwrap_err();
        assert_eq!(refused.rule, Rule::SecondMount, "{body}");
        assert!(
            refused.sentence.contains("container shop-db runs on it"),
            "{}",
            refused.sentence
        );
    }
    let device = format!(r#"{{"Name":"x","DriverOpts":{{"o":"bind","device":"{ROOT}"}}}}"#);
    assert!(host.ask("POST", "/volumes/create", &device).is_err());
    for body in [
        r#"{"HostConfig":{"Binds":["other:/data"]}}"#,
        r#"{"HostConfig":{"Binds":["shop_db:/data:ro"]}}"#,
        r#"{"HostConfig":{"Binds":["/:/rootfs"]}}"#,
        r#"{"HostConfig":{"VolumesFrom":["shop-db:ro"]}}"#,
        r#"{"Image":"postgres"}"#,
    ] {
        assert_eq!(host.create(body), Ok(()), "{body}");
    }
    assert_eq!(
        host.ask("POST", "/volumes/create", r#"{"Name":"shop_db"}"#),
        Ok(())
    );
}

#[test]
fn data_that_nobody_runs_on_may_be_mounted() {
    let host = Host::shop().stopped();
    assert_eq!(host.create(BY_NAME), Ok(()));
    // The facts are a moment old: the engine's word counts.
    let mut ended = Host::shop();
    ended.engine = ended.engine.map(|mut all| {
        all[0].alive = false;
        all
    });
    assert_eq!(ended.create(BY_NAME), Ok(()));
    let mut on_host = Host::shop().stopped();
    on_host.facts.data[0].on_host = true;
    assert!(on_host.create(BY_NAME).is_err());
}

#[test]
fn an_unknown_container_on_the_data_counts_as_a_server_and_a_known_tool_does_not() {
    let mut host = Host::shop().stopped();
    let stranger = container("b2", "stranger", "shop_db", true);
    host.engine = Some(vec![stranger.clone()]);
    assert!(host.create(BY_NAME).is_err());
    host.facts.containers.push(stranger);
    assert_eq!(host.create(BY_NAME), Ok(()));
}

#[test]
fn compose_may_make_the_next_container_of_a_service_but_not_start_it_before_the_last_has_ended() {
    let mut host = Host::shop();
    let service = Service {
        project: "shop".to_owned(),
        name: "db".to_owned(),
        number: "1".to_owned(),
        one_off: false,
    };
    for container in host
        .facts
        .containers
        .iter_mut()
        .chain(host.engine.iter_mut().flatten())
    {
        container.service = Some(service.clone());
    }
    assert!(host.create(&of_service(2, "")).is_err(), "a second one");
    let one_off = of_service(1, r#","com.docker.compose.oneoff":"True""#);
    assert!(host.create(&one_off).is_err(), "compose run");
    host.made("next", &of_service(1, "")).unwrap();
    assert!(host.starts("next").is_err(), "the last one runs");
    let mut host = Host {
        claims: host.claims.clone(),
        ..host.stopped()
    };
    assert_eq!(host.starts("next"), Ok(()));
    assert_eq!(host.starts("next"), Ok(()), "the same one again");
}

#[test]
fn of_two_that_are_started_at_once_one_is_refused() {
    let mut host = Host::shop().stopped();
    host.made("one", BY_NAME).unwrap();
    host.made("two", BY_NAME).unwrap();
    assert_eq!(host.starts("one"), Ok(()));
    let refused = host.starts("two").unwrap_err();
    assert!(
        refused.sentence.contains("container one is being started"),
        "{}",
        refused.sentence
    );
    // The engine says that the first has ended.
    host.claims.started("one", true);
    assert_eq!(host.starts("two"), Ok(()));
    // Without its word, a start of this moment counts as running.
    host.claims.started("two", true);
    host.engine = None;
    assert!(host.starts("one").is_err());
}

#[test]
fn whoever_would_hang_on_a_refused_start_is_refused_at_the_create() {
    let mut host = Host::shop().stopped();
    host.made("one", BY_NAME).unwrap();
    assert!(host.create(TO_BE_REMOVED).is_err());
    let mut host = Host::shop().stopped();
    host.made("one", TO_BE_REMOVED).unwrap();
    assert!(host.create(BY_NAME).is_err());
    assert_eq!(host.starts("one"), Ok(()));
}

#[test]
fn a_volume_with_a_database_goes_only_when_it_is_protected() {
    let mut host = Host::shop();
    let refused = host.remove().unwrap_err();
    assert_eq!(refused.rule, Rule::Loss);
    assert_eq!(host.ask("DELETE", "/volumes/other", ""), Ok(()));
    host.facts.data[0].protection = Some(Protection {
        proven_at: Some(now() - TimeDelta::days(1)),
        fresh_until: Some(now() + TimeDelta::hours(1)),
        ..Protection::default()
    });
    assert_eq!(host.remove(), Ok(()));
    assert!(
        host.create(BY_NAME).is_err(),
        "a backup allows no second server"
    );
    host.facts.data[0].protection = Some(Protection {
        allowance: Some(Allowance {
            until: now() + TimeDelta::minutes(10),
            reason: "move".to_owned(),
            by: "ann".to_owned(),
        }),
        ..Protection::default()
    });
    assert_eq!((host.remove(), host.create(BY_NAME)), (Ok(()), Ok(())));
}

#[test]
fn pruning_is_refused_when_it_would_take_a_database() {
    let mut host = Host::shop();
    let prune = |host: &Host, uri| host.ask("POST", uri, "");
    assert_eq!(prune(&host, "/v1.41/volumes/prune"), Ok(()), "it is in use");
    host.engine = Some(vec![]);
    let refused = prune(&host, "/v1.41/volumes/prune").unwrap_err();
    assert!(
        refused.sentence.contains("is used by no container"),
        "{}",
        refused.sentence
    );
    assert_eq!(
        prune(&host, "/v1.42/volumes/prune"),
        Ok(()),
        "it has a name"
    );
    host.engine = None;
    let unchecked = prune(&host, "/v1.41/volumes/prune").unwrap_err();
    assert_eq!(unchecked.rule, Rule::Unchecked);
    host.engine = Some(vec![]);
    host.facts.data = vec![data("0123", true)];
    assert!(prune(&host, "/v1.42/volumes/prune").is_err());
    host.facts.data.clear();
    assert_eq!(prune(&host, "/v1.41/volumes/prune"), Ok(()));
}

#[test]
fn a_container_takes_its_anonymous_database_with_it_only_when_asked_to() {
    let mut host = Host::shop();
    assert_eq!(
        host.ask("DELETE", "/containers/shop-db?v=1&force=1", ""),
        Ok(())
    );
    host.facts.data.push(data("0123", true));
    host.facts
        .containers
        .push(container("c3", "anon", "0123", false));
    let refused = host
        .ask("DELETE", "/v1.41/containers/anon?v=1", "")
        .unwrap_err();
    assert!(
        refused.sentence.contains("goes with container anon"),
        "{}",
        refused.sentence
    );
    assert!(host.ask("DELETE", "/containers/c3?v=1", "").is_err());
    assert_eq!(host.ask("DELETE", "/containers/anon", ""), Ok(()));
    // One that the facts do not know.
    host.engine = Some(vec![container("d4", "new", "0123", true)]);
    assert!(host.ask("DELETE", "/containers/new?v=1", "").is_err());
    assert_eq!(host.ask("DELETE", "/containers/none?v=1", ""), Ok(()));
    host.engine = None;
    assert!(host.ask("DELETE", "/containers/new?v=1", "").is_err());
}

#[test]
fn what_concerns_no_database_is_answered_from_memory() {
    let mut host = Host::shop();
    let made = |host: &Host, body| host.first("POST", "/containers/create", body);
    assert_eq!(made(&host, r#"{"Image":"nginx"}"#), Verdict::Allow);
    assert_eq!(made(&host, BY_NAME), Verdict::Ask);
    host.facts
        .containers
        .push(container("e5", "web", "uploads", false));
    assert_eq!(
        host.first("POST", "/containers/web/start", ""),
        Verdict::Allow
    );
    assert_eq!(
        host.first("POST", "/containers/who/start", ""),
        Verdict::Ask
    );
    assert_eq!(
        host.first("DELETE", "/containers/who?v=1", ""),
        Verdict::Allow
    );
    // The agent is dead: what a name means may have changed.
    host.facts.written_at = now() - TimeDelta::hours(1);
    assert_eq!(
        host.first("POST", "/containers/web/start", ""),
        Verdict::Ask
    );
    host.facts.data.clear();
    assert_eq!(
        host.first("POST", "/containers/web/start", ""),
        Verdict::Allow
    );
}

#[test]
fn a_name_that_belonged_to_another_container_means_the_one_that_has_it_now() {
    let mut host = Host::shop();
    host.claims.start(
        &container("old", "shop-db", "shop_db", true),
        "shop-db",
        now(),
    );
    host.claims.started("shop-db", true);
    assert_eq!(host.ask("POST", "/containers/shop-db/restart", ""), Ok(()));
}

#[test]
fn a_start_that_cannot_be_checked_is_refused() {
    let mut host = Host::shop();
    host.engine = None;
    let refused = host.ask("POST", "/containers/who/start", "").unwrap_err();
    assert_eq!(refused.rule, Rule::Unchecked);
    assert_eq!(
        host.ask("POST", "/containers/shop-db/start", ""),
        Ok(()),
        "it runs on them itself"
    );
    assert!(host.create(BY_NAME).is_err());
}

fn step() -> impl Strategy<Value = (u8, usize)> {
    (0u8..4, 0usize..4)
}

proptest! {
    /// Whatever containers do in whatever order: there are never two on the data.
    #[test]
    fn never_two(steps in proptest::collection::vec(step(), 1..40), remove in any::<bool>()) {
        let mut host = Host::shop().stopped();
        let ids = ["b1", "b2", "b3", "b4"];
        let mut running: Vec<Container> = Vec::new();
        let mut made = [false; 4];
        for (what, which) in steps {
            let id = ids[which];
            host.engine = Some(running.clone());
            match what {
                0 if !made[which] => {
                    let body = if remove { TO_BE_REMOVED } else { BY_NAME };
                    made[which] = host.made(id, body).is_ok();
                }
                1 if made[which] && host.starts(id).is_ok() && !running.iter().any(|c| c.id == id) => {
                    running.push(container(id, id, "shop_db", true));
                }
                2 => host.claims.started(id, running.iter().any(|c| c.id == id)),
                3 => {
                    // It has ended, and the engine has answered its start before.
                    host.claims.started(id, true);
                    running.retain(|c| c.id != id);
                }
                _ => {}
            }
            prop_assert!(running.len() <= 1, "{running:?}");
        }
    }
}
