//! Tokens: good for once, for their time, for their controller.

use std::time::Duration;

use holdfast_chassis::{
    clock::ManualClock,
    identity::{EnrolmentToken, Identity, Secret},
    tls::{Problem, RotatingIdentity, enrolment_channel},
};
use tonic::Code;

use super::house::{House, Session, enrol_at, now};
use crate::identity::IdentityError;

#[tokio::test]
async fn a_token_makes_a_host_with_the_tokens_name() {
    let house = House::open().await;
    let enrolled = house.host("web-1").await;
    let identity = RotatingIdentity::new(enrolled.credentials);
    assert_eq!(identity.identity(), Identity::Host("web-1".into()));
    assert!(house.fleet.host(&"web-1".parse().unwrap()).is_ok());
    let mut session = Session::open(house.dial(&identity).await).await.unwrap();
    session.beat(1).await.unwrap();
    let line = house.audited("enrol", "from 127.0.0.1").await;
    assert_eq!(line.subject, "host/web-1");
    let line = house.audited("host.enrol", "token until").await;
    assert_eq!(line.actor, "operator/alice");
}

#[tokio::test]
async fn the_command_says_it_all() {
    let house = House::open().await;
    let name = "web-1".parse().unwrap();
    let invitation = house
        .registrar
        .enrol_host(&name, Some("ctl.example:7443"), "operator/alice")
        .await
        .unwrap();
    let secret = invitation.token.reveal();
    assert_eq!(
        invitation.command,
        format!("holdfast-agent join --controller ctl.example:7443 --token {secret}")
    );
    let listed = house.catalog.list_audit(100).await.unwrap();
    assert!(!format!("{listed:?}").contains(&invitation.token.secret.reveal()));
}

#[tokio::test]
async fn a_used_token_says_when_and_from_where() {
    let house = House::open().await;
    let token = house.host_token("web-1").await;
    house.enrol(&token).await.unwrap();
    let status = house.enrol(&token).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("was used at"), "{status}");
    let line = house.refused("enrol.refused", "was used at").await;
    assert_eq!(line.subject, "host/web-1");
    assert!(line.actor.starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn of_two_who_bring_one_token_one_comes_in() {
    let house = House::open().await;
    let token = house.host_token("web-1").await;
    let (one, other) = tokio::join!(house.enrol(&token), house.enrol(&token));
    let refused: Vec<_> = [one, other].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].message().contains("was used at"));
}

#[tokio::test]
async fn an_expired_token_says_when() {
    let clock = ManualClock::at(now());
    let house = House::with(clock.shared(), Duration::from_secs(86_400)).await;
    let token = house.host_token("web-1").await;
    clock.advance(Duration::from_secs(3601));
    let status = house.enrol(&token).await.unwrap_err();
    assert!(status.message().contains("expired at"), "{status}");
    assert!(status.message().contains("ctl host enrol"), "{status}");
    house.refused("enrol.refused", "expired at").await;
}

#[tokio::test]
async fn an_unknown_token_is_refused_and_guessing_is_slowed_down() {
    let house = House::open().await;
    let authority = house.host_token("web-1").await.authority;
    let mut last = None;
    for _ in 0..11 {
        let secret = Secret::random();
        let guess = EnrolmentToken { secret, authority };
        last = Some(house.enrol(&guess).await.unwrap_err());
    }
    let last = last.unwrap();
    assert_eq!(last.code(), Code::ResourceExhausted);
    assert!(last.message().contains("too many wrong"), "{last}");
    house.refused("enrol.refused", "is unknown to this").await;
    house.refused("enrol.refused", "too many wrong").await;
}

#[tokio::test]
async fn a_newer_token_takes_the_place_of_the_older() {
    let house = House::open().await;
    let older = house.host_token("web-1").await;
    let newer = house.host_token("web-1").await;
    let status = house.enrol(&older).await.unwrap_err();
    assert!(status.message().contains("withdrawn"), "{status}");
    house.enrol(&newer).await.unwrap();
}

#[tokio::test]
async fn an_enrolled_host_is_not_enrolled_over() {
    let house = House::open().await;
    house.host("web-1").await;
    let error = house
        .registrar
        .enrol_host(&"web-1".parse().unwrap(), None, "operator/alice")
        .await
        .unwrap_err();
    assert!(matches!(error, IdentityError::AlreadyEnrolled { .. }));
    assert!(
        error.to_string().contains("ctl host remove web-1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_of_another_controller_is_not_shown_to_this_one() {
    let (house, other) = tokio::join!(House::open(), House::open());
    let token = other.host_token("web-1").await;
    let error = enrolment_channel(&house.address, &token).await.unwrap_err();
    assert!(matches!(
        error.problem,
        Problem::NotTheTokensAuthority { .. }
    ));
    house
        .refused("tls.refused", "refused our certificate")
        .await;
    // With this controller's fingerprint forged into it, the secret is still unknown here.
    let authority = house.host_token("web-2").await.authority;
    let forged = EnrolmentToken { authority, ..token };
    let status = enrol_at(&house.address, &forged).await.unwrap_err();
    assert!(status.message().contains("is unknown to this"), "{status}");
}

#[tokio::test]
async fn a_broken_request_does_not_use_the_token_up() {
    let house = House::open().await;
    let token = house.host_token("web-1").await;
    let from = "127.0.0.1:9".parse().unwrap();
    let error = house
        .registrar
        .enrol(from, &token.secret.reveal(), b"not a request")
        .await
        .unwrap_err();
    assert!(matches!(error, IdentityError::Request(_)));
    house.refused("enrol.refused", "PKCS#10").await;
    house.enrol(&token).await.unwrap();
}
