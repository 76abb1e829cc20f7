//! The first admin: a token in the state directory, which only the machine's root can read.

use std::{fs, io, path::PathBuf};

use holdfast_chassis::identity::{Identity, Role, write_private};
use holdfast_proto::names::OperatorName;

use super::{IdentityError, Invitation, Registrar};
use crate::audit::Outcome;

const FILE: &str = "bootstrap-token";
const NAME: &str = "admin";
const ACTOR: &str = "controller";

impl Registrar {
    /// For `holdfast-controller invite-admin NAME`: whoever may read the controller's state may
    /// make admins.
    ///
    /// # Errors
    /// When the operator exists with another role, or the catalog fails.
    pub async fn invite_admin(&self, name: &OperatorName) -> Result<Invitation, IdentityError> {
        self.invite_operator(name, Role::Admin, None, ACTOR).await
    }

    /// For the start of a controller: while there is no admin, a token in the state directory,
    /// good for one login. A new one takes the place of the one of the start before.
    ///
    /// # Errors
    /// When the catalog fails, or the state directory cannot be written.
    pub async fn leave_bootstrap_token(&self) -> Result<(), IdentityError> {
        let now = self.0.clock.now();
        let operators = self.operators().await?;
        if operators
            .iter()
            .any(|account| account.role == Role::Admin && account.certificate_expires_at > now)
        {
            remove_file(self);
            return Ok(());
        }
        let identity = Identity::Operator {
            name: NAME.to_owned(),
            role: Role::Admin,
        };
        let (token, expires_at) = match self.invite(&identity, ACTOR).await {
            Err(IdentityError::AnotherRole { .. }) => {
                tracing::warn!(
                    "there is no admin, and {NAME:?} is an operator with another role: \
                     run `holdfast-controller invite-admin` with another name"
                );
                return Ok(());
            }
            invited => invited?,
        };
        let path = path(self);
        write_private(&path, format!("{}\n", token.reveal()).as_bytes())?;
        let detail = format!("in {}, until {expires_at}", path.display());
        let subject = identity.to_string();
        self.audit(ACTOR, "bootstrap.token", &subject, Outcome::Ok, &detail)
            .await;
        tracing::info!(
            path = %path.display(), %expires_at,
            "there is no admin yet: run `ctl login` on this machine"
        );
        Ok(())
    }
}

/// Once the first admin has come.
pub(super) fn forget_token(registrar: &Registrar, identity: &Identity) {
    if matches!(identity, Identity::Operator { name, .. } if name == NAME) {
        remove_file(registrar);
    }
}

fn remove_file(registrar: &Registrar) {
    match fs::remove_file(path(registrar)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(
            path = %path(registrar).display(), %error,
            "a bootstrap token that is no longer good could not be removed"
        ),
    }
}

fn path(registrar: &Registrar) -> PathBuf {
    registrar.state_dir().join(FILE)
}
