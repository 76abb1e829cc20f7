//! The end of an identity: every certificate revoked, every token withdrawn, sessions ended.

use chrono::{DateTime, Utc};
use holdfast_chassis::identity::Role;
use holdfast_proto::names::{HostName, OperatorName};

use super::{
    IdentityError, Registrar,
    invite::{begin, commit},
};
use crate::{
    audit::Outcome,
    catalog::{SubjectRow, certificate, token},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    pub revoked_certificates: u32,
    pub withdrawn_tokens: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorAccount {
    pub name: String,
    pub role: Role,
    /// Of the last certificate.
    pub certificate_expires_at: DateTime<Utc>,
}

/// Stands for all of them in a lock.
const OPERATORS: &str = "operator/*";

impl Registrar {
    /// Returns when nobody can come in as this host any more, and its sessions have been told.
    ///
    /// # Errors
    /// When there is no such host, or the catalog fails.
    pub async fn remove_host(&self, name: &HostName, by: &str) -> Result<Removal, IdentityError> {
        self.remove("host.remove", &format!("host/{name}"), by)
            .await
    }

    /// # Errors
    /// When there is no such operator, when it is the last admin, or when the catalog fails.
    pub async fn remove_operator(
        &self,
        name: &OperatorName,
        by: &str,
    ) -> Result<Removal, IdentityError> {
        self.remove("operator.remove", &format!("operator/{name}"), by)
            .await
    }

    /// Operators that logged in and were not removed since, by name.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn operators(&self) -> Result<Vec<OperatorAccount>, IdentityError> {
        let rows = self.0.catalog.enrolled_subjects("operator/%").await?;
        rows.into_iter().map(account).collect()
    }

    async fn remove(
        &self,
        action: &str,
        subject: &str,
        by: &str,
    ) -> Result<Removal, IdentityError> {
        let now = self.0.clock.now();
        let _changing = self.0.changing.lock().await;
        let mut transaction = self.0.catalog.begin().await.map_err(begin())?;
        if let Some(name) = subject.strip_prefix("operator/") {
            // One at a time, also on several controllers: of two admins who remove each other one stays.
            certificate::lock_subject(&mut transaction, OPERATORS).await?;
            let operators = self.operators().await?;
            if is_last_admin(&operators, name, now) {
                return Err(IdentityError::LastAdmin(name.to_owned()));
            }
        }
        certificate::lock_subject(&mut transaction, subject).await?;
        let serials = certificate::revoke_certificates(&mut transaction, subject, by, now).await?;
        let withdrawn = token::withdraw_tokens(&mut transaction, subject, now).await?;
        if serials.is_empty() && withdrawn == 0 {
            return Err(IdentityError::NotEnrolled(subject.to_owned()));
        }
        transaction.commit().await.map_err(commit())?;
        let removal = Removal {
            revoked_certificates: u32::try_from(serials.len()).unwrap_or(u32::MAX),
            withdrawn_tokens: u32::try_from(withdrawn).unwrap_or(u32::MAX),
        };
        self.set_standing(|standing| standing.remove(subject, serials));
        let Removal {
            revoked_certificates,
            withdrawn_tokens,
        } = removal;
        let detail = format!(
            "{revoked_certificates} certificates revoked, {withdrawn_tokens} tokens withdrawn"
        );
        self.audit(by, action, subject, Outcome::Ok, &detail).await;
        Ok(removal)
    }
}

fn account(row: SubjectRow) -> Result<OperatorAccount, IdentityError> {
    let foreign = || holdfast_chassis::identity::IdentityError::NotOurs(row.subject.clone());
    let name = row.subject.strip_prefix("operator/").ok_or_else(foreign)?;
    Ok(OperatorAccount {
        name: name.to_owned(),
        role: row.role.as_deref().ok_or_else(foreign)?.parse()?,
        certificate_expires_at: row.expires_at,
    })
}

fn is_last_admin(operators: &[OperatorAccount], name: &str, now: DateTime<Utc>) -> bool {
    let mut admins = operators
        .iter()
        .filter(|account| account.role == Role::Admin && account.certificate_expires_at > now);
    admins.clone().any(|admin| admin.name == name) && admins.all(|admin| admin.name == name)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn an_admin_whose_time_is_over_does_not_count() {
        let now = Utc::now();
        let account = |name: &str, role, hours| OperatorAccount {
            name: name.into(),
            role,
            certificate_expires_at: now + TimeDelta::hours(hours),
        };
        let mut operators = vec![
            account("alice", Role::Admin, 1),
            account("bob", Role::Admin, -1),
            account("carol", Role::Viewer, 1),
        ];
        assert!(is_last_admin(&operators, "alice", now));
        assert!(!is_last_admin(&operators, "bob", now));
        assert!(!is_last_admin(&operators, "carol", now));
        operators.push(account("dave", Role::Admin, 1));
        assert!(!is_last_admin(&operators, "alice", now));
    }
}
