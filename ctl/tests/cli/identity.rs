//! Who may talk to whom: login, contexts, refused and renewed certificates.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
};

use chrono::{TimeDelta, Utc};
use holdfast_chassis::identity::{Authority, EnrolmentToken, NewKey, Secret, Validity};
use holdfast_ctl::context::Context;
use tonic::Status;

use crate::{
    answers::fleet,
    controller::{Controller, admin, credentials},
};

#[test]
fn login_with_a_token_leaves_a_private_context() {
    let controller = Controller::start();
    controller.answer(fleet);
    controller
        .ctl(&["host", "list"])
        .refused(4, &["not logged in", "ctl operator invite"]);
    let (token, address) = (controller.token(), controller.address.to_string());
    let said = controller.ctl(&["login", "--token", &token, "--controller", &address]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(
        said.out.contains(&format!(
            "logged in to {address} as alice (admin), context default"
        )),
        "{said:#?}"
    );
    assert!(said.err.contains("next: ctl status"), "{said:#?}");
    assert_eq!(controller.mode(), 0o600);
    assert!(controller.ok(&["host", "list"]).contains("web-1"));
    // A token works once.
    controller
        .ctl(&["login", "--token", &token, "--controller", &address])
        .refused(
            4,
            &[
                "cannot log in to",
                "this token was used before, or is wrong",
            ],
        );
}

#[test]
fn the_first_login_reads_the_bootstrap_token() {
    let controller = Controller::start();
    let state = controller.home.path().join("state");
    fs::create_dir(&state).unwrap();
    let (state_dir, address) = (state.to_str().unwrap(), controller.address.to_string());
    let args = [
        "login",
        "--state-dir",
        state_dir,
        "--controller",
        &address,
        "--as",
        "lab",
    ];
    controller.ctl(&args).refused(
        4,
        &[
            "cannot read the bootstrap token",
            "the token is gone once it was used",
        ],
    );
    fs::write(
        state.join("bootstrap-token"),
        format!("{}\n", controller.token()),
    )
    .unwrap();
    let json = controller.json(&args);
    assert_eq!(
        (json["context"].as_str(), json["role"].as_str()),
        (Some("lab"), Some("admin"))
    );
    assert_eq!(controller.contexts().current.as_deref(), Some("lab"));
}

#[test]
fn a_token_of_another_controller_or_half_a_token_is_refused() {
    let controller = Controller::start();
    let address = controller.address.to_string();
    let (other, _) = Authority::make(Utc::now()).unwrap();
    let token = EnrolmentToken {
        secret: Secret::random(),
        authority: other.fingerprint(),
    };
    controller
        .ctl(&[
            "login",
            "--token",
            &token.reveal(),
            "--controller",
            &address,
        ])
        .refused(
            4,
            &[
                "does not have the authority that the token names",
                "check --controller",
            ],
        );
    controller
        .ctl(&[
            "login",
            "--token",
            &token.reveal()[..40],
            "--controller",
            &address,
        ])
        .refused(2, &["instead of 91", "copy the whole command"]);
    controller
        .ctl(&["login", "--token", &token.reveal()])
        .refused(2, &["--token needs the address of its controller"]);
    assert!(!controller.contexts_file().exists());
}

#[test]
fn a_contexts_file_that_others_can_read_is_refused() {
    let controller = Controller::with_login();
    controller.answer(fleet);
    let path = controller.contexts_file();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    controller.ctl(&["host", "list"]).refused(
        4,
        &[
            "others can read it (mode 644)",
            &format!("next: chmod 600 {}", path.display()),
        ],
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(controller.ok(&["host", "list"]).contains("web-1"));
}

#[test]
fn a_revoked_certificate_has_its_own_words() {
    let controller = Controller::start();
    let alice = credentials(
        &controller.authority,
        &admin(),
        TimeDelta::zero(),
        TimeDelta::days(30),
    );
    controller.log_in_with(&alice);
    controller.revoked.add([alice.certificate().serial.clone()]);
    controller.ctl(&["host", "list"]).refused(
        4,
        &["our certificate has been revoked", "ctl operator invite"],
    );
}

#[test]
fn an_expired_certificate_has_its_own_words() {
    let controller = Controller::start();
    let old = credentials(
        &controller.authority,
        &admin(),
        TimeDelta::days(40),
        TimeDelta::days(30),
    );
    controller.log_in_with(&old);
    controller
        .ctl(&["host", "list"])
        .refused(4, &["our certificate has expired", "ctl operator invite"]);
}

#[test]
fn another_fleet_is_told_from_a_dead_controller() {
    let controller = Controller::start();
    let (strangers, _) = Authority::make(Utc::now()).unwrap();
    let ours = credentials(
        &controller.authority,
        &admin(),
        TimeDelta::zero(),
        TimeDelta::days(30),
    );
    let context =
        |authorities: &str, credentials: &holdfast_chassis::identity::Credentials| Context {
            controller: controller.address.to_string(),
            authorities: authorities.to_owned(),
            certificate: credentials.chain_pem().to_owned(),
            key: credentials.key_pem().to_owned(),
        };
    controller.write_context(context(strangers.certificate_pem(), &ours));
    controller.ctl(&["host", "list"]).refused(
        4,
        &[
            "signed by an authority that we do not trust",
            "ask an admin before you go on",
        ],
    );
    let theirs = credentials(&strangers, &admin(), TimeDelta::zero(), TimeDelta::days(30));
    controller.write_context(context(controller.authority.certificate_pem(), &theirs));
    controller.ctl(&["host", "list"]).refused(
        4,
        &["we are enrolled with another fleet", "ctl operator invite"],
    );
}

#[test]
fn nobody_there_and_somebody_else_there_are_unreachable() {
    let controller = Controller::with_login();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    controller
        .ctl(&["host", "list", "--controller", &free])
        .refused(
            5,
            &[
                &format!("cannot connect to the controller at {free}"),
                "systemctl status holdfast-controller",
            ],
        );
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        let mut hello = [0; 16];
        stream.read_exact(&mut hello).unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    controller
        .ctl(&["host", "list", "--controller", &address])
        .refused(5, &["does not speak TLS", "ctl context list"]);
}

#[test]
fn contexts_are_used_switched_and_removed() {
    let controller = Controller::with_login();
    controller.answer(fleet);
    controller
        .ctl(&["host", "list", "--context", "prd"])
        .refused(3, &["there is no context prd", "did you mean prod?"]);
    let output = controller
        .command(&["host", "list"])
        .env("HOLDFAST_CONTEXT", "prd")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        controller.ok(&["context", "use", "prod"]),
        "context prod is current\n"
    );
    assert_eq!(
        controller.json(&["context", "remove", "prod"])["change"],
        "removed"
    );
    controller
        .ctl(&["host", "list"])
        .refused(4, &["not logged in"]);
}

/// Past 70 % of its life the certificate is replaced before the command is run with it.
#[test]
fn a_certificate_renews_by_itself() {
    let controller = Controller::start();
    controller.answer(fleet);
    let old = credentials(
        &controller.authority,
        &admin(),
        TimeDelta::days(25),
        TimeDelta::days(30),
    );
    controller.log_in_with(&old);
    // A renewal that is refused costs a warning, not the command.
    controller.fail(
        "renew_certificate",
        Status::unavailable("the authority is locked"),
    );
    let said = controller.ctl(&["host", "list"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(
        said.err
            .contains("warning: the certificate of context prod expires in "),
        "{said:#?}"
    );
    assert!(said.err.contains("the authority is locked"), "{said:#?}");
    // An answer for another key is not stored.
    let stranger = NewKey::make().unwrap();
    let (_, chain) = controller
        .authority
        .issue(
            &stranger.request().unwrap(),
            &admin(),
            Validity::starting(Utc::now(), TimeDelta::days(30)),
        )
        .unwrap();
    controller.answer(|answers| {
        answers.failures.clear();
        answers.renewed = Some(chain);
    });
    let said = controller.ctl(&["host", "list"]);
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(said.err.contains("does not belong to the key"), "{said:#?}");
    assert_eq!(
        controller.contexts().contexts["prod"].certificate,
        old.chain_pem()
    );
    // A good answer is stored, and then there is nothing to renew.
    controller.answer(|answers| answers.renewed = None);
    let before = controller.script.requests("renew_certificate").len();
    let said = controller.ctl(&["host", "list"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:#?}");
    let renewed = controller.contexts().contexts["prod"].clone();
    assert_ne!(renewed.certificate, old.chain_pem());
    assert_ne!(renewed.key, old.key_pem());
    assert_eq!(controller.mode(), 0o600);
    controller.ok(&["host", "list"]);
    assert_eq!(
        controller.script.requests("renew_certificate").len(),
        before + 1
    );
}
