//! The guards of hosts: how they are, and what is let pass there.

use std::time::Duration;

use holdfast_proto::{
    WireError,
    guard::{GuardRefusal, GuardStatus, GuardedData},
    names::HostName,
    wire,
};

use super::{CallError, Client, each, read::required, within};
use crate::view::guard::{Guarded, GuardedPlace, HostGuard, HostRefusal};

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    /// Of one host, or of all when its name is empty.
    pub async fn guards(&mut self, host: String) -> Result<Vec<HostGuard>, CallError> {
        let request = wire::ListGuardsRequest { host };
        let answer = within(self.within, self.inner.list_guards(request)).await?;
        each(answer.guards, HostGuard::try_from)
    }

    /// The newest, of one host, or of all when its name is empty.
    pub async fn guard_refusals(
        &mut self,
        host: String,
        limit: u32,
    ) -> Result<Vec<HostRefusal>, CallError> {
        let request = wire::ListGuardRefusalsRequest { host, limit };
        let answer = within(self.within, self.inner.list_guard_refusals(request)).await?;
        each(answer.refusals, HostRefusal::try_from)
    }

    /// What the guard knows of the place then.
    pub async fn allow(
        &mut self,
        host: &HostName,
        place: String,
        lasts: Duration,
        reason: String,
    ) -> Result<GuardedPlace, CallError> {
        let request = wire::GrantAllowanceRequest {
            host: host.to_string(),
            place,
            within: prost_types::Duration::try_from(lasts).ok(),
            reason,
        };
        let answer = within(self.within, self.inner.grant_allowance(request)).await?;
        guarded(host, "GrantAllowanceResponse", answer.data)
    }

    /// As [`Self::allow`].
    pub async fn revoke(
        &mut self,
        host: &HostName,
        place: String,
    ) -> Result<GuardedPlace, CallError> {
        let request = wire::RevokeAllowanceRequest {
            host: host.to_string(),
            place,
        };
        let answer = within(self.within, self.inner.revoke_allowance(request)).await?;
        guarded(host, "RevokeAllowanceResponse", answer.data)
    }
}

fn guarded(
    host: &HostName,
    message: &'static str,
    data: Option<wire::GuardedData>,
) -> Result<GuardedPlace, CallError> {
    let data = GuardedData::try_from(required(message, "data", data)?)?;
    Ok(GuardedPlace {
        host: host.to_string(),
        data: data.into(),
    })
}

impl TryFrom<wire::HostGuard> for HostGuard {
    type Error = WireError;

    fn try_from(message: wire::HostGuard) -> Result<Self, WireError> {
        let wire::HostGuard {
            host,
            status,
            error,
        } = message;
        let status = status.map(GuardStatus::try_from).transpose()?;
        Ok(Self::of(host, status, error))
    }
}

impl TryFrom<wire::HostRefusal> for HostRefusal {
    type Error = WireError;

    fn try_from(message: wire::HostRefusal) -> Result<Self, WireError> {
        let wire::HostRefusal { host, refusal } = message;
        let refusal = GuardRefusal::try_from(required("HostRefusal", "refusal", refusal)?)?;
        Ok(Self { host, refusal })
    }
}

impl From<GuardedData> for Guarded {
    fn from(data: GuardedData) -> Self {
        let protection = data.protection;
        Self {
            place: protection.place,
            server: data.server,
            instance: data.instance,
            in_use: data.in_use,
            databases: protection.databases,
            proven_at: protection.proven_at,
            fresh_until: protection.fresh_until,
            allowance: protection.allowance,
        }
    }
}
