//! Policies: compared, applied, exported, listed, and which of them covers a database.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_proto::{
    names::{DatabaseName, HostName},
    wire::{
        ApplyPoliciesRequest, ApplyPoliciesResponse, ComparePoliciesRequest,
        ComparePoliciesResponse, CoverageChange, ExportPoliciesRequest, ExportPoliciesResponse,
        GetCoverageRequest, GetCoverageResponse, GetHostPlanRequest, GetHostPlanResponse,
        ListPoliciesRequest, ListPoliciesResponse,
    },
};
use tonic::Code;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
};
use crate::{
    catalog::Applied,
    detect::HostFacts,
    fleet::nearest,
    policy::{
        PolicySet,
        compare::{self, Change as PolicyChange},
        cover, file,
    },
    rpc::convert::{policy_row, required, work_row},
    standing::{Standing, gather, stand},
};

/// How everything stands now.
pub async fn standing(services: &Services) -> Result<Standing, RpcError> {
    let gathered = gather(&services.catalog).await?;
    let hosts = HostFacts::of_fleet(&services.fleet);
    Ok(stand(&gathered, &hosts, services.clock.now()))
}

pub async fn compare(
    services: Arc<Services>,
    _: Caller,
    request: ComparePoliciesRequest,
) -> Result<ComparePoliciesResponse, RpcError> {
    let after = match file::read(&request.text) {
        Ok(set) => set,
        Err(mistakes) => {
            return Ok(ComparePoliciesResponse {
                mistakes: mistakes.into_iter().map(Into::into).collect(),
                ..ComparePoliciesResponse::default()
            });
        }
    };
    let standing = standing(&services).await?;
    let changes = compare::compare(&standing.set, &after);
    Ok(ComparePoliciesResponse {
        mistakes: Vec::new(),
        changes: changes.into_iter().map(Into::into).collect(),
        version: standing.version,
        coverage: coverage_changes(&standing, &after),
    })
}

pub async fn apply(
    services: Arc<Services>,
    caller: Caller,
    request: ApplyPoliciesRequest,
) -> Result<ApplyPoliciesResponse, RpcError> {
    let now = services.catalog.policies().await?;
    let read = file::read(&request.text);
    let changes = read.as_ref().map(|after| compare::compare(&now.set, after));
    let change = Change {
        action: "policy.apply",
        subject: "policies".to_owned(),
        detail: changes.as_deref().map(detail).unwrap_or_default(),
    };
    let changes = changes.clone().unwrap_or_default();
    if read.is_ok() && changes.is_empty() {
        return Ok(ApplyPoliciesResponse {
            changes: Vec::new(),
            version: now.version,
        });
    }
    let work = keep(&services, &caller, read, &now, request.version);
    let version = caller.change(&services, change, work).await?;
    Ok(ApplyPoliciesResponse {
        changes: changes.into_iter().map(Into::into).collect(),
        version,
    })
}

pub async fn export(
    services: Arc<Services>,
    _: Caller,
    _: ExportPoliciesRequest,
) -> Result<ExportPoliciesResponse, RpcError> {
    let Applied { version, set, .. } = services.catalog.policies().await?;
    let text = file::write(&set).map_err(|error| {
        RpcError::new(
            Code::Internal,
            format!("the policies could not be written as YAML: {error}"),
            "",
        )
    })?;
    Ok(ExportPoliciesResponse { text, version })
}

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    _: ListPoliciesRequest,
) -> Result<ListPoliciesResponse, RpcError> {
    let standing = standing(&services).await?;
    let mut covered: BTreeMap<&str, Vec<DatabaseName>> = BTreeMap::new();
    for database in &standing.databases {
        let of = covered.entry(&database.policy).or_default();
        of.push(database.subject.database.clone());
    }
    let policies = standing.set.all().map(|policy| {
        let databases = covered.remove(policy.name.as_str()).unwrap_or_default();
        policy_row(policy, databases)
    });
    let policies = policies.collect();
    let unprotected = standing.databases.iter().filter(|database| {
        let unprotected = database.unprotected();
        unprotected.is_some_and(|(_, by_choice)| !by_choice)
    });
    Ok(ListPoliciesResponse {
        policies,
        unprotected: unprotected
            .map(|d| d.subject.database.clone().into())
            .collect(),
    })
}

pub async fn coverage(
    services: Arc<Services>,
    _: Caller,
    request: GetCoverageRequest,
) -> Result<GetCoverageResponse, RpcError> {
    let name = DatabaseName::try_from(required(request.database, "database")?)?;
    let standing = standing(&services).await?;
    let database = standing
        .database(&name)
        .ok_or_else(|| unknown(&standing, &name))?;
    let policy = standing.set.named(&database.policy);
    Ok(GetCoverageResponse {
        database: Some(name.clone().into()),
        policy: policy.map(|policy| policy_row(policy, vec![name.clone()])),
        matches: database.matches.iter().cloned().map(Into::into).collect(),
        work: database
            .work
            .iter()
            .map(|decision| {
                let timing = database.plan().and_then(|plan| plan.timing(decision.work));
                work_row(timing, &database.runs, decision)
            })
            .collect(),
    })
}

pub async fn of_host(
    services: Arc<Services>,
    _: Caller,
    request: GetHostPlanRequest,
) -> Result<GetHostPlanResponse, RpcError> {
    let name: HostName = request.host.parse()?;
    // A mistyped one is told with the nearest.
    services.fleet.host(&name)?;
    let standing = standing(&services).await?;
    let host = standing.host(&name);
    let work = host.into_iter().flat_map(|host| {
        let decisions = host.work.iter();
        decisions.map(|decision| work_row(host.plan.timing(decision.work), &host.runs, decision))
    });
    Ok(GetHostPlanResponse {
        host: name.to_string(),
        rebuilt_on: host.map(|host| host.place.to_string()).unwrap_or_default(),
        has_backups: host.is_some_and(|host| host.since.is_some()),
        work: work.collect(),
    })
}

/// # Errors
/// When the database was never reported, with the nearest one that was.
pub fn known(standing: &Standing, name: &DatabaseName) -> Result<(), RpcError> {
    match standing.database(name) {
        Some(_) => Ok(()),
        None => Err(unknown(standing, name)),
    }
}

fn unknown(standing: &Standing, name: &DatabaseName) -> RpcError {
    let names = standing
        .databases
        .iter()
        .map(|d| d.subject.database.to_string());
    let (what, list) = match name.volume() {
        Some(_) => ("volume", "`ctl volume list` shows what there is"),
        None => ("database", "`ctl database list` shows what there is"),
    };
    let advice = match nearest(&name.to_string(), names) {
        Some(near) => format!("did you mean {near}? {list}"),
        None => list.to_owned(),
    };
    RpcError::new(
        Code::NotFound,
        format!("no host has reported a {what} {name}"),
        advice,
    )
}

async fn keep(
    services: &Services,
    caller: &Caller,
    read: Result<PolicySet, Vec<file::Mistake>>,
    now: &Applied,
    compared_with: u64,
) -> Result<u64, RpcError> {
    let set = read.map_err(|mistakes| {
        let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        RpcError::invalid(format!("the file has mistakes: {}", lines.join(" / ")))
    })?;
    let crossed = || {
        let advice = "look at what changed (ctl diff) and apply again";
        let message = "somebody else has applied policies meanwhile; nothing was changed";
        RpcError::new(Code::FailedPrecondition, message, advice)
    };
    if compared_with != 0 && compared_with != now.version {
        return Err(crossed());
    }
    let catalog = &services.catalog;
    let by = caller.actor();
    let applied = catalog.apply_policies(&set, now.version, &by, services.clock.now());
    applied.await?.ok_or_else(crossed)
}

fn detail(changes: &[PolicyChange]) -> String {
    let lines = changes.iter().map(|change| {
        let kind = match change.kind {
            compare::Kind::Added => "added",
            compare::Kind::Changed => "changed",
            compare::Kind::Removed => "removed",
        };
        format!("{kind} {}: {}", change.name, change.lines.join(", "))
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn coverage_changes(standing: &Standing, after: &PolicySet) -> Vec<CoverageChange> {
    let databases = standing.databases.iter();
    databases
        .filter_map(|database| {
            let to = cover(after, &database.subject).policy;
            let to = to.map(|policy| policy.name.as_str()).unwrap_or_default();
            (to != database.policy).then(|| CoverageChange {
                database: Some(database.subject.database.clone().into()),
                from_policy: database.policy.clone(),
                to_policy: to.to_owned(),
            })
        })
        .collect()
}
