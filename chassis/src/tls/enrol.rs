//! The first connection, before there is a certificate: the token's fingerprint stands in for
//! the trust that enrolment is about to give.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tonic::transport::Channel;

use super::{ConnectError, Problem, Roots, RootsError, client, provider};
use crate::identity::{
    CONTROLLER_NAME, Credentials, CredentialsError, EnrolmentToken, Fingerprint, NewKey,
};

/// What enrolment leaves with the one who enrolled.
#[derive(Debug)]
pub struct Enrolled {
    pub credentials: Credentials,
    pub roots: Roots,
}

/// Why the answer to an enrolment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("the controller's answer holds no usable certificate")]
    Credentials(#[from] CredentialsError),
    #[error("the controller's answer holds no usable list of authorities")]
    Roots(#[from] RootsError),
    #[error("the controller's answer does not list the authority that the token names")]
    Authority,
}

/// The presented chain does not hold the certificate that was expected.
#[derive(Debug, thiserror::Error)]
#[error("the chain does not hold the authority {expected}")]
pub(super) struct AnotherAuthority {
    pub expected: Fingerprint,
}

/// Connects to a controller without a certificate, trusting the token's authority and no other.
///
/// # Errors
/// When nobody answers there, or when it is not the controller that made the token.
pub async fn enrolment_channel(
    address: &str,
    token: &EnrolmentToken,
) -> Result<Channel, ConnectError> {
    let verifier = Arc::new(FingerprintVerifier {
        expected: token.authority,
    });
    let config = client::config(verifier)
        .map_err(|error| {
            ConnectError::new(address, CONTROLLER_NAME, Problem::Other(error.to_string()))
        })?
        .with_no_client_auth();
    client::channel(address, CONTROLLER_NAME, config).await
}

/// Puts the key that was made for the request and the answer to it together.
///
/// # Errors
/// When the certificate is not for this key, or when the authorities are not those of the token.
pub fn accept_answer(
    key: &NewKey,
    certificate_chain: &str,
    authorities: &str,
    token: &EnrolmentToken,
) -> Result<Enrolled, EnrolError> {
    let credentials = Credentials::from_answer(key, certificate_chain)?;
    let roots = Roots::from_pem(authorities)?;
    if !roots.holds(token.authority) {
        return Err(EnrolError::Authority);
    }
    Ok(Enrolled { credentials, roots })
}

/// The chain must hold the authority with the expected fingerprint; then it is verified against
/// that one in the ordinary way, name and times included.
#[derive(Debug)]
struct FingerprintVerifier {
    expected: Fingerprint,
}

impl FingerprintVerifier {
    fn authority<'a>(&self, chain: &'a [CertificateDer<'a>]) -> Result<CertificateDer<'a>, Error> {
        let expected = self.expected;
        chain
            .iter()
            .find(|certificate| Fingerprint::of(certificate) == expected)
            .cloned()
            .ok_or_else(|| {
                let cause = Arc::new(AnotherAuthority { expected });
                CertificateError::Other(OtherError(cause)).into()
            })
    }
}

impl ServerCertVerifier for FingerprintVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut store = RootCertStore::empty();
        store.add(self.authority(intermediates)?.into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
