//! The judgement of a client's certificate: signed by our authority, in its time, not revoked.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use crate::identity::Certificate;

/// Serial numbers of revoked certificates, replaceable while the server runs. Cheap to clone;
/// all clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct Revoked(Arc<ArcSwap<HashSet<String>>>);

impl Revoked {
    pub fn replace(&self, serials: HashSet<String>) {
        self.0.store(Arc::new(serials));
    }

    pub fn add(&self, serials: impl IntoIterator<Item = String> + Clone) {
        self.0.rcu(|old| {
            let mut all = HashSet::clone(old);
            all.extend(serials.clone());
            all
        });
    }

    #[must_use]
    pub fn contains(&self, serial: &str) -> bool {
        self.0.load().contains(serial)
    }
}

/// One connection's verifier: it keeps what the certificate said, for the words of a refusal.
#[derive(Debug)]
pub(super) struct NotingVerifier {
    pub signatures: Arc<dyn ClientCertVerifier>,
    pub revoked: Revoked,
    pub noted: Arc<OnceLock<Certificate>>,
}

impl ClientCertVerifier for NotingVerifier {
    fn client_auth_mandatory(&self) -> bool {
        // Enrolment has no certificate yet; every other service refuses such a caller by name.
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signatures.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = Certificate::from_der(end_entity).ok();
        if let Some(certificate) = &certificate {
            // Set once: a handshake verifies one certificate.
            let _ = self.noted.set(certificate.clone());
        }
        let verified = self
            .signatures
            .verify_client_cert(end_entity, intermediates, now)?;
        match certificate {
            Some(certificate) if self.revoked.contains(&certificate.serial) => {
                Err(rustls::CertificateError::Revoked.into())
            }
            Some(_) => Ok(verified),
            None => Err(rustls::CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}
