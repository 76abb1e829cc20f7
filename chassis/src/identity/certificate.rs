//! What a certificate says: whose it is, its serial number, how long it holds.

use chrono::{DateTime, Utc};
use x509_parser::{extensions::GeneralName, prelude::FromDer, prelude::X509Certificate};

use super::{Identity, IdentityError};

/// The parts of a certificate that this program decides by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub identity: Identity,
    /// Lower-case hex without leading zero bytes.
    pub serial: String,
    pub not_before: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate is not readable as X.509")]
    Unreadable,
    #[error("the certificate carries {0} URI names instead of one")]
    Names(usize),
    #[error("the certificate names nobody of this fleet")]
    Identity(#[from] IdentityError),
}

impl Certificate {
    /// Reads it without verifying any signature.
    ///
    /// # Errors
    /// When it is no certificate, or not one that an authority of ours would have issued.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (rest, x509) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Unreadable)?;
        if !rest.is_empty() {
            return Err(CertificateError::Unreadable);
        }
        Ok(Self {
            identity: identity_of(&x509)?,
            serial: serial_text(x509.raw_serial()),
            not_before: time_of(x509.validity().not_before)?,
            expires_at: time_of(x509.validity().not_after)?,
        })
    }

    /// When to ask for the next one.
    #[must_use]
    pub fn renew_at(&self) -> DateTime<Utc> {
        renew_at(self.not_before, self.expires_at)
    }
}

/// 70 % of the way from the first to the last moment of a certificate.
#[must_use]
pub fn renew_at(not_before: DateTime<Utc>, expires_at: DateTime<Utc>) -> DateTime<Utc> {
    let life = expires_at - not_before;
    not_before + life / 10 * 7
}

/// The one form in which serial numbers are compared and stored.
pub(super) fn serial_text(bytes: &[u8]) -> String {
    let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
    hex::encode(&bytes[start..])
}

fn identity_of(x509: &X509Certificate<'_>) -> Result<Identity, CertificateError> {
    let names = x509
        .subject_alternative_name()
        .map_err(|_| CertificateError::Unreadable)?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    match uris.as_slice() {
        [uri] => Ok(Identity::from_uri(uri)?),
        _ => Err(CertificateError::Names(uris.len())),
    }
}

fn time_of(time: x509_parser::time::ASN1Time) -> Result<DateTime<Utc>, CertificateError> {
    DateTime::from_timestamp(time.timestamp(), 0).ok_or(CertificateError::Unreadable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn renewal_is_due_at_seventy_percent() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let end = start + chrono::TimeDelta::days(30);
        assert_eq!(renew_at(start, end), start + chrono::TimeDelta::days(21));
    }

    #[test]
    fn serial_numbers_have_one_form() {
        assert_eq!(serial_text(&[0, 0xab, 1]), "ab01");
        assert_eq!(serial_text(&[0xab, 1]), "ab01");
    }

    #[test]
    fn noise_is_no_certificate() {
        assert!(matches!(
            Certificate::from_der(b"noise"),
            Err(CertificateError::Unreadable)
        ));
    }

    proptest! {
        #[test]
        fn renewal_lies_within_the_life(from in 0i64..4_000_000_000, life in 1i64..400_000_000) {
            let start = DateTime::from_timestamp(from, 0).unwrap();
            let end = start + chrono::TimeDelta::seconds(life);
            let at = renew_at(start, end);
            prop_assert!(start < at && at < end);
        }
    }
}
