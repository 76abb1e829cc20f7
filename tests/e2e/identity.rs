//! Who may talk to whom: tokens, certificates, removal; each refusal with its own words and an audit line.

use std::{fs, path::Path, time::Duration};

use e2e::{
    ctl::Said,
    eventually::eventually,
    fleet::{Fleet, Plan},
    host::{Host, binary},
};
use serde_json::Value;

/// Words of the `holdfast-agent join` line that `ctl host enrol` printed.
fn join_words(fleet: &Fleet, name: &str) -> Vec<String> {
    let enrolment = fleet.ctl.json(&[
        "host",
        "enrol",
        name,
        "--controller-address",
        &fleet.address(),
    ]);
    let line = enrolment["command"]
        .as_str()
        .expect("a command line")
        .to_owned();
    line.split_whitespace()
        .skip_while(|word| *word != "join")
        .map(str::to_owned)
        .collect()
}

fn join(host: &Host, words: &[String], state: &Path) -> Said {
    let mut command = host.command(binary("holdfast-agent"));
    command
        .args(words)
        .arg("--no-start")
        .arg("--state-dir")
        .arg(state);
    let output = command.output().expect("the agent starts");
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn audit(fleet: &Fleet) -> Vec<Value> {
    let entries = fleet.ctl.json(&["audit", "list"]);
    entries["entries"].as_array().expect("a list").clone()
}

fn wait_for_refusal(fleet: &Fleet, words: &str) {
    eventually(
        Duration::from_secs(10),
        &format!("an audit line about {words:?}"),
        || {
            let entries = audit(fleet);
            let found = entries.iter().any(|entry| {
                entry["outcome"] == "refused"
                    && entry["detail"].as_str().is_some_and(|d| d.contains(words))
            });
            if found {
                Ok(())
            } else {
                Err(format!("{entries:#?}"))
            }
        },
    );
}

#[test]
fn a_token_is_good_once_for_its_hour_and_for_its_own_authority() {
    let plan = Plan {
        controller_settings: "[identity]\ntoken_life = \"20s\"".to_owned(),
        ..Plan::default()
    };
    let fleet = Fleet::start_with(1, plan);
    let host = fleet.host("web-1");
    let state = |name: &str| fleet.dir().join(name);

    let words = join_words(&fleet, "web-9");
    let first = join(host, &words, &state("first"));
    assert_eq!(first.code, 0, "{}", first.err);
    let reused = join(host, &words, &state("reused"));
    assert_ne!(reused.code, 0);
    assert!(reused.err.contains("used"), "{}", reused.err);
    assert!(
        !state("reused").join("agent.key").exists(),
        "nothing is left of a refused enrolment"
    );

    let mut wrong = join_words(&fleet, "web-8");
    let token = wrong
        .iter_mut()
        .find(|word| word.starts_with("hf1_"))
        .expect("a token");
    // Both parts are base64url and may hold an underscore: the secret is told by its length, 43 characters.
    token.replace_range(4..47, &"A".repeat(43));
    let unknown = join(host, &wrong, &state("unknown"));
    assert_ne!(unknown.code, 0);
    assert!(unknown.err.contains("unknown"), "{}", unknown.err);

    let other = Fleet::start(1);
    let mut misled = join_words(&fleet, "web-7");
    let at = misled
        .iter()
        .position(|word| *word == fleet.address())
        .expect("the controller's address");
    misled[at] = other.address();
    let refused = join(host, &misled, &state("misled"));
    assert_ne!(refused.code, 0);
    assert!(
        refused.err.contains("fingerprint") || refused.err.contains("authority"),
        "{}",
        refused.err
    );

    let late = join_words(&fleet, "web-6");
    let expired = eventually(
        Duration::from_secs(40),
        "the end of the token's life",
        || {
            // A join that is still allowed would use the token up: look at the clock of the audit instead.
            let asked = fleet.ctl.json(&["audit", "list"]);
            let entries = asked["entries"].as_array().expect("a list").clone();
            let made = entries.iter().find(|entry| {
                entry["subject"]
                    .as_str()
                    .is_some_and(|s| s.contains("web-6"))
            });
            let made = made
                .and_then(|entry| entry["at"].as_str())
                .ok_or("no line about web-6")?
                .to_owned();
            let now = succeed_date(&["-u", "+%s"]);
            let then = succeed_date(&["-u", "-d", &made, "+%s"]);
            if now > then + 21 {
                Ok(join(host, &late, &state("late")))
            } else {
                Err("too early")
            }
        },
    );
    assert_ne!(expired.code, 0);
    assert!(expired.err.contains("expired"), "{}", expired.err);
    wait_for_refusal(&fleet, "expired");
}

fn succeed_date(args: &[&str]) -> u64 {
    let mut command = std::process::Command::new("date");
    command.args(args);
    e2e::host::succeed(command).trim().parse().expect("seconds")
}

#[test]
fn a_removed_host_is_out_at_once_and_can_come_back_with_a_new_key() {
    let mut fleet = Fleet::start(1);
    let removed = fleet.ctl.json(&["host", "remove", "web-1", "--yes=web-1"]);
    assert_eq!(removed["was_connected"], true, "{removed}");
    eventually(
        Duration::from_secs(10),
        "the agent's word that it is revoked",
        || {
            let log = fleet.member("web-1").agent.log();
            if log.contains("revoked") {
                Ok(())
            } else {
                Err(log)
            }
        },
    );
    wait_for_refusal(&fleet, "revoked");
    let list = fleet.ctl.json(&["host", "list"]);
    assert_eq!(list["hosts"].as_array().map(Vec::len), Some(0), "{list}");

    let mut member = fleet.members.pop().expect("a member");
    member.agent.kill_9();
    let (host, name) = member.into_host();
    fs::remove_dir_all(fleet.dir().join(&name)).expect("the old state");
    fleet.enrol(&name, host);
}

#[test]
fn certificates_are_renewed_again_and_again_while_the_session_lives() {
    let plan = Plan {
        controller_settings: "[identity]\ncertificate_life = \"20s\"".to_owned(),
        ..Plan::default()
    };
    let fleet = Fleet::start_with(1, plan);
    let expiry = || {
        let list = fleet.ctl.json(&["host", "list"]);
        list["hosts"][0]["certificate_expires_at"]
            .as_str()
            .expect("a time")
            .to_owned()
    };
    let mut seen = vec![expiry()];
    eventually(Duration::from_secs(60), "two renewals", || {
        let now = expiry();
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        if seen.len() > 2 {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    });
    let log = fleet.member("web-1").agent.log();
    assert_eq!(
        log.matches("session with the controller stands").count(),
        1,
        "{log}"
    );
    let list = fleet.ctl.json(&["host", "list"]);
    assert_eq!(list["hosts"][0]["connected"], true, "{list}");
}

#[test]
fn an_agents_certificate_is_no_operators() {
    use std::os::unix::fs::PermissionsExt as _;
    let fleet = Fleet::start(1);
    let enrolment = fleet.member("web-1").state_dir().join("enrolment.toml");
    let stolen = fs::read_to_string(enrolment).expect("the enrolment of web-1");
    // What an agent has is a controller, authorities, a certificate and a key: all that a context needs.
    let contexts = format!("current = \"stolen\"\n[contexts.stolen]\n{stolen}");
    let file = fleet.dir().join("stolen.toml");
    fs::write(&file, contexts).expect("a contexts file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("permissions");
    let file = file.to_str().expect("UTF-8");
    for words in [&["status"][..], &["host", "remove", "web-1", "--yes=web-1"]] {
        let mut args = vec!["--contexts-file", file];
        args.extend(words);
        let said = fleet.ctl.run(&args);
        assert_eq!(said.code, 4, "{}{}", said.out, said.err);
        assert!(said.err.contains("web-1"), "{}", said.err);
    }
    wait_for_refusal(&fleet, "operator");
    let list = fleet.ctl.json(&["host", "list"]);
    assert_eq!(list["hosts"][0]["connected"], true, "{list}");
}

#[test]
fn the_audit_log_holds_every_change_and_its_chain_is_whole() {
    let fleet = Fleet::start(1);
    let actions: Vec<String> = audit(&fleet)
        .iter()
        .filter_map(|entry| entry["action"].as_str().map(str::to_owned))
        .collect();
    assert!(
        actions.iter().any(|action| action.contains("enrol")),
        "{actions:?}"
    );
    let verified = fleet.ctl.run(&["-o", "json", "audit", "verify"]);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
}
