//! User-count checks: set, remove, list, history.

use std::{collections::HashMap, sync::Arc, time::Duration};

use holdfast_proto::{
    check::CheckLimits,
    names::DatabaseName,
    wire::{
        self, GetCheckHistoryRequest, GetCheckHistoryResponse, ListChecksRequest,
        ListChecksResponse, RemoveCheckRequest, RemoveCheckResponse, SetCheckRequest,
        SetCheckResponse,
    },
};
use tonic::Code;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
};
use crate::{
    check::{self, Check, CheckState, NewCheck},
    fleet::{LookupError, nearest},
    rpc::convert::{limit, positive, required},
};

const DEFAULT_EVERY: Duration = Duration::from_secs(60);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

pub async fn set(
    services: Arc<Services>,
    caller: Caller,
    request: SetCheckRequest,
) -> Result<SetCheckResponse, RpcError> {
    let new = read(required(request.check, "check")?)?;
    let change = about("check.set", &new.database, &new.name);
    let work = keep(&services, &caller, new);
    let (state, replaced) = caller.change(&services, change, work).await?;
    Ok(SetCheckResponse {
        check: Some(state.into()),
        replaced,
    })
}

pub async fn remove(
    services: Arc<Services>,
    caller: Caller,
    request: RemoveCheckRequest,
) -> Result<RemoveCheckResponse, RpcError> {
    let database = DatabaseName::try_from(required(request.database, "database")?)?;
    let change = about("check.remove", &database, &request.name);
    let work = async {
        let check = named(&services, &database, &request.name).await?;
        services
            .catalog
            .remove_check(&database, &check.name)
            .await?;
        services.push.host(&database.host).await?;
        Ok(())
    };
    caller.change(&services, change, work).await?;
    Ok(RemoveCheckResponse {})
}

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    _: ListChecksRequest,
) -> Result<ListChecksResponse, RpcError> {
    let checks = services.catalog.checks().await?;
    let mut last: HashMap<_, _> = services
        .catalog
        .last_check_runs()
        .await?
        .into_iter()
        .collect();
    let states = checks.into_iter().map(|check| CheckState {
        last: last.remove(&check.id),
        check,
    });
    Ok(ListChecksResponse {
        checks: states.map(Into::into).collect(),
    })
}

pub async fn history(
    services: Arc<Services>,
    _: Caller,
    request: GetCheckHistoryRequest,
) -> Result<GetCheckHistoryResponse, RpcError> {
    let database = DatabaseName::try_from(required(request.database, "database")?)?;
    let check = named(&services, &database, &request.name).await?;
    let runs = services
        .catalog
        .check_runs(check.id, limit(request.limit))
        .await?;
    let last = runs.first().cloned();
    Ok(GetCheckHistoryResponse {
        check: Some(CheckState { check, last }.into()),
        runs: runs.into_iter().map(Into::into).collect(),
    })
}

async fn keep(
    services: &Services,
    caller: &Caller,
    new: NewCheck,
) -> Result<(CheckState, bool), RpcError> {
    let host = services.fleet.host(&new.database.host)?;
    // Whether the database is there the first run says: a report is some seconds old.
    host.instance(&new.database.instance)?;
    let unreported = host.holding(&new.database).err();
    let by = caller.actor();
    let set = check::set(&services.catalog, &*services.dispatch, new, &by).await;
    let set = set.map_err(|error| perhaps_mistyped(error.into(), unreported))?;
    services.push.host(&host.name).await?;
    Ok(set)
}

/// What does not run on a database that nobody has seen is most likely mistyped.
fn perhaps_mistyped(error: RpcError, unreported: Option<LookupError>) -> RpcError {
    match unreported {
        Some(
            unknown @ LookupError::Database {
                nearest: Some(_), ..
            },
        ) if error.code == Code::FailedPrecondition => RpcError {
            advice: unknown.advice(),
            ..error
        },
        _ => error,
    }
}

async fn named(
    services: &Services,
    database: &DatabaseName,
    name: &str,
) -> Result<Check, RpcError> {
    let checks = services.catalog.checks_of(database).await?;
    if let Some(check) = checks.iter().find(|check| check.name == name) {
        return Ok(check.clone());
    }
    let advice = match nearest(name, checks.iter().map(|check| &check.name)) {
        Some(near) => format!("did you mean {near}? `ctl check list` shows what there is"),
        None => "`ctl check list` shows what there is".to_owned(),
    };
    let message = format!("there is no check {name:?} on {database}");
    Err(RpcError::new(Code::NotFound, message, advice))
}

fn read(check: wire::Check) -> Result<NewCheck, RpcError> {
    let wire::Check {
        id: _,
        database,
        name,
        count_sql,
        newest_sql,
        limits,
        every,
        timeout,
        last: _,
    } = check;
    let limits = limits.unwrap_or_default();
    let max_age = limits.max_age.map(|age| positive(age, "limits.max_age"));
    Ok(NewCheck {
        database: DatabaseName::try_from(required(database, "check.database")?)?,
        name,
        count_sql,
        newest_sql,
        limits: CheckLimits {
            min: limits.min,
            max: limits.max,
            max_drop_percent: limits.max_drop_percent,
            max_age: max_age.transpose()?,
        },
        every: every.map_or(Ok(DEFAULT_EVERY), |every| positive(every, "every"))?,
        timeout: timeout.map_or(Ok(DEFAULT_TIMEOUT), |timeout| positive(timeout, "timeout"))?,
    })
}

fn about(action: &'static str, database: &DatabaseName, name: &str) -> Change {
    Change {
        action,
        subject: format!("{database} {name}"),
        detail: String::new(),
    }
}
