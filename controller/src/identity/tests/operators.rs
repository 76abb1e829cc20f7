//! Operators: the first admin, invitations, roles, removal.

use std::{fs, os::unix::fs::PermissionsExt};

use holdfast_chassis::{
    identity::{EnrolmentToken, Identity, Role},
    tls::RotatingIdentity,
};

use super::house::{House, peer};
use crate::identity::{IdentityError, Registrar};

fn bootstrap_token(house: &House) -> Option<EnrolmentToken> {
    let path = house.state_dir.path().join("bootstrap-token");
    let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    Some(fs::read_to_string(path).unwrap().parse().unwrap())
}

async fn restart(house: &House) {
    let settings = house.registrar.0.settings.clone();
    let registrar = Registrar::open(settings, house.catalog.clone())
        .await
        .unwrap();
    registrar.leave_bootstrap_token().await.unwrap();
}

async fn invite(house: &House, name: &str, role: Role) -> RotatingIdentity {
    let invitation = house
        .registrar
        .invite_operator(&name.parse().unwrap(), role, None, "operator/admin")
        .await
        .unwrap();
    assert!(invitation.command.starts_with("ctl login --controller "));
    RotatingIdentity::new(house.enrol(&invitation.token).await.unwrap().credentials)
}

#[tokio::test]
async fn the_first_admin_comes_by_the_file_and_then_it_is_gone() {
    let house = House::open().await;
    let first = bootstrap_token(&house).unwrap();
    restart(&house).await;
    let second = bootstrap_token(&house).unwrap();
    assert_ne!(first, second);
    let status = house.enrol(&first).await.unwrap_err();
    assert!(status.message().contains("withdrawn"), "{status}");

    let admin = RotatingIdentity::new(house.enrol(&second).await.unwrap().credentials);
    let identity = Identity::Operator {
        name: "admin".into(),
        role: Role::Admin,
    };
    assert_eq!(admin.identity(), identity);
    assert!(bootstrap_token(&house).is_none());
    restart(&house).await;
    assert!(bootstrap_token(&house).is_none());
    house.audited("bootstrap.token", "bootstrap-token").await;
}

#[tokio::test]
async fn the_controllers_machine_can_always_make_an_admin() {
    let house = House::open().await;
    let name = "carol".parse().unwrap();
    let invitation = house.registrar.invite_admin(&name).await.unwrap();
    house.enrol(&invitation.token).await.unwrap();
    let operators = house.registrar.operators().await.unwrap();
    assert_eq!(operators.len(), 1);
    assert_eq!(operators[0].role, Role::Admin);
    let line = house.audited("operator.invite", "role admin").await;
    assert_eq!(line.actor, "controller");
}

#[tokio::test]
async fn a_role_comes_from_the_token_and_changes_only_by_removal() {
    let house = House::open().await;
    invite(&house, "admin", Role::Admin).await;
    let alice = invite(&house, "alice", Role::Viewer).await;
    assert_eq!(
        alice.identity(),
        Identity::Operator {
            name: "alice".into(),
            role: Role::Viewer
        }
    );
    let name = "alice".parse().unwrap();
    let error = house
        .registrar
        .invite_operator(&name, Role::Admin, None, "operator/admin")
        .await
        .unwrap_err();
    assert!(matches!(error, IdentityError::AnotherRole { .. }));

    // The same operator on a second machine; then both go at once.
    let second = invite(&house, "alice", Role::Viewer).await;
    let removal = house
        .registrar
        .remove_operator(&name, "operator/admin")
        .await
        .unwrap();
    assert_eq!(removal.revoked_certificates, 2);
    for identity in [alice, second] {
        assert!(house.registrar.admit(&peer(&identity)).is_err());
    }
    invite(&house, "alice", Role::Admin).await;
}

#[tokio::test]
async fn the_last_admin_stays() {
    let house = House::open().await;
    invite(&house, "admin", Role::Admin).await;
    let name = "admin".parse().unwrap();
    let error = house
        .registrar
        .remove_operator(&name, "operator/admin")
        .await
        .unwrap_err();
    assert!(matches!(error, IdentityError::LastAdmin(_)));
    invite(&house, "bob", Role::Admin).await;
    house
        .registrar
        .remove_operator(&name, "operator/bob")
        .await
        .unwrap();
}

#[tokio::test]
async fn an_agents_certificate_used_as_an_operators_is_audited() {
    let house = House::open().await;
    let agent = RotatingIdentity::new(house.host("web-1").await.credentials);
    let peer = peer(&agent);
    let wrong = peer.operator(Role::Viewer).unwrap_err();
    let status = house
        .registrar
        .refuse(&peer, "holdfast.v1.Operator/GetStatus", wrong);
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    let line = house.refused("rpc.refused", "is not an operator").await;
    assert_eq!(line.actor, "host/web-1");
    assert_eq!(line.subject, "holdfast.v1.Operator/GetStatus");
}
