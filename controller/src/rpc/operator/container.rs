//! Containers: list, and what their engines told of late.

use std::sync::Arc;

use holdfast_proto::{
    fleet::EngineEvent,
    wire::{
        HostContainer, HostEvent, ListContainersRequest, ListContainersResponse,
        ListEngineEventsRequest, ListEngineEventsResponse,
    },
};

use super::{RpcError, Services, caller::Caller, host};
use crate::fleet::HostState;

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListContainersRequest,
) -> Result<ListContainersResponse, RpcError> {
    let states = host::selected(&services, &request.host)?;
    let containers = states.iter().flat_map(|state| shown(state)).collect();
    Ok(ListContainersResponse { containers })
}

pub async fn events(
    services: Arc<Services>,
    _: Caller,
    request: ListEngineEventsRequest,
) -> Result<ListEngineEventsResponse, RpcError> {
    let states = host::selected(&services, &request.host)?;
    let limit = match request.limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let told = told(&states, limit).into_iter();
    let row = |(state, event): (&HostState, &EngineEvent)| HostEvent {
        host: state.name.to_string(),
        event: Some(event.clone().into()),
    };
    Ok(ListEngineEventsResponse {
        events: told.map(row).collect(),
    })
}

/// The newest of each host, all of them newest first.
fn told(states: &[Arc<HostState>], limit: usize) -> Vec<(&HostState, &EngineEvent)> {
    let mut told: Vec<_> = states
        .iter()
        .flat_map(|state| {
            let newest = state.recent.newest().take(limit);
            newest.map(|event| (state.as_ref(), event))
        })
        .collect();
    // Stable: what came within one moment stays in the order in which its host told it.
    told.sort_by_key(|(_, event)| std::cmp::Reverse(event.at));
    told
}

/// Of one host, by name.
fn shown(state: &HostState) -> Vec<HostContainer> {
    let mut containers: Vec<_> = state.report.containers.values().collect();
    containers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let row = |container: &holdfast_proto::fleet::Container| HostContainer {
        host: state.name.to_string(),
        container: Some(container.clone().into()),
    };
    containers.into_iter().map(row).collect()
}
