//! Operators and the audit log.

use holdfast_chassis::identity::Role;
use holdfast_proto::{WireError, names::OperatorName, wire};

use super::{
    CallError, Client, each,
    read::{time, variant},
    within,
};
use crate::view::{
    account::{Invitation, OperatorAccount, RemovedOperator},
    audit::{AuditEntry, AuditVerdict},
};

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    pub async fn operators(&mut self) -> Result<Vec<OperatorAccount>, CallError> {
        let answer = within(
            self.within,
            self.inner.list_operators(wire::ListOperatorsRequest {}),
        )
        .await?;
        each(answer.operators, OperatorAccount::try_from)
    }

    pub async fn invite_operator(
        &mut self,
        name: &OperatorName,
        role: Role,
        controller_address: String,
    ) -> Result<Invitation, CallError> {
        let role = match role {
            Role::Viewer => wire::OperatorRole::Viewer,
            Role::Operator => wire::OperatorRole::Operator,
            Role::Admin => wire::OperatorRole::Admin,
        };
        let request = wire::InviteOperatorRequest {
            name: name.to_string(),
            role: role.into(),
            controller_address,
        };
        let answer = within(self.within, self.inner.invite_operator(request)).await?;
        Ok(Invitation {
            name: name.to_string(),
            command: answer.command,
            expires_at: time("InviteOperatorResponse", "expires_at", answer.expires_at)?,
        })
    }

    pub async fn remove_operator(
        &mut self,
        name: &OperatorName,
    ) -> Result<RemovedOperator, CallError> {
        let request = wire::RemoveOperatorRequest {
            name: name.to_string(),
        };
        let answer = within(self.within, self.inner.remove_operator(request)).await?;
        Ok(RemovedOperator {
            name: name.to_string(),
            revoked_certificates: answer.revoked_certificates,
        })
    }

    pub async fn audit(&mut self, limit: u32) -> Result<Vec<AuditEntry>, CallError> {
        let answer = within(
            self.within,
            self.inner.list_audit(wire::ListAuditRequest { limit }),
        )
        .await?;
        each(answer.entries, AuditEntry::try_from)
    }

    pub async fn verify_audit(&mut self) -> Result<AuditVerdict, CallError> {
        let answer = within(
            self.within,
            self.inner.verify_audit(wire::VerifyAuditRequest {}),
        )
        .await?;
        let wire::VerifyAuditResponse {
            entries,
            first_broken_sequence,
            problem,
        } = answer;
        Ok(AuditVerdict {
            whole: first_broken_sequence.is_none() && problem.is_empty(),
            entries,
            first_broken_sequence,
            problem,
        })
    }
}

impl TryFrom<wire::OperatorAccount> for OperatorAccount {
    type Error = WireError;

    fn try_from(account: wire::OperatorAccount) -> Result<Self, WireError> {
        let wire::OperatorAccount {
            name,
            role,
            certificate_expires_at,
        } = account;
        Ok(Self {
            name,
            role: variant("OperatorAccount", "role", role, |role| match role {
                wire::OperatorRole::Unspecified => None,
                wire::OperatorRole::Viewer => Some(Role::Viewer),
                wire::OperatorRole::Operator => Some(Role::Operator),
                wire::OperatorRole::Admin => Some(Role::Admin),
            })?,
            certificate_expires_at: time(
                "OperatorAccount",
                "certificate_expires_at",
                certificate_expires_at,
            )?,
        })
    }
}

impl TryFrom<wire::AuditEntry> for AuditEntry {
    type Error = WireError;

    fn try_from(entry: wire::AuditEntry) -> Result<Self, WireError> {
        let wire::AuditEntry {
            sequence,
            at,
            actor,
            action,
            subject,
            outcome,
            detail,
            hash,
        } = entry;
        Ok(Self {
            sequence,
            at: time("AuditEntry", "at", at)?,
            actor,
            action,
            subject,
            outcome,
            detail,
            hash,
        })
    }
}
