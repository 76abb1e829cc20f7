//! Instances: list, add, remove.

use std::{sync::Arc, time::Duration};

use holdfast_proto::{
    link::RegisteredInstance,
    names::InstanceName,
    task::{ProbeInstance, ProbedInstance, TaskResult, TaskSpec},
    wire::{
        self, AddInstanceRequest, AddInstanceResponse, HostInstance, ListInstancesRequest,
        ListInstancesResponse, RemoveInstanceRequest, RemoveInstanceResponse,
    },
};
use tonic::Code;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
    host,
    task::{ask, wrong_result},
};
use crate::{fleet::HostState, rpc::convert::time};

const PROBED_WITHIN: Duration = Duration::from_secs(20);
/// In bytes; long enough for every managed service's endpoint.
const LONGEST_TEXT: usize = 253;

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListInstancesRequest,
) -> Result<ListInstancesResponse, RpcError> {
    let states = host::selected(&services, &request.host)?;
    let instances = states.iter().flat_map(|state| shown(state)).collect();
    Ok(ListInstancesResponse { instances })
}

pub async fn add(
    services: Arc<Services>,
    caller: Caller,
    request: AddInstanceRequest,
) -> Result<AddInstanceResponse, RpcError> {
    let state = host::named(&services, &request.host)?;
    let instance = read(request)?;
    let change = about("instance.add", &state, &instance.name, address(&instance));
    let work = register(&services, &caller, &state, &instance);
    caller.change(&services, change, work).await?;
    let probed = probe(&services, &state, &instance.name).await;
    Ok(AddInstanceResponse {
        up: probed.up,
        down_reason: probed.down_reason,
        password_hint: password_hint(&state, &instance.name),
    })
}

pub async fn remove(
    services: Arc<Services>,
    caller: Caller,
    request: RemoveInstanceRequest,
) -> Result<RemoveInstanceResponse, RpcError> {
    let state = host::named(&services, &request.host)?;
    let change = about("instance.remove", &state, &request.name, String::new());
    let work = unregister(&services, &state, &request.name);
    caller.change(&services, change, work).await?;
    Ok(RemoveInstanceResponse {})
}

/// Of one host, by name.
pub fn shown(state: &HostState) -> Vec<HostInstance> {
    let row = |instance: &holdfast_proto::fleet::Instance| HostInstance {
        host: state.name.to_string(),
        instance: Some(instance.clone().into()),
        reported_at: state.reported_at.and_then(time),
    };
    state.report.instances.values().map(row).collect()
}

async fn register(
    services: &Services,
    caller: &Caller,
    state: &HostState,
    instance: &RegisteredInstance,
) -> Result<(), RpcError> {
    let taken = state.report.instances.get(&instance.name);
    if taken.is_some_and(|known| !known.registered) {
        return Err(RpcError::new(
            Code::AlreadyExists,
            format!(
                "host {} has an instance {:?} already, found by its agent",
                state.name, instance.name
            ),
            "register it under another name",
        ));
    }
    let catalog = &services.catalog;
    let by = caller.actor();
    catalog
        .register_instance(&state.name, instance, &by)
        .await?;
    services.push.host(&state.name).await?;
    Ok(())
}

async fn unregister(services: &Services, state: &HostState, name: &str) -> Result<(), RpcError> {
    if services
        .catalog
        .unregister_instance(&state.name, name)
        .await?
    {
        services.push.host(&state.name).await?;
        return Ok(());
    }
    let found = state.instance(name)?;
    Err(RpcError::new(
        Code::FailedPrecondition,
        format!(
            "{}/{name} was not registered, the agent found it",
            state.name
        ),
        format!(
            "it goes away with its container {:?}; only registered instances are removed here",
            found.container
        ),
    ))
}

/// Looks at it now. Whatever stands in the way is what the operator is told: it is registered all the same.
async fn probe(services: &Services, state: &HostState, name: &str) -> ProbedInstance {
    let instance = name.to_owned();
    let spec = TaskSpec::ProbeInstance(ProbeInstance { instance });
    let down = |error: &RpcError| ProbedInstance {
        up: false,
        reached_by: String::new(),
        down_reason: error.message.clone(),
    };
    match ask(services, state, "probe-instance", spec, PROBED_WITHIN).await {
        Ok(TaskResult::ProbedInstance(probed)) => probed,
        Ok(_) => down(&wrong_result(state, "probe-instance")),
        Err(error) => down(&error),
    }
}

fn read(request: AddInstanceRequest) -> Result<RegisteredInstance, RpcError> {
    let engine = request.engine();
    let AddInstanceRequest {
        host: _,
        name,
        engine: _,
        address,
        port,
        user,
        database,
        tls_mode,
    } = request;
    let or = |text: String, default: &str| {
        if text.is_empty() {
            default.to_owned()
        } else {
            text
        }
    };
    let instance = wire::RegisteredInstance {
        name,
        engine: engine.into(),
        address,
        port: if port == 0 {
            default_port(engine)
        } else {
            port
        },
        user: or(user, "postgres"),
        database: or(database, "postgres"),
        tls_mode: or(tls_mode, "prefer"),
    };
    for (field, text) in [
        ("name", &instance.name),
        ("address", &instance.address),
        ("user", &instance.user),
        ("database", &instance.database),
    ] {
        let is_plain = !text.is_empty() && !text.chars().any(char::is_control);
        if !is_plain || text.len() > LONGEST_TEXT {
            return Err(RpcError::invalid(format!(
                "the {field} {text:?} is empty, longer than {LONGEST_TEXT} bytes, or holds control characters"
            )));
        }
    }
    if instance.name.contains('/') || instance.address.contains(char::is_whitespace) {
        return Err(RpcError::invalid(
            "a name holds no / and an address no blank",
        ));
    }
    Ok(RegisteredInstance::try_from(instance)?)
}

fn default_port(engine: wire::Engine) -> u32 {
    match engine {
        wire::Engine::Unspecified | wire::Engine::Postgres => 5432,
        wire::Engine::Mariadb | wire::Engine::Mysql => 3306,
    }
}

fn password_hint(state: &HostState, name: &str) -> String {
    format!(
        "the password stays on {host}: run there `holdfast-agent credential set {name}` (with --password-file where there is no terminal)",
        host = state.name
    )
}

fn address(instance: &RegisteredInstance) -> String {
    let RegisteredInstance {
        address,
        port,
        user,
        ..
    } = instance;
    format!("{user}@{address}:{port}")
}

fn about(action: &'static str, state: &HostState, name: &str, detail: String) -> Change {
    let subject = InstanceName {
        host: state.name.clone(),
        instance: name.to_owned(),
    };
    Change {
        action,
        subject: subject.to_string(),
        detail,
    }
}
