//! Renewal without a dropped session; removal that ends sessions at once.

use std::time::Duration;

use holdfast_chassis::{
    clock::{ManualClock, SystemClock},
    identity::{Authority, CONTROLLER_NAME, Credentials, Identity, NewKey, Validity},
    tls::{Problem, RotatingIdentity, client_channel, enrolment_channel},
};
use holdfast_proto::wire::{self, agent_link_client::AgentLinkClient};
use std::sync::Arc;
use tonic::Code;

use super::house::{House, Session, now, peer};
use crate::identity::NotAdmitted;

async fn renew(house: &House, identity: &RotatingIdentity) -> Result<(), tonic::Status> {
    let key = NewKey::make().unwrap();
    let csr = key.request().unwrap();
    let mut client = AgentLinkClient::new(house.dial(identity).await);
    let answer = client.renew(wire::RenewRequest { csr }).await?.into_inner();
    identity.replace(Credentials::from_answer(&key, &answer.certificate_chain).unwrap());
    Ok(())
}

#[tokio::test]
async fn a_session_outlives_the_certificates_of_both_ends() {
    let house = House::with(Arc::new(SystemClock), Duration::from_secs(6)).await;
    let mut controllers = house.registrar.0.server.changes();
    let identity = RotatingIdentity::new(house.host("web-1").await.credentials);
    let first = identity.certificate();
    let controllers_first = house.registrar.0.server.certificate();
    let mut session = Session::open(house.dial(&identity).await).await.unwrap();
    // The host renews whenever the controller does. The second time is past the end of the first
    // certificates of both.
    for beats in 1..=2 {
        let renewed = tokio::time::timeout(Duration::from_secs(20), controllers.changed());
        renewed
            .await
            .expect("the controller did not renew")
            .unwrap();
        session.beat(beats).await.unwrap();
        renew(&house, &identity).await.unwrap();
    }
    assert!(now() > first.expires_at.max(controllers_first.expires_at));
    assert_ne!(first.serial, identity.certificate().serial);
    let controllers = house.registrar.0.server.certificate();
    assert_ne!(controllers_first.serial, controllers.serial);
    session.beat(3).await.unwrap();
    house.audited("certificate.renew", "serial").await;
}

#[tokio::test]
async fn a_session_whose_host_does_not_renew_ends_with_its_certificate() {
    let house = House::with(Arc::new(SystemClock), Duration::from_secs(2)).await;
    let identity = RotatingIdentity::new(house.host("web-1").await.credentials);
    let mut session = Session::open(house.dial(&identity).await).await.unwrap();
    session.beat(1).await.unwrap();
    let first_end = identity.certificate().expires_at;
    let status = session.end().await;
    assert!(status.message().contains("expired at"), "{status}");
    // In TLS the last second belongs to the certificate.
    let roots = house.registrar.roots();
    let deadline = first_end + chrono::TimeDelta::seconds(5);
    let error = loop {
        match client_channel(&house.address, CONTROLLER_NAME, &identity, roots).await {
            Ok(_) => assert!(now() < deadline, "an expired certificate came in"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.problem, Problem::OurCertificateExpired);
    house.refused("tls.refused", "has expired").await;
}

#[tokio::test]
async fn a_certificate_of_a_foreign_authority_is_refused_and_audited() {
    let house = House::open().await;
    house.host("web-1").await;
    let (foreign, _) = Authority::make(now()).unwrap();
    let key = NewKey::make().unwrap();
    let name = Identity::Host("web-1".into());
    let validity = Validity::starting(now(), chrono::TimeDelta::days(1));
    let issued = foreign.issue(&key.request().unwrap(), &name, validity);
    let (certificate, chain) = issued.unwrap();
    let identity = RotatingIdentity::new(Credentials::from_answer(&key, &chain).unwrap());
    let roots = house.registrar.roots();
    let error = client_channel(&house.address, CONTROLLER_NAME, &identity, roots)
        .await
        .unwrap_err();
    assert_eq!(error.problem, Problem::OurAuthorityUnknown);
    let line = house
        .refused("tls.refused", "signed by an authority that is not ours")
        .await;
    // Who it says it is, is its claim and no more.
    assert_eq!(line.subject, "host/web-1");
    assert!(line.actor.starts_with("127.0.0.1:"), "{}", line.actor);
    assert!(line.detail.contains(&certificate.serial), "{}", line.detail);
}

#[tokio::test]
async fn removal_ends_the_session_and_keeps_the_host_out() {
    let house = House::open().await;
    let identity = RotatingIdentity::new(house.host("web-1").await.credentials);
    let channel = house.dial(&identity).await;
    let mut session = Session::open(channel.clone()).await.unwrap();
    session.beat(1).await.unwrap();

    let name = "web-1".parse().unwrap();
    let removal = house.registrar.remove_host(&name, "operator/alice").await;
    assert_eq!(removal.unwrap().revoked_certificates, 1);
    let status = session.end().await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(
        status.message().contains("host/web-1 was removed"),
        "{status}"
    );

    // On the connection that still stands …
    let csr = NewKey::make().unwrap().request().unwrap();
    let status = AgentLinkClient::new(channel)
        .renew(wire::RenewRequest { csr })
        .await
        .unwrap_err();
    assert!(status.message().contains("has been revoked"), "{status}");
    house.refused("rpc.refused", "has been revoked").await;
    // … and on a new one.
    let roots = house.registrar.roots();
    let error = client_channel(&house.address, CONTROLLER_NAME, &identity, roots)
        .await
        .unwrap_err();
    assert_eq!(error.problem, Problem::OurCertificateRevoked);
    let line = house.refused("tls.refused", "revoked").await;
    assert_eq!(line.subject, "host/web-1");
    let line = house.audited("host.remove", "1 certificates revoked").await;
    assert_eq!(line.actor, "operator/alice");

    // Enrolled anew, it comes in again; the old certificate does not.
    let again = RotatingIdentity::new(house.host("web-1").await.credentials);
    Session::open(house.dial(&again).await).await.unwrap();
    assert!(matches!(
        house.registrar.admit(&peer(&identity)),
        Err(NotAdmitted::Revoked { .. })
    ));
}

#[tokio::test]
async fn removal_withdraws_the_tokens_too() {
    let house = House::open().await;
    let token = house.host_token("web-1").await;
    let name = "web-1".parse().unwrap();
    let removal = house.registrar.remove_host(&name, "operator/alice").await;
    assert_eq!(removal.unwrap().withdrawn_tokens, 1);
    let status = house.enrol(&token).await.unwrap_err();
    assert!(status.message().contains("withdrawn"), "{status}");
    let error = house.registrar.remove_host(&name, "operator/alice").await;
    assert!(error.unwrap_err().to_string().contains("is not enrolled"));
}

#[tokio::test]
async fn what_another_controller_revokes_is_learned() {
    let house = House::open().await;
    let identity = RotatingIdentity::new(house.host("web-1").await.credentials);
    let mut session = Session::open(house.dial(&identity).await).await.unwrap();
    session.beat(1).await.unwrap();
    sqlx::query("update certificate set revoked_at = now(), revoked_by = 'another'")
        .execute(&house.catalog.pool)
        .await
        .unwrap();
    let status = session.end().await;
    assert!(status.message().contains("has been revoked"), "{status}");
}

#[tokio::test]
async fn whoever_shows_no_certificate_may_only_enrol() {
    let house = House::open().await;
    let token = house.host_token("web-1").await;
    let channel = enrolment_channel(&house.address, &token).await.unwrap();
    let status = AgentLinkClient::new(channel)
        .renew(wire::RenewRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("none was shown"), "{status}");
    let line = house.refused("rpc.refused", "none was shown").await;
    assert_eq!(line.subject, "holdfast.v1.AgentLink/Renew");
}

#[tokio::test]
async fn certificates_of_a_lost_catalog_are_strangers() {
    let house = House::open().await;
    let identity = RotatingIdentity::new(house.host("web-1").await.credentials);
    sqlx::query("delete from certificate")
        .execute(&house.catalog.pool)
        .await
        .unwrap();
    house.registrar.refresh().await.unwrap();
    let error = house.registrar.admit(&peer(&identity)).unwrap_err();
    assert!(matches!(error, NotAdmitted::NotEnrolled { .. }));
}

#[tokio::test]
async fn a_certificate_far_past_its_time_is_called_expired() {
    let clock = ManualClock::at(now());
    let house = House::with(clock.shared(), Duration::from_secs(86_400)).await;
    let identity = RotatingIdentity::new(house.host("web-1").await.credentials);
    clock.advance(Duration::from_secs(40 * 86_400));
    house.registrar.refresh().await.unwrap();
    let error = house.registrar.admit(&peer(&identity)).unwrap_err();
    assert!(matches!(error, NotAdmitted::Expired { .. }));
}
