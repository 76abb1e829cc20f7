//! Who calls, and the audit line of each change.

use std::future::Future;

use holdfast_chassis::{identity::Role, tls::PeerInfo};

use super::{RpcError, Services};
use crate::audit::Outcome;

/// An operator whose role is enough for the call.
#[derive(Debug, Clone)]
pub struct Caller {
    pub name: String,
    pub role: Role,
    pub peer: PeerInfo,
}

/// What is changed, as the audit log names it.
#[derive(Debug)]
pub struct Change {
    /// "instance.add".
    pub action: &'static str,
    /// "web-1/rds".
    pub subject: String,
    /// How; may be empty. Nothing secret.
    pub detail: String,
}

impl Caller {
    pub fn new(name: &str, role: Role, peer: &PeerInfo) -> Self {
        Self {
            name: name.to_owned(),
            role,
            peer: peer.clone(),
        }
    }

    /// As the audit log names the caller.
    pub fn actor(&self) -> String {
        format!("operator/{}", self.name)
    }

    /// Does the work and writes the line: what was done, or why it was refused. A failure of ours
    /// has changed nothing and is in the controller's own log.
    pub async fn change<A>(
        &self,
        services: &Services,
        change: Change,
        work: impl Future<Output = Result<A, RpcError>>,
    ) -> Result<A, RpcError> {
        let done = work.await;
        let (outcome, detail) = match &done {
            Ok(_) => (Outcome::Ok, change.detail.as_str()),
            Err(error) if error.is_refusal() => (Outcome::Refused, error.message.as_str()),
            Err(_) => return done,
        };
        let Change {
            action, subject, ..
        } = &change;
        let (catalog, actor) = (&services.catalog, self.actor());
        let line = catalog.audit(&actor, action, subject, outcome, detail);
        if let Err(error) = line.await {
            // It has happened: to say otherwise would be wrong.
            tracing::error!(
                error = &error as &dyn std::error::Error,
                actor,
                action,
                subject,
                detail,
                "an audit line could not be written"
            );
        }
        done
    }
}
