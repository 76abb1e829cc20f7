//! Containers: list.

use std::sync::Arc;

use holdfast_proto::wire::{HostContainer, ListContainersRequest, ListContainersResponse};

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
