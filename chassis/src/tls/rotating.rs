//! The identity of this process, replaceable while connections live.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::sync::watch;

use crate::identity::{Certificate, Credentials, Identity};

/// Connections made after [`RotatingIdentity::replace`] show the new certificate; those made
/// before go on undisturbed. Cheap to clone; all clones are the same identity.
#[derive(Debug, Clone)]
pub struct RotatingIdentity {
    current: Arc<ArcSwap<Current>>,
    changed: Arc<watch::Sender<String>>,
}

#[derive(Debug)]
struct Current {
    certificate: Certificate,
    certified: Arc<CertifiedKey>,
}

impl RotatingIdentity {
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        let current = Current::from(credentials);
        let (changed, _) = watch::channel(current.certificate.serial.clone());
        Self {
            current: Arc::new(ArcSwap::from_pointee(current)),
            changed: Arc::new(changed),
        }
    }

    pub fn replace(&self, credentials: Credentials) {
        let current = Current::from(credentials);
        let serial = current.certificate.serial.clone();
        self.current.store(Arc::new(current));
        self.changed.send_replace(serial);
    }

    /// What the certificate that new connections show says.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        self.current.load().certificate.clone()
    }

    #[must_use]
    pub fn identity(&self) -> Identity {
        self.current.load().certificate.identity.clone()
    }

    /// The serial number in use; changes with each replacement.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<String> {
        self.changed.subscribe()
    }
}

impl From<Credentials> for Current {
    fn from(credentials: Credentials) -> Self {
        let (certificate, certified) = credentials.into_certified();
        Self {
            certificate,
            certified: Arc::new(certified),
        }
    }
}

impl ResolvesServerCert for RotatingIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load().certified.clone())
    }
}

impl ResolvesClientCert for RotatingIdentity {
    /// Shown whatever authorities the server hints at: a server of another fleet shall refuse it
    /// by name instead of meeting somebody anonymous.
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
