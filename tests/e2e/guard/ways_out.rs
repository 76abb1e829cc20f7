//! The two ways past a refusal: a backup that is proven, and an operator's word.

use std::time::Duration;

use e2e::{eventually::eventually, fleet::Fleet, host::Host, postgres::Version};
use serde_json::Value;

use super::{VOLUME, docker, guarded_shop, refused, said, users};

const PLACE: &str = "web-1/shop-db-data";

#[test]
fn what_an_operator_allows_or_a_proven_backup_holds_passes() {
    let (mut fleet, _guard) = guarded_shop();
    ctl_shows_the_guard(&fleet);
    nonsense_changes_nothing(&fleet);
    an_operator_allows(&fleet);
    a_proven_backup(&fleet);

    // What was allowed passes also when nobody is there but the guard.
    let allow = [
        "guard",
        "allow",
        PLACE,
        "--for",
        "1h",
        "--reason",
        "it is moved",
    ];
    fleet.ctl.ok(&allow);
    fleet.member_mut("web-1").agent.kill_9();
    second_server(fleet.host("web-1"), &mut Vec::new());
    let unknown = fleet.ctl.run(&["guard", "status", "web-1"]);
    assert_eq!(unknown.code, 10, "{unknown:?}");
    let host = fleet.host("web-1");
    host.docker(&["rm", "-f", "shop-db"]);
    host.docker(&["volume", "rm", VOLUME]);
}

fn shown(fleet: &Fleet) -> Value {
    let status = fleet.ctl.json(&["guard", "status", "web-1"]);
    let mut data = status["guard"]["data"].as_array().into_iter().flatten();
    let found = data.find(|one| one["place"] == VOLUME);
    found.unwrap_or_else(|| panic!("{status:#}")).clone()
}

fn ctl_shows_the_guard(fleet: &Fleet) {
    let all = fleet.ctl.json(&["guard", "status"]);
    assert_eq!(all["guards"][0]["state"], "guards", "{all:#}");
    let data = shown(fleet);
    assert_eq!(
        (&data["instance"], &data["in_use"]),
        (&"shop-db".into(), &true.into())
    );
    assert_eq!(data["allowance"], Value::Null);
    let text = fleet.ctl.ok(&["guard", "status", "web-1"]);
    assert!(text.contains("refused"), "{text}");
}

fn nonsense_changes_nothing(fleet: &Fleet) {
    let allow = |place: &str, lasts: &str, reason: &str| {
        fleet
            .ctl
            .run(&["guard", "allow", place, "--for", lasts, "--reason", reason])
    };
    let elsewhere = allow("web-1/shop", "10m", "x");
    assert_eq!(elsewhere.code, 3, "{elsewhere:?}");
    assert!(
        elsewhere.err.contains(VOLUME),
        "it says which there are: {elsewhere:?}"
    );
    for (lasts, reason) in [("2d", "x"), ("0s", "x"), ("10m", "  ")] {
        let said = allow(PLACE, lasts, reason);
        assert_eq!(said.code, 2, "{said:?}");
    }
    let nothing = fleet.ctl.run(&["guard", "revoke", PLACE]);
    assert_eq!(nothing.code, 3, "{nothing:?}");
    assert_eq!(shown(fleet)["allowance"], Value::Null);
}

/// Whether it was let pass; what was said otherwise.
fn second_server(host: &Host, refusals: &mut Vec<String>) -> bool {
    let mount = format!("{VOLUME}:/x");
    let image = Version::V15.image();
    let (code, text) = docker(host, 60, &["run", "--rm", "-v", &mount, image, "true"]);
    if code != 0 {
        refusals.push(text);
    }
    code == 0
}

fn an_operator_allows(fleet: &Fleet) {
    let (host, mut refusals) = (fleet.host("web-1"), Vec::new());
    assert!(!second_server(host, &mut refusals));
    let reason = "a look at the files";
    let allow = ["guard", "allow", PLACE, "--for", "10m", "--reason", reason];
    let told = fleet.ctl.ok(&allow);
    assert!(
        told.contains("all passes until") && told.contains(reason),
        "{told}"
    );
    assert!(second_server(host, &mut refusals), "{refusals:?}");
    assert_eq!(shown(fleet)["allowance"]["reason"], reason);
    let told = fleet.ctl.ok(&["guard", "revoke", PLACE]);
    assert!(told.contains("refused"), "{told}");
    assert!(!second_server(host, &mut refusals));
    let audit = fleet.ctl.json(&["audit", "list"]);
    let entries = audit["entries"].as_array().into_iter().flatten();
    let entries = entries.filter(|one| one["subject"] == PLACE && one["outcome"] == "ok");
    let actions: Vec<_> = entries.map(|one| one["action"].as_str()).collect();
    assert!(
        actions.contains(&Some("guard.allow")) && actions.contains(&Some("guard.revoke")),
        "{audit:#}"
    );
    assert_eq!(users(host), "14");
}

/// What the refusal says is typed as it is.
fn a_proven_backup(fleet: &Fleet) {
    let host = fleet.host("web-1");
    let text = refused(host, &["volume", "rm", VOLUME]);
    let (_, commands) = text.split_once("; run: ").expect("what to do");
    let (commands, _) = commands.split_once(", or to let it go").expect("and else");
    for command in commands.split(" && ") {
        let mut ctl = fleet.ctl.command();
        ctl.args(command.split(' ').skip(1));
        let (code, text) = said(ctl);
        assert_eq!(code, 0, "{command}\n{text}");
    }
    eventually(
        Duration::from_secs(30),
        "a fresh backup at the guard",
        || match shown(fleet) {
            data if data["fresh_until"].is_null() => Err(data),
            _ => Ok(()),
        },
    );
    // The engine itself says that it is in use: the guard does not.
    let (code, text) = docker(host, 60, &["volume", "rm", VOLUME]);
    assert!(code != 0 && !text.contains("plugin holdfast"), "{text}");
    let text = refused(
        host,
        &[
            "run",
            "--rm",
            "-v",
            &format!("{VOLUME}:/x"),
            Version::V15.image(),
            "true",
        ],
    );
    assert!(
        text.contains("shop-db runs on it"),
        "a backup allows no second server: {text}"
    );
}
