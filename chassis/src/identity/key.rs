//! A new private key and the request for its certificate.

use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};

/// An ECDSA P-256 key made on this machine; it never leaves it.
pub struct NewKey {
    pair: KeyPair,
}

/// Why no key or request could be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot make a private key")]
    Make(#[source] rcgen::Error),
    #[error("cannot make a certificate request")]
    Request(#[source] rcgen::Error),
}

impl NewKey {
    /// # Errors
    /// When the system gives no random bytes.
    pub fn make() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(KeyError::Make)?;
        Ok(Self { pair })
    }

    /// PKCS#10, DER. It proves possession of the key and names nobody: the name comes from the
    /// token or from the certificate that is renewed.
    ///
    /// # Errors
    /// When signing fails.
    pub fn request(&self) -> Result<Vec<u8>, KeyError> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, "holdfast");
        let request = parameters
            .serialize_request(&self.pair)
            .map_err(KeyError::Request)?;
        Ok(request.der().to_vec())
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewKey(…)")
    }
}
