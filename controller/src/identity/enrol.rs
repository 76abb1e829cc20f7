//! A token and a certificate request in, a certificate out. The name is the token's.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use holdfast_chassis::identity::{AuthorityError, Certificate, Identity, Role, Secret};
use sqlx::PgConnection;

use super::{
    IdentityError, Registrar, TokenRefusal, bootstrap,
    invite::{begin, commit, may_invite},
    registrar::locked,
    token::judge,
};
use crate::{
    audit::Outcome,
    catalog::{TokenRow, certificate, host, token},
};

/// What enrolment answers.
#[derive(Debug, Clone)]
pub struct Enrolled {
    pub identity: Identity,
    pub at: DateTime<Utc>,
    /// Leaf first, PEM.
    pub chain: String,
    /// Every authority to trust, PEM.
    pub authorities: String,
}

impl Registrar {
    /// Uses up the token and signs the request, or does neither. Refusals are audited.
    ///
    /// # Errors
    /// When the token is not good, when there were too many wrong ones from this address, when
    /// the request is not one, or when the catalog fails.
    pub async fn enrol(
        &self,
        from: SocketAddr,
        secret: &str,
        request: &[u8],
    ) -> Result<Enrolled, IdentityError> {
        let result = self.try_enrol(from, secret, request).await;
        match &result {
            Ok(enrolled) => {
                let subject = enrolled.identity.to_string();
                let detail = format!("from {}", from.ip());
                self.audit(&from.to_string(), "enrol", &subject, Outcome::Ok, &detail)
                    .await;
                bootstrap::forget_token(self, &enrolled.identity);
            }
            Err(error) if error.is_refusal() => self.enrolment_refused(from, error).await,
            Err(_) => {}
        }
        result
    }

    async fn try_enrol(
        &self,
        from: SocketAddr,
        secret: &str,
        request: &[u8],
    ) -> Result<Enrolled, IdentityError> {
        let wait = locked(&self.0.throttle).wait(from.ip(), self.0.clock.now());
        if let Some(wait) = wait {
            let address = from.ip();
            return Err(IdentityError::TooManyTokens { address, wait });
        }
        let secret = Secret::from_revealed(secret).map_err(|_| TokenRefusal::Malformed)?;
        let now = self.0.clock.now();
        let _changing = self.0.changing.lock().await;
        let mut transaction = self.0.catalog.begin().await.map_err(begin())?;
        let (certificate, chain) = self
            .consume(&mut transaction, from, &secret, request)
            .await?;
        transaction.commit().await.map_err(commit())?;
        let subject = certificate.identity.to_string();
        self.set_standing(|standing| standing.extend(&subject, certificate.expires_at));
        Ok(Enrolled {
            identity: certificate.identity,
            at: now,
            chain,
            authorities: self.0.authority.certificate_pem().to_owned(),
        })
    }

    async fn consume(
        &self,
        transaction: &mut PgConnection,
        from: SocketAddr,
        secret: &Secret,
        request: &[u8],
    ) -> Result<(Certificate, String), IdentityError> {
        let digest = secret.digest();
        let row = token::find_token(transaction, digest).await?;
        let now = self.0.clock.now();
        let row = judge(row, now)?;
        let identity = identity_of(&row)?;
        certificate::lock_subject(transaction, &row.subject).await?;
        let valid = certificate::valid_certificate(transaction, &row.subject, now).await?;
        may_invite(&identity, valid)?;
        let (certificate, chain) = self.sign(request, &identity)?;
        token::mark_used(transaction, digest, now, &from.ip().to_string()).await?;
        certificate::insert_certificate(transaction, &certificate, now).await?;
        if let Identity::Host(name) = &identity {
            host::insert_host(transaction, name, now).await?;
        }
        Ok((certificate, chain))
    }

    pub(super) fn sign(
        &self,
        request: &[u8],
        identity: &Identity,
    ) -> Result<(Certificate, String), IdentityError> {
        let validity = self.validity(self.0.clock.now());
        self.0
            .authority
            .issue(request, identity, validity)
            .map_err(|error| match error {
                AuthorityError::Request(_) => IdentityError::Request(error),
                other => IdentityError::Authority(other),
            })
    }

    async fn enrolment_refused(&self, from: SocketAddr, error: &IdentityError) {
        let why = error.to_string();
        let subject = match error {
            IdentityError::Token(
                TokenRefusal::Expired { subject, .. }
                | TokenRefusal::Used { subject, .. }
                | TokenRefusal::Withdrawn { subject, .. },
            )
            | IdentityError::AlreadyEnrolled { subject, .. } => subject.as_str(),
            _ => "",
        };
        let actor = from.to_string();
        if matches!(error, IdentityError::Token(_)) {
            locked(&self.0.throttle).note_wrong(from.ip(), self.0.clock.now());
            tracing::warn!(actor, subject, why, "an enrolment was refused");
            self.audit(&actor, "enrol.refused", subject, Outcome::Refused, &why)
                .await;
        } else {
            self.note_refused("enrol.refused", &actor, subject, &why);
        }
    }
}

/// Subject and role of a token, as they were written from an identity.
fn identity_of(row: &TokenRow) -> Result<Identity, IdentityError> {
    let foreign = || holdfast_chassis::identity::IdentityError::NotOurs(row.subject.clone());
    match (row.subject.split_once('/'), &row.role) {
        (Some(("host", name)), None) => Ok(Identity::Host(name.to_owned())),
        (Some(("operator", name)), Some(role)) => Ok(Identity::Operator {
            name: name.to_owned(),
            role: role.parse::<Role>()?,
        }),
        _ => Err(foreign().into()),
    }
}
