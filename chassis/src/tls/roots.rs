//! The authorities that a process trusts.

use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::identity::Fingerprint;

/// Cheap to clone.
#[derive(Clone)]
pub struct Roots {
    store: Arc<RootCertStore>,
    fingerprints: Arc<[Fingerprint]>,
    pem: Arc<str>,
}

/// Why a list of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("the list of authorities is not PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("the list of authorities is empty")]
    Empty,
    #[error("an authority's certificate is not usable")]
    Certificate(#[source] rustls::Error),
}

impl Roots {
    /// # Errors
    /// When it holds no certificate, or one that cannot be read.
    pub fn from_pem(pem: &str) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        let mut fingerprints = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(RootsError::Pem)?;
            fingerprints.push(Fingerprint::of(&certificate));
            store.add(certificate).map_err(RootsError::Certificate)?;
        }
        if store.is_empty() {
            return Err(RootsError::Empty);
        }
        Ok(Self {
            store: Arc::new(store),
            fingerprints: fingerprints.into(),
            pem: pem.into(),
        })
    }

    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    #[must_use]
    pub fn holds(&self, fingerprint: Fingerprint) -> bool {
        self.fingerprints.contains(&fingerprint)
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        self.store.clone()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Roots").field(&self.fingerprints).finish()
    }
}
