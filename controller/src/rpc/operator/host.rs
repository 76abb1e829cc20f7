//! Hosts: list, enrol, remove.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use holdfast_proto::{
    names::HostName,
    wire::{
        self, EnrolHostRequest, EnrolHostResponse, ListHostsRequest, ListHostsResponse,
        RemoveHostRequest, RemoveHostResponse,
    },
};

use super::{RpcError, Services, caller::Caller};
use crate::{
    dispatch::sessions::EndReason,
    fleet::HostState,
    rpc::convert::{host_row, time},
};

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    _: ListHostsRequest,
) -> Result<ListHostsResponse, RpcError> {
    let hosts = shown(&services).await?;
    Ok(ListHostsResponse { hosts })
}

pub async fn enrol(
    services: Arc<Services>,
    caller: Caller,
    request: EnrolHostRequest,
) -> Result<EnrolHostResponse, RpcError> {
    let name: HostName = request.name.parse()?;
    let address = Some(request.controller_address.as_str()).filter(|a| !a.is_empty());
    let registrar = &services.registrar;
    let invitation = registrar
        .enrol_host(&name, address, &caller.actor())
        .await?;
    Ok(EnrolHostResponse {
        command: invitation.command,
        expires_at: time(invitation.expires_at),
    })
}

pub async fn remove(
    services: Arc<Services>,
    caller: Caller,
    request: RemoveHostRequest,
) -> Result<RemoveHostResponse, RpcError> {
    let name: HostName = request.name.parse()?;
    let known = services.fleet.host(&name);
    // Before: revocation ends the session, by whatever comes first.
    let was_connected = services.sessions.current(&name).is_some();
    let removed = services.registrar.remove_host(&name, &caller.actor()).await;
    let removed = removed.map_err(|error| match known {
        // The registrar knows no names but the enrolled ones: the fleet knows the nearest.
        Err(unknown) if matches!(error, crate::identity::IdentityError::NotEnrolled(_)) => {
            unknown.into()
        }
        _ => RpcError::from(error),
    })?;
    services.sessions.end(&name, EndReason::Revoked);
    services.enrolled.pass().await?;
    Ok(RemoveHostResponse {
        revoked_certificates: removed.revoked_certificates,
        was_connected,
    })
}

/// Every host as operators see it, by name.
pub async fn shown(services: &Services) -> Result<Vec<wire::Host>, RpcError> {
    let subjects = services.catalog.enrolled_subjects("host/%").await?;
    let expires: HashMap<String, DateTime<Utc>> = subjects
        .into_iter()
        .filter_map(|row| {
            let name = row.subject.strip_prefix("host/")?;
            Some((name.to_owned(), row.expires_at))
        })
        .collect();
    let hosts = services.fleet.hosts();
    Ok(hosts
        .iter()
        .map(|state| host_row(state, expires.get(state.name.as_str()).copied()))
        .collect())
}

/// The hosts that a list is asked for: one, or all when none is named.
///
/// # Errors
/// When the name is none, or not that of a host.
pub fn selected(services: &Services, name: &str) -> Result<Vec<Arc<HostState>>, RpcError> {
    if name.is_empty() {
        return Ok(services.fleet.hosts());
    }
    Ok(vec![named(services, name)?])
}

/// # Errors
/// When the name is none, or not that of a host.
pub fn named(services: &Services, name: &str) -> Result<Arc<HostState>, RpcError> {
    let name: HostName = name.parse()?;
    Ok(services.fleet.host(&name)?)
}
