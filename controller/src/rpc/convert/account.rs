//! Operators and their roles.

use holdfast_chassis::identity::Role;
use holdfast_proto::wire::{self, OperatorRole};

use super::time;
use crate::{identity::OperatorAccount, rpc::status::RpcError};

pub fn operator_role(role: Role) -> OperatorRole {
    match role {
        Role::Viewer => OperatorRole::Viewer,
        Role::Operator => OperatorRole::Operator,
        Role::Admin => OperatorRole::Admin,
    }
}

/// # Errors
/// When none is said: nobody becomes something by a default.
pub fn role(role: OperatorRole) -> Result<Role, RpcError> {
    match role {
        OperatorRole::Unspecified => Err(RpcError::invalid(
            "the role is missing: viewer, operator or admin",
        )),
        OperatorRole::Viewer => Ok(Role::Viewer),
        OperatorRole::Operator => Ok(Role::Operator),
        OperatorRole::Admin => Ok(Role::Admin),
    }
}

impl From<OperatorAccount> for wire::OperatorAccount {
    fn from(account: OperatorAccount) -> Self {
        let OperatorAccount {
            name,
            role,
            certificate_expires_at,
        } = account;
        Self {
            name,
            role: operator_role(role).into(),
            certificate_expires_at: time(certificate_expires_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_come_back_and_none_is_no_role() {
        for known in [Role::Viewer, Role::Operator, Role::Admin] {
            assert_eq!(role(operator_role(known)).unwrap(), known);
        }
        assert!(role(OperatorRole::Unspecified).is_err());
    }
}
