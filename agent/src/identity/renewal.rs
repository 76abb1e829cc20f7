//! A new key and certificate at 70 % of the old one's life, without a dropped session.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_chassis::{
    clock::SharedClock,
    identity::{
        CONTROLLER_NAME, Certificate, Credentials, CredentialsError, KeyError, NewKey,
        PrivateFileError,
    },
    retry::Policy,
    tls::{ConnectError, client_channel},
};
use holdfast_proto::wire::{RenewRequest, agent_link_client::AgentLinkClient};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Enrolment;

/// The controller's answer to one call.
const ANSWER: Duration = Duration::from_secs(30);
/// A clock that was set, or a machine that slept, is noticed within this.
const LOOK: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the controller did not renew the certificate: {}", .0.message())]
    Refused(#[source] Box<tonic::Status>),
    #[error("the controller did not answer within {} s", ANSWER.as_secs())]
    Silent,
    #[error("no key could be made for the new certificate")]
    Key(#[from] KeyError),
    #[error("the new certificate is not usable")]
    Answer(#[from] CredentialsError),
    #[error("the new certificate is in use, but it could not be stored for the next start")]
    Store(#[from] PrivateFileError),
    #[error("there is no controller to ask")]
    NoController,
}

/// Renews whenever it is due, until `shutdown`. `controllers` (`host:port`) are asked in turn.
pub async fn keep_renewed(
    enrolment: Enrolment,
    controllers: Vec<String>,
    clock: SharedClock,
    shutdown: CancellationToken,
) {
    // Nothing here has to be ended in order: what is on disk is always whole.
    let _ = shutdown
        .run_until_cancelled(renew_for_ever(&enrolment, &controllers, &clock))
        .await;
}

async fn renew_for_ever(enrolment: &Enrolment, controllers: &[String], clock: &SharedClock) {
    loop {
        let certificate = enrolment.identity.certificate();
        wait_until(certificate.renew_at(), clock).await;
        let mut waits = patience(&certificate).backoff();
        while let Err(error) = renew_somewhere(enrolment, controllers).await {
            let wait = waits.next().unwrap_or(LOOK);
            report(&error, &enrolment.identity.certificate(), clock.now(), wait);
            sleep(wait).await;
        }
    }
}

async fn wait_until(at: DateTime<Utc>, clock: &SharedClock) {
    while let Ok(left) = (at - clock.now()).to_std() {
        if left.is_zero() {
            return;
        }
        sleep(left.min(LOOK)).await;
    }
}

/// The last 30 % of a certificate's life have room for at least ten attempts, however short it is.
fn patience(certificate: &Certificate) -> Policy {
    let life = certificate.expires_at - certificate.not_before;
    let life = life.to_std().unwrap_or_default();
    let longest = (life / 64).clamp(Duration::from_millis(100), Duration::from_secs(600));
    Policy::forever(longest.min(Duration::from_secs(1)), longest)
}

async fn renew_somewhere(
    enrolment: &Enrolment,
    controllers: &[String],
) -> Result<(), RenewalError> {
    let mut last = RenewalError::NoController;
    for controller in controllers {
        match renew(enrolment, controller).await {
            Ok(()) => return Ok(()),
            // Another controller could do no more about a full disk here.
            Err(error @ RenewalError::Store(_)) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Over a connection of its own: it shows the certificate of now, and leaves the session alone.
async fn renew(enrolment: &Enrolment, controller: &str) -> Result<(), RenewalError> {
    let Enrolment {
        identity, roots, ..
    } = enrolment;
    let key = NewKey::make()?;
    let csr = key.request()?;
    let channel = client_channel(controller, CONTROLLER_NAME, identity, roots).await?;
    let mut client = AgentLinkClient::new(channel);
    let answer = timeout(ANSWER, client.renew(RenewRequest { csr }))
        .await
        .map_err(|_| RenewalError::Silent)?
        .map_err(|status| RenewalError::Refused(Box::new(status)))?
        .into_inner();
    let credentials = Credentials::from_answer(&key, &answer.certificate_chain)?;
    let expires_at = credentials.certificate().expires_at;
    enrolment.replace(credentials)?;
    tracing::info!(%expires_at, "renewed the certificate");
    Ok(())
}

fn report(error: &RenewalError, certificate: &Certificate, now: DateTime<Utc>, wait: Duration) {
    let error = error as &dyn std::error::Error;
    let expires_at = certificate.expires_at;
    if expires_at <= now {
        tracing::error!(
            error,
            %expires_at,
            "the certificate has expired and could not be renewed: make a token with \
             `ctl host enrol` and join again with --force"
        );
    } else {
        tracing::warn!(
            error,
            %expires_at,
            "the certificate could not be renewed; trying again in {wait:.1?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use holdfast_chassis::identity::Identity;

    use super::*;

    #[test]
    fn there_is_time_for_ten_attempts() {
        for seconds in [10, 60, 3600, 30 * 86_400] {
            let from = DateTime::UNIX_EPOCH;
            let certificate = Certificate {
                identity: Identity::Controller,
                serial: String::new(),
                not_before: from,
                expires_at: from + TimeDelta::seconds(seconds),
            };
            let left = certificate.expires_at - certificate.renew_at();
            // Jitter adds up to the same again.
            let waits: Duration = patience(&certificate).backoff().take(9).sum();
            assert!(
                waits * 2 <= left.to_std().unwrap() * 2,
                "{seconds}: {waits:?}"
            );
        }
    }
}
