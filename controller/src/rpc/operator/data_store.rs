//! What data lie on: history of instances and volumes, and what an operator says is right.

use std::sync::Arc;

use holdfast_proto::{
    names::InstanceName,
    wire::{
        AcceptInstanceRequest, AcceptInstanceResponse, GetInstanceHistoryRequest,
        GetInstanceHistoryResponse, GetVolumeHistoryRequest, GetVolumeHistoryResponse,
    },
};
use tonic::Code;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
    host,
};
use crate::{
    catalog::Word,
    data_store::{Accepted, Known, accept},
    fleet::HostState,
};

pub async fn of_instance(
    services: Arc<Services>,
    _: Caller,
    request: GetInstanceHistoryRequest,
) -> Result<GetInstanceHistoryResponse, RpcError> {
    let state = host::named(&services, &request.host)?;
    let name = InstanceName {
        host: state.name.clone(),
        instance: request.instance,
    };
    let events = services.catalog.instance_history(&name).await?;
    if events.is_empty() {
        // It says which there are.
        state.instance(&name.instance)?;
    }
    Ok(GetInstanceHistoryResponse {
        events: events.into_iter().map(Into::into).collect(),
    })
}

pub async fn of_volume(
    services: Arc<Services>,
    _: Caller,
    request: GetVolumeHistoryRequest,
) -> Result<GetVolumeHistoryResponse, RpcError> {
    let state = host::named(&services, &request.host)?;
    let catalog = &services.catalog;
    let events = catalog.volume_history(&state.name, &request.volume).await?;
    if events.is_empty() {
        state.volume(&request.volume)?;
    }
    Ok(GetVolumeHistoryResponse {
        events: events.into_iter().map(Into::into).collect(),
    })
}

pub async fn accept_instance(
    services: Arc<Services>,
    caller: Caller,
    request: AcceptInstanceRequest,
) -> Result<AcceptInstanceResponse, RpcError> {
    let state = host::named(&services, &request.host)?;
    if request.reason.trim().is_empty() {
        return Err(RpcError::invalid(
            "no reason is given: say why what is there now is right",
        ));
    }
    let known = known(&services, &state, &request.instance).await?;
    let name = known.name();
    let word = Word {
        by: &caller.actor(),
        reason: request.reason.trim(),
    };
    let change = Change {
        action: "instance.accept",
        subject: name.to_string(),
        detail: word.reason.to_owned(),
    };
    let work = write(&services, &state, &known, word);
    caller.change(&services, change, work).await?;
    let newest = services.catalog.instance_history(&name).await?;
    Ok(AcceptInstanceResponse {
        event: newest.into_iter().next().map(Into::into),
    })
}

/// The one whose instance had this name last.
async fn known(services: &Services, state: &HostState, instance: &str) -> Result<Known, RpcError> {
    let stores = services.catalog.data_stores().await?;
    let own: Vec<_> = stores
        .into_iter()
        .filter(|known| known.host == state.name)
        .collect();
    let names: Vec<_> = own.iter().map(|known| known.instance.clone()).collect();
    let found = own.into_iter().find(|known| known.instance == instance);
    found.ok_or_else(|| {
        RpcError::new(
            Code::NotFound,
            format!(
                "nothing is known of where the data of {}/{instance} shall lie",
                state.name
            ),
            if names.is_empty() {
                format!("no database server was seen on {} yet", state.name)
            } else {
                format!("it is known of: {}", names.join(", "))
            },
        )
    })
}

async fn write(
    services: &Services,
    state: &HostState,
    known: &Known,
    word: Word<'_>,
) -> Result<(), RpcError> {
    if !state.connected || !state.report.engine_error.is_empty() {
        return Err(RpcError::new(
            Code::FailedPrecondition,
            format!("nobody can see what is on {} now", state.name),
            "accept it when its agent is back: ctl host list",
        ));
    }
    let is_there = state.report.instances.contains_key(&known.instance);
    let volume = known.accepted.volume_name();
    let volume_is_there = volume.is_none_or(|name| state.report.volumes.contains_key(name));
    let (catalog, now) = (&services.catalog, services.clock.now());
    match accept(known, is_there, volume_is_there) {
        Accepted::Now(step) => catalog.save_data_store(&step, word, now).await?,
        Accepted::Nothing => catalog.forget_data_store(known, word, now).await?,
        Accepted::AlreadyRight => {
            return Err(RpcError::new(
                Code::FailedPrecondition,
                format!("the data of {} lie where they shall", known.name()),
                format!("see: ctl instance history {}", known.name()),
            ));
        }
    }
    Ok(())
}
