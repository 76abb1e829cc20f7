//! A private key with its certificate chain, and the one file that holds both.
//!
//! One file, so that a crash in the middle of a renewal never leaves a key beside the
//! certificate of another.

use std::{fmt, path::Path};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{
    Certificate, CertificateError, NewKey, PrivateFileError,
    private_file::{read_private, write_private},
};
use crate::tls::provider;

/// What a process needs to prove who it is.
pub struct Credentials {
    key_pem: String,
    chain_pem: String,
    certificate: Certificate,
    certified: CertifiedKey,
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("the key and certificate could not be read")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("there is no certificate beside the key")]
    NoCertificate,
    #[error("the certificate does not belong to the key, or the key is of a kind not supported")]
    Mismatch(#[source] rustls::Error),
    #[error("the certificate is not usable")]
    Certificate(#[from] CertificateError),
    #[error("the key and certificate on disk are not usable")]
    File(#[from] PrivateFileError),
}

impl Credentials {
    /// The answer to a request made with `key`.
    ///
    /// # Errors
    /// When the chain is not PEM, is empty, or belongs to another key.
    pub fn from_answer(key: &NewKey, chain_pem: &str) -> Result<Self, CredentialsError> {
        Self::from_pem(key.pair().serialize_pem(), chain_pem.to_owned())
    }

    /// # Errors
    /// When either is not PEM, or when they do not belong together.
    pub fn from_pem(key_pem: String, chain_pem: String) -> Result<Self, CredentialsError> {
        let key =
            PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(CredentialsError::Pem)?;
        let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(CredentialsError::Pem)?;
        let leaf = chain.first().ok_or(CredentialsError::NoCertificate)?;
        let certificate = Certificate::from_der(leaf)?;
        let certified = CertifiedKey::from_der(chain, key, provider().as_ref())
            .map_err(CredentialsError::Mismatch)?;
        Ok(Self {
            key_pem,
            chain_pem,
            certificate,
            certified,
        })
    }

    /// Reads a file written by [`Credentials::store`].
    ///
    /// # Errors
    /// When the file is missing, open to others, or damaged.
    pub fn load(path: &Path) -> Result<Self, CredentialsError> {
        let text = read_private(path)?;
        let (key, chain) = match text.find("-----BEGIN CERTIFICATE-----") {
            Some(at) => text.split_at(at),
            None => return Err(CredentialsError::NoCertificate),
        };
        Self::from_pem(key.to_owned(), chain.to_owned())
    }

    /// Key first, then the chain; mode 0600; replaces what stood there at once.
    ///
    /// # Errors
    /// When the folder is missing, or is not writable, or is full.
    pub fn store(&self, path: &Path) -> Result<(), PrivateFileError> {
        write_private(
            path,
            format!("{}{}", self.key_pem, self.chain_pem).as_bytes(),
        )
    }

    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Leaf first.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// For files that hold more than credentials, such as the contexts of ctl.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    pub(crate) fn into_certified(self) -> (Certificate, CertifiedKey) {
        (self.certificate, self.certified)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
