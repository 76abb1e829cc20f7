//! Tokens for those who shall come: hosts and operators.

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::identity::{EnrolmentToken, Identity, Role, Secret};
use holdfast_proto::names::{HostName, OperatorName};

use super::{IdentityError, Registrar};
use crate::{
    audit::Outcome,
    catalog::{CatalogError, certificate, token},
};

/// A token that waits to be used. Whoever reads the command can become who it is for.
#[derive(Debug, Clone)]
pub struct Invitation {
    pub token: EnrolmentToken,
    /// One line for a shell, secret included.
    pub command: String,
    pub expires_at: DateTime<Utc>,
}

impl Registrar {
    /// A token with which a machine becomes the host `name`. An older one for it is withdrawn.
    /// `address` is what the command shall name; `None`: the configured one.
    ///
    /// # Errors
    /// When the host has a valid certificate already, or the catalog fails.
    pub async fn enrol_host(
        &self,
        name: &HostName,
        address: Option<&str>,
        by: &str,
    ) -> Result<Invitation, IdentityError> {
        let identity = Identity::Host(name.as_str().to_owned());
        let (token, expires_at) = self.invite(&identity, by).await?;
        self.invited("host.enrol", &identity, by, expires_at).await;
        Ok(self.invitation("holdfast-agent join", token, expires_at, address))
    }

    /// A token with which somebody becomes the operator `name`, or the same operator on another
    /// machine. An older one for the name is withdrawn.
    ///
    /// # Errors
    /// When the operator exists with another role, or the catalog fails.
    pub async fn invite_operator(
        &self,
        name: &OperatorName,
        role: Role,
        address: Option<&str>,
        by: &str,
    ) -> Result<Invitation, IdentityError> {
        let identity = Identity::Operator {
            name: name.as_str().to_owned(),
            role,
        };
        let (token, expires_at) = self.invite(&identity, by).await?;
        self.invited("operator.invite", &identity, by, expires_at)
            .await;
        Ok(self.invitation("ctl login", token, expires_at, address))
    }

    pub(super) async fn invite(
        &self,
        identity: &Identity,
        by: &str,
    ) -> Result<(EnrolmentToken, DateTime<Utc>), IdentityError> {
        let now = self.0.clock.now();
        let life = TimeDelta::from_std(self.0.settings.token_life).unwrap_or(TimeDelta::MAX);
        let expires_at = now
            .checked_add_signed(life)
            .unwrap_or(DateTime::<Utc>::MAX_UTC);
        let secret = Secret::random();
        let subject = identity.to_string();
        let mut transaction = self.0.catalog.begin().await.map_err(begin())?;
        certificate::lock_subject(&mut transaction, &subject).await?;
        let valid = certificate::valid_certificate(&mut transaction, &subject, now).await?;
        may_invite(identity, valid)?;
        token::withdraw_tokens(&mut transaction, &subject, now).await?;
        let token = token::NewToken {
            digest: secret.digest(),
            subject: &subject,
            role: role_text(identity),
            created_at: now,
            created_by: by,
            expires_at,
        };
        token::insert_token(&mut transaction, token).await?;
        transaction.commit().await.map_err(commit())?;
        let authority = self.0.authority.fingerprint();
        Ok((EnrolmentToken { secret, authority }, expires_at))
    }

    fn invitation(
        &self,
        program: &str,
        token: EnrolmentToken,
        expires_at: DateTime<Utc>,
        address: Option<&str>,
    ) -> Invitation {
        let address = address.unwrap_or(&self.0.settings.address);
        let command = format!(
            "{program} --controller {address} --token {}",
            token.reveal()
        );
        Invitation {
            token,
            command,
            expires_at,
        }
    }

    async fn invited(&self, action: &str, identity: &Identity, by: &str, until: DateTime<Utc>) {
        let role = role_text(identity).map_or_else(String::new, |role| format!("role {role}, "));
        let detail = format!("{role}token until {}", until.format("%Y-%m-%d %H:%M:%SZ"));
        self.audit(by, action, &identity.to_string(), Outcome::Ok, &detail)
            .await;
    }
}

/// A pure decision: hosts are one machine each; operators may have several.
///
/// # Errors
/// Why there can be no token.
pub(super) fn may_invite(
    identity: &Identity,
    valid: Option<crate::catalog::CertificateRow>,
) -> Result<(), IdentityError> {
    let Some(valid) = valid else { return Ok(()) };
    match identity {
        Identity::Operator { name, role } => match valid.role {
            Some(actual) if actual != role.to_string() => Err(IdentityError::AnotherRole {
                name: name.clone(),
                role: actual,
            }),
            _ => Ok(()),
        },
        Identity::Host(name) => Err(IdentityError::AlreadyEnrolled {
            subject: valid.subject,
            until: valid.expires_at,
            command: format!("ctl host remove {name}"),
        }),
        Identity::Controller => Err(IdentityError::NotEnrolled("a controller".to_owned())),
    }
}

pub(super) fn role_text(identity: &Identity) -> Option<String> {
    match identity {
        Identity::Operator { role, .. } => Some(role.to_string()),
        Identity::Host(_) | Identity::Controller => None,
    }
}

pub(super) fn begin() -> impl Fn(sqlx::Error) -> CatalogError {
    CatalogError::doing("beginning a transaction on identities")
}

pub(super) fn commit() -> impl Fn(sqlx::Error) -> CatalogError {
    CatalogError::doing("committing a transaction on identities")
}
