//! The operator's certificate renews by itself when 70 % of its life are over.

use std::{path::Path, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_chassis::identity::{Certificate, Credentials, NewKey};
use holdfast_proto::wire::{RenewCertificateRequest, operator_client::OperatorClient};
use tonic::transport::Channel;

use super::ConnectError;
use crate::{
    client::{CallError, CallProblem},
    context::{Context, ContextError, Contexts},
};

/// A command is not kept waiting longer than this for a renewal.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no new certificate; the old one still holds.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    #[error("the controller did not renew it")]
    Call(#[source] CallError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Context(#[from] ContextError),
}

/// Whether it is time.
#[must_use]
pub fn is_due(certificate: &Certificate, now: DateTime<Utc>) -> bool {
    now >= certificate.renew_at() && now < certificate.expires_at
}

/// Asks for a certificate on a new key and puts both into the contexts file.
///
/// # Errors
/// The controller does not answer in time or refuses, or the file cannot be written.
pub async fn renew(
    channel: Channel,
    path: &Path,
    name: &str,
    held: &Context,
) -> Result<(), RenewError> {
    let key = NewKey::make().map_err(ConnectError::Key)?;
    let csr = key.request().map_err(ConnectError::Key)?;
    let mut client = OperatorClient::new(channel);
    let answer = tokio::time::timeout(
        PATIENCE,
        client.renew_certificate(RenewCertificateRequest { csr }),
    )
    .await
    .map_err(|_| RenewError::Call(CallError::of(CallProblem::TimedOut(PATIENCE))))?
    .map_err(|status| RenewError::Call(CallError::from_status(&status)))?
    .into_inner();
    let renewed =
        Credentials::from_answer(&key, &answer.certificate_chain).map_err(ConnectError::Renewed)?;
    store(path, name, held, &renewed)?;
    Ok(())
}

/// Another `ctl` may have changed the file meanwhile: only what we held is replaced.
fn store(
    path: &Path,
    name: &str,
    held: &Context,
    renewed: &Credentials,
) -> Result<(), ContextError> {
    let mut contexts = Contexts::load(path)?;
    let Some(context) = contexts
        .contexts
        .get_mut(name)
        .filter(|context| context.certificate == held.certificate)
    else {
        return Ok(());
    };
    context.certificate = renewed.chain_pem().to_owned();
    context.key = renewed.key_pem().to_owned();
    contexts.save(path)
}

#[cfg(test)]
mod tests {
    use holdfast_chassis::identity::{Certificate, Identity, Role};

    use super::is_due;
    use crate::output::testing::at;

    #[test]
    fn due_at_seventy_percent_and_not_after_the_end() {
        let certificate = Certificate {
            identity: Identity::Operator {
                name: "alice".to_owned(),
                role: Role::Admin,
            },
            serial: "01".to_owned(),
            not_before: at("2026-11-01T00:00:00Z"),
            expires_at: at("2026-11-11T00:00:00Z"),
        };
        assert!(!is_due(&certificate, at("2026-11-07T23:59:59Z")));
        assert!(is_due(&certificate, at("2026-11-08T00:00:00Z")));
        assert!(!is_due(&certificate, at("2026-11-11T00:00:00Z")));
    }
}
