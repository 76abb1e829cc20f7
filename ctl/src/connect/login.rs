//! Logging in: a key made here, a certificate for it from a one-time token.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use holdfast_chassis::{
    identity::{EnrolmentToken, NewKey},
    tls::{accept_answer, enrolment_channel},
};
use holdfast_proto::wire::{EnrolRequest, enrolment_client::EnrolmentClient};

use super::{ConnectError, with_port};
use crate::{client::CallError, context::Context, failure::Failure};

/// The first admin's token, in the controller's state directory.
pub const BOOTSTRAP_TOKEN: &str = "bootstrap-token";

/// The token that the controller left in its state directory for the first login.
///
/// # Errors
/// It is not there (used already, or another machine), or not readable by this user.
pub fn bootstrap_token(state_dir: &Path) -> Result<String, ConnectError> {
    let path: PathBuf = state_dir.join(BOOTSTRAP_TOKEN);
    std::fs::read_to_string(&path).map_err(|cause| ConnectError::Bootstrap { path, cause })
}

/// Trades the token for a certificate.
///
/// # Errors
/// The token is no token, the controller is not the one that made it, or it refuses the token.
pub async fn log_in(address: &str, token: &str, within: Duration) -> Result<Context, Failure> {
    let address = with_port(address);
    let token: EnrolmentToken = token.trim().parse().map_err(ConnectError::Token)?;
    let key = NewKey::make().map_err(ConnectError::Key)?;
    let csr = key.request().map_err(ConnectError::Key)?;
    let too_slow = || ConnectError::TooSlow {
        address: address.clone(),
        within,
    };
    let channel = tokio::time::timeout(within, enrolment_channel(&address, &token))
        .await
        .map_err(|_| too_slow())?
        .map_err(ConnectError::Dial)?;
    let request = EnrolRequest {
        token: token.secret.reveal(),
        csr,
    };
    let answer = tokio::time::timeout(within, EnrolmentClient::new(channel).enrol(request))
        .await
        .map_err(|_| too_slow())?
        .map_err(|status| Failure::Call {
            doing: format!("log in to {address}"),
            cause: CallError::from_status(&status),
        })?
        .into_inner();
    let enrolled = accept_answer(&key, &answer.certificate_chain, &answer.authorities, &token)
        .map_err(|cause| ConnectError::Answer {
            address: address.clone(),
            cause,
        })?;
    Ok(Context {
        controller: address,
        authorities: enrolled.roots.pem().to_owned(),
        certificate: enrolled.credentials.chain_pem().to_owned(),
        key: enrolled.credentials.key_pem().to_owned(),
    })
}
