//! The guards of hosts: how they are, and what operators let pass.

use std::{sync::Arc, time::Duration};

use chrono::{SubsecRound as _, TimeDelta};
use futures::{StreamExt as _, stream};
use holdfast_proto::{
    guard::{Allowance, AskGuard, GuardStatus, GuardedData},
    task::{TaskResult, TaskSpec},
    wire::{
        self, GrantAllowanceRequest, GrantAllowanceResponse, HostGuard, ListGuardRefusalsRequest,
        ListGuardRefusalsResponse, ListGuardsRequest, ListGuardsResponse, RevokeAllowanceRequest,
        RevokeAllowanceResponse,
    },
};
use tonic::Code;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
    host,
    task::{ask, wrong_result},
};
use crate::{catalog::Allowed, fleet::HostState, rpc::convert::limit};

const VERB: &str = "ask-guard";
/// An agent waits three seconds for a guard that hangs.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// From the catalog over the agent to the guard.
const KNOWN_WITHIN: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Hosts that are asked at the same time.
const AT_ONCE: usize = 32;
/// Whoever needs longer does not need a guard there.
const LONGEST: Duration = Duration::from_hours(24);

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListGuardsRequest,
) -> Result<ListGuardsResponse, RpcError> {
    let hosts = match request.host.as_str() {
        "" => services.fleet.hosts(),
        name => vec![host::named(&services, name)?],
    };
    let asked = stream::iter(hosts).map(|state| {
        let services = Arc::clone(&services);
        async move {
            let (status, error) = match status(&services, &state).await {
                Ok(status) => (Some(status.into()), String::new()),
                Err(error) => (None, error.message),
            };
            HostGuard {
                host: state.name.to_string(),
                status,
                error,
            }
        }
    });
    Ok(ListGuardsResponse {
        guards: asked.buffered(AT_ONCE).collect().await,
    })
}

pub async fn refusals(
    services: Arc<Services>,
    _: Caller,
    request: ListGuardRefusalsRequest,
) -> Result<ListGuardRefusalsResponse, RpcError> {
    let host = match request.host.as_str() {
        "" => None,
        name => Some(host::named(&services, name)?.name.clone()),
    };
    let found = services
        .catalog
        .guard_refusals(host.as_ref(), limit(request.limit));
    let refusals = found.await?.into_iter().map(|found| wire::HostRefusal {
        host: found.host.to_string(),
        refusal: Some(found.refusal.into()),
    });
    Ok(ListGuardRefusalsResponse {
        refusals: refusals.collect(),
    })
}

pub async fn grant(
    services: Arc<Services>,
    caller: Caller,
    request: GrantAllowanceRequest,
) -> Result<GrantAllowanceResponse, RpcError> {
    let state = host::named(&services, &request.host)?;
    let reason = request.reason.trim();
    if reason.is_empty() {
        return Err(RpcError::invalid(
            "no reason is given: say why everything may pass there",
        ));
    }
    let within = within(request.within)?;
    let allowed = Allowed {
        host: state.name.clone(),
        place: request.place,
        allowance: Allowance {
            until: (services.clock.now() + within).trunc_subsecs(0),
            reason: reason.to_owned(),
            by: caller.actor(),
        },
    };
    let shown = humantime::format_duration(within.to_std().unwrap_or_default());
    let change = Change {
        action: "guard.allow",
        subject: format!("{}/{}", state.name, allowed.place),
        detail: format!("for {shown}: {reason}"),
    };
    let work = async {
        knows(&state, &status(&services, &state).await?, &allowed.place)?;
        services.catalog.allow(&allowed).await?;
        let wanted = |data: &GuardedData| {
            let known = data.protection.allowance.as_ref();
            known.is_some_and(|known| known.until == allowed.allowance.until)
        };
        told(&services, &state, &allowed.place, wanted).await
    };
    let data = caller.change(&services, change, work).await?;
    Ok(GrantAllowanceResponse {
        data: Some(data.into()),
    })
}

pub async fn revoke(
    services: Arc<Services>,
    caller: Caller,
    request: RevokeAllowanceRequest,
) -> Result<RevokeAllowanceResponse, RpcError> {
    let state = host::named(&services, &request.host)?;
    let place = request.place;
    let change = Change {
        action: "guard.revoke",
        subject: format!("{}/{place}", state.name),
        detail: String::new(),
    };
    let work = async {
        if !services.catalog.disallow(&state.name, &place).await? {
            return Err(RpcError::new(
                Code::NotFound,
                format!("nothing is allowed for {}/{place}", state.name),
                format!("`ctl guard status {}` shows what is", state.name),
            ));
        }
        let wanted = |data: &GuardedData| data.protection.allowance.is_none();
        told(&services, &state, &place, wanted).await
    };
    let data = caller.change(&services, change, work).await?;
    Ok(RevokeAllowanceResponse {
        data: Some(data.into()),
    })
}

async fn status(services: &Services, state: &HostState) -> Result<GuardStatus, RpcError> {
    let spec = TaskSpec::AskGuard(AskGuard {});
    match ask(services, state, VERB, spec, ANSWERS_WITHIN).await? {
        TaskResult::GuardStatus(status) => Ok(status),
        _ => Err(wrong_result(state, VERB)),
    }
}

fn within(asked: Option<prost_types::Duration>) -> Result<TimeDelta, RpcError> {
    let asked = asked.and_then(|asked| Duration::try_from(asked).ok());
    let asked = asked.filter(|asked| !asked.is_zero() && *asked <= LONGEST);
    asked
        .and_then(|asked| TimeDelta::from_std(asked).ok())
        .ok_or_else(|| {
            RpcError::invalid("an allowance lasts for more than nothing and for a day at most")
        })
}

/// # Errors
/// With the places that it does know.
fn knows<'a>(
    state: &HostState,
    status: &'a GuardStatus,
    place: &str,
) -> Result<&'a GuardedData, RpcError> {
    let name = &state.name;
    let Some(process) = &status.process else {
        let (message, advice) = match status.installed {
            Some(false) => (
                format!("there is no guard on {name}, and nothing is refused there"),
                "to have one, on the host, as root: holdfast-agent guard install".to_owned(),
            ),
            _ => (
                status.troubles.join("; "),
                format!("see what is wrong there: ctl guard status {name}"),
            ),
        };
        return Err(RpcError::new(Code::FailedPrecondition, message, advice));
    };
    status.data_at(place).ok_or_else(|| {
        let places = process.data.iter().map(|data| &*data.protection.place);
        let places: Vec<_> = places.collect();
        RpcError::new(
            Code::NotFound,
            format!("the guard of {name} knows no data in {place}"),
            match places.as_slice() {
                [] => {
                    "it knows of no database at all, and refuses nothing because of one".to_owned()
                }
                places => format!("it knows of data in: {}", places.join(", ")),
            },
        )
    })
}

/// Waits until the guard itself, which decides, knows what the catalog says.
async fn told(
    services: &Services,
    state: &HostState,
    place: &str,
    wanted: impl Fn(&GuardedData) -> bool,
) -> Result<GuardedData, RpcError> {
    services.push.pass().await?;
    let until_it_knows = async {
        loop {
            let status = status(services, state).await?;
            let data = knows(state, &status, place)?;
            if wanted(data) {
                return Ok(data.clone());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    match tokio::time::timeout(KNOWN_WITHIN, until_it_knows).await {
        Ok(known) => known,
        Err(_) => Err(RpcError::new(
            Code::DeadlineExceeded,
            format!(
                "it is in the catalog, and the guard of {} does not know it after {}",
                state.name,
                humantime::format_duration(KNOWN_WITHIN)
            ),
            format!("see what is wrong there: ctl guard status {}", state.name),
        )),
    }
}
