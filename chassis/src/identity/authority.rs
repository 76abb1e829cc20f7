//! The authority's own work: signing. It decides nothing; who may have which name is the
//! controller's business.

use std::{fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, SigningKey as _,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject};

use super::{Certificate, CertificateError, Fingerprint, Identity};

const YEARS: i64 = 10;

/// A private key that certificates of the fleet are signed with.
pub struct Authority {
    certificate_pem: String,
    fingerprint: Fingerprint,
    expires_at: DateTime<Utc>,
    issuer: Issuer<'static, KeyPair>,
}

/// The first and last moment of a certificate, on whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// Why the authority cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot make a certificate authority")]
    Make(#[source] rcgen::Error),
    #[error("the authority's certificate is not readable")]
    Certificate(#[source] rustls::pki_types::pem::Error),
    #[error("the authority's certificate is not readable as X.509")]
    Unreadable,
    #[error("the authority's key is not readable")]
    Key(#[source] rcgen::Error),
    #[error("the authority's key does not belong to its certificate")]
    Mismatch,
    #[error("the certificate request is not a signed PKCS#10 request")]
    Request(#[source] rcgen::Error),
    #[error("cannot sign the certificate of {identity}")]
    Sign {
        identity: Identity,
        source: rcgen::Error,
    },
    #[error("cannot sign a statement")]
    Statement(#[source] rcgen::Error),
    #[error("the certificate just signed does not read back")]
    Signed(#[from] CertificateError),
}

impl Authority {
    /// A new key with a certificate for ten years. Returns the key in PEM beside it, to be stored.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn make(now: DateTime<Utc>) -> Result<(Self, String), AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Make)?;
        let key_pem = key.serialize_pem();
        let mut parameters = CertificateParams::default();
        set_validity(
            &mut parameters,
            Validity::starting(now, TimeDelta::days(365 * YEARS)),
        );
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Unlike any other authority's: a stranger is then told apart by name, not by a bad signature.
        let mark = Fingerprint::of(key.public_key_raw()).to_string();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(
            DnType::CommonName,
            format!("Holdfast authority {}", &mark[..12]),
        );
        let pem = parameters
            .self_signed(&key)
            .map_err(AuthorityError::Make)?
            .pem();
        Ok((Self::from_pem(&pem, &key_pem)?, key_pem))
    }

    /// # Errors
    /// When either is damaged, or when they do not belong together.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, AuthorityError> {
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(AuthorityError::Certificate)?;
        let key = KeyPair::from_pem(key_pem).map_err(AuthorityError::Key)?;
        let (_, x509) =
            x509_parser::parse_x509_certificate(&der).map_err(|_| AuthorityError::Unreadable)?;
        if x509.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(AuthorityError::Mismatch);
        }
        let expires_at = DateTime::from_timestamp(x509.validity().not_after.timestamp(), 0)
            .ok_or(AuthorityError::Unreadable)?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(AuthorityError::Make)?;
        Ok(Self {
            certificate_pem: certificate_pem.to_owned(),
            fingerprint: Fingerprint::of(&der),
            expires_at,
            issuer,
        })
    }

    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }

    /// Signs the key of a request for `identity`; nothing else of the request is taken over.
    /// Returns the chain in PEM, leaf first, this authority last.
    ///
    /// # Errors
    /// When the request is not signed with its own key.
    pub fn issue(
        &self,
        request_der: &[u8],
        identity: &Identity,
        validity: Validity,
    ) -> Result<(Certificate, String), AuthorityError> {
        let request = CertificateSigningRequestParams::from_der(
            &CertificateSigningRequestDer::from(request_der),
        )
        .map_err(AuthorityError::Request)?;
        let failed = |source| AuthorityError::Sign {
            identity: identity.clone(),
            source,
        };
        let leaf = leaf_parameters(identity, validity)
            .map_err(failed)?
            .signed_by(&request.public_key, &self.issuer)
            .map_err(failed)?;
        let certificate = Certificate::from_der(leaf.der())?;
        Ok((
            certificate,
            format!("{}{}", leaf.pem(), self.certificate_pem),
        ))
    }
}

impl Authority {
    /// Signs a statement of the controller's own: ECDSA P-256 with SHA-256, DER.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn sign(&self, statement: &[u8]) -> Result<Vec<u8>, AuthorityError> {
        let key = self.issuer.key();
        key.sign(statement).map_err(AuthorityError::Statement)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("fingerprint", &self.fingerprint)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Validity {
    /// From now on for `life`. It begins a tenth of the life (at most an hour) earlier, for
    /// clocks that lag behind; certificates know whole seconds, so it is widened to them.
    #[must_use]
    pub fn starting(now: DateTime<Utc>, life: TimeDelta) -> Self {
        let slack = (life / 10).min(TimeDelta::hours(1));
        let from = now - slack;
        let to = now + life;
        let up = i64::from(to.timestamp_subsec_nanos() > 0);
        Self {
            not_before: DateTime::from_timestamp(from.timestamp(), 0).unwrap_or(from),
            expires_at: DateTime::from_timestamp(to.timestamp() + up, 0).unwrap_or(to),
        }
    }
}

fn leaf_parameters(
    identity: &Identity,
    validity: Validity,
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    set_validity(&mut parameters, validity);
    parameters.serial_number = Some(serial_number());
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::CommonName, identity.to_string());
    parameters.subject_alt_names = vec![SanType::URI(identity.to_uri().try_into()?)];
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = match identity {
        Identity::Host(_) => vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ],
        Identity::Operator { .. } => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Identity::Controller => vec![ExtendedKeyUsagePurpose::ServerAuth],
    };
    if let Some(name) = identity.server_name() {
        parameters
            .subject_alt_names
            .push(SanType::DnsName(name.try_into()?));
    }
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

/// 16 random bytes, positive and without a leading zero, so that every program prints it alike.
fn serial_number() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::random();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// rcgen counts in the types of the `time` crate, which nothing else here needs: so from 1970 on.
fn set_validity(parameters: &mut CertificateParams, validity: Validity) {
    let since_1970 = |at: DateTime<Utc>| {
        let seconds = u64::try_from(at.timestamp()).unwrap_or(0);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    parameters.not_before = since_1970(validity.not_before);
    parameters.not_after = since_1970(validity.expires_at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Credentials, NewKey, Role};

    fn issue(authority: &Authority, identity: &Identity) -> (Certificate, Credentials) {
        let key = NewKey::make().unwrap();
        let validity = Validity::starting(Utc::now(), TimeDelta::days(30));
        let (certificate, chain) = authority
            .issue(&key.request().unwrap(), identity, validity)
            .unwrap();
        (certificate, Credentials::from_answer(&key, &chain).unwrap())
    }

    #[test]
    fn what_is_issued_says_who_and_how_long() {
        let (authority, _) = Authority::make(Utc::now()).unwrap();
        for identity in [
            Identity::Host("web-1".into()),
            Identity::Controller,
            Identity::Operator {
                name: "alice".into(),
                role: Role::Viewer,
            },
        ] {
            let (certificate, credentials) = issue(&authority, &identity);
            assert_eq!(certificate.identity, identity);
            assert_eq!(credentials.certificate(), &certificate);
            assert_eq!(certificate.serial.len(), 32);
            let left = certificate.expires_at - Utc::now();
            assert!(left > TimeDelta::days(29) && left < TimeDelta::days(31));
        }
    }

    #[test]
    fn an_authority_reads_back_with_its_own_key_only() {
        let (one, one_key) = Authority::make(Utc::now()).unwrap();
        let (_, other_key) = Authority::make(Utc::now()).unwrap();
        let again = Authority::from_pem(one.certificate_pem(), &one_key).unwrap();
        assert_eq!(again.fingerprint(), one.fingerprint());
        assert!(matches!(
            Authority::from_pem(one.certificate_pem(), &other_key),
            Err(AuthorityError::Mismatch)
        ));
        issue(&again, &Identity::Controller);
    }

    #[test]
    fn a_statement_is_signed_by_the_key_of_the_certificate() {
        let (authority, _) = Authority::make(Utc::now()).unwrap();
        let der = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap();
        let (_, x509) = x509_parser::parse_x509_certificate(&der).unwrap();
        let key = x509.public_key().subject_public_key.data.to_vec();
        let signature = authority.sign(b"proven").unwrap();
        let verifies = |statement: &[u8]| {
            let algorithm =
                rustls::crypto::ring::default_provider().signature_verification_algorithms;
            let mut ecdsa = algorithm.all.iter();
            ecdsa.any(|one| one.verify_signature(&key, statement, &signature).is_ok())
        };
        assert!(verifies(b"proven"));
        assert!(!verifies(b"damaged"));
    }

    #[test]
    fn a_request_signed_by_another_key_is_refused() {
        let (authority, _) = Authority::make(Utc::now()).unwrap();
        let mut request = NewKey::make().unwrap().request().unwrap();
        let last = request.len() - 1;
        request[last] ^= 1;
        let validity = Validity::starting(Utc::now(), TimeDelta::days(30));
        assert!(matches!(
            authority.issue(&request, &Identity::Controller, validity),
            Err(AuthorityError::Request(_))
        ));
    }

    #[test]
    fn short_lives_keep_whole_seconds() {
        let now = DateTime::from_timestamp(1_000, 500_000_000).unwrap();
        let validity = Validity::starting(now, TimeDelta::seconds(4));
        assert_eq!(validity.not_before.timestamp(), 1_000);
        assert_eq!(validity.expires_at.timestamp(), 1_005);
        let long = Validity::starting(now, TimeDelta::days(30));
        assert_eq!(long.not_before.timestamp(), 1_000 - 3_600);
    }
}
