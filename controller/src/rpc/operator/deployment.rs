//! Before and after a compose project is deployed: its volumes, its data, its user counts.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::join_all;
use holdfast_proto::{
    check::{CheckOutcome, CheckVerdict},
    names::HostName,
    wire::{
        CompareDeploymentRequest, CompareDeploymentResponse, RecordDeploymentRequest,
        RecordDeploymentResponse,
    },
};
use tonic::Code;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
};
use crate::{
    check::{Check, CheckRun, judge, run_once},
    deployment::{DeployedCount, Deployment, compare as lines_of, picture},
    detect::HostFacts,
    policy::subjects,
};

pub async fn record(
    services: Arc<Services>,
    caller: Caller,
    request: RecordDeploymentRequest,
) -> Result<RecordDeploymentResponse, RpcError> {
    let change = Change {
        action: "deployment.record",
        subject: request.project.clone(),
        detail: request.host.clone(),
    };
    let work = async {
        let host = on(&request.host)?;
        let deployment = look(&services, &request.project, host.as_ref(), None).await?;
        let (by, now) = (caller.actor(), services.clock.now());
        services
            .catalog
            .add_deployment(&deployment, &by, now)
            .await?;
        Ok(deployment)
    };
    let deployment = caller.change(&services, change, work).await?;
    Ok(RecordDeploymentResponse {
        deployment: Some(deployment.into()),
    })
}

pub async fn compare(
    services: Arc<Services>,
    _: Caller,
    request: CompareDeploymentRequest,
) -> Result<CompareDeploymentResponse, RpcError> {
    let (project, host) = (&request.project, on(&request.host)?);
    let before = services
        .catalog
        .last_deployment(project, host.as_ref())
        .await?;
    let before = before.ok_or_else(|| {
        RpcError::new(
            Code::NotFound,
            format!("nothing was noted of project {project:?} before it was deployed"),
            format!("before the next deployment: ctl backup before-deploy --project {project}"),
        )
    })?;
    let now = look(&services, project, host.as_ref(), Some(&before)).await?;
    let lines = lines_of(&before, &now);
    Ok(CompareDeploymentResponse {
        before: Some(before.into()),
        now: Some(now.into()),
        lines: lines.into_iter().map(Into::into).collect(),
    })
}

fn on(host: &str) -> Result<Option<HostName>, RpcError> {
    match host {
        "" => Ok(None),
        host => Ok(Some(host.parse()?)),
    }
}

/// A fall of a count is measured from what it was `before`, or from the check's last run that was ok.
async fn look(
    services: &Services,
    project: &str,
    host: Option<&HostName>,
    before: Option<&Deployment>,
) -> Result<Deployment, RpcError> {
    let hosts = HostFacts::of_fleet(&services.fleet);
    let found = picture(project, host, &hosts, services.clock.now());
    let mut deployment = match (found, before) {
        (Some(found), _) => found,
        // Everything of it is gone, which is for the comparison to say.
        (None, Some(before)) => nothing_of(before, services.clock.now()),
        (None, None) => {
            return Err(RpcError::new(
                Code::NotFound,
                format!("no container is of a compose project {project:?}"),
                "`ctl container list` shows what there is",
            ));
        }
    };
    let wanted = subjects(&hosts).into_iter().filter(|subject| {
        subject.project == project && host.is_none_or(|host| subject.database.host == *host)
    });
    let mut checks = Vec::new();
    for subject in wanted {
        checks.extend(services.catalog.checks_of(&subject.database).await?);
    }
    let counts = join_all(
        checks
            .into_iter()
            .map(|check| count(services, check, before)),
    )
    .await;
    deployment.counts = counts.into_iter().collect::<Result<_, RpcError>>()?;
    Ok(deployment)
}

fn nothing_of(before: &Deployment, at: DateTime<Utc>) -> Deployment {
    Deployment {
        at,
        volumes: Vec::new(),
        data: Vec::new(),
        counts: Vec::new(),
        ..before.clone()
    }
}

async fn count(
    services: &Services,
    check: Check,
    before: Option<&Deployment>,
) -> Result<DeployedCount, RpcError> {
    let was = before.and_then(|before| {
        let mut counts = before.counts.iter();
        let own = counts.find(|c| c.database == check.database && c.check == check.name);
        own.filter(|own| own.verdict == CheckVerdict::Ok)
    });
    let last_ok = match was {
        Some(was) => Some(was.outcome.clone()),
        None => services.catalog.last_ok_outcome(check.id).await?,
    };
    let asked = run_once(&*services.dispatch, &check).await;
    let now = services.clock.now();
    let outcome = asked.unwrap_or_else(|error| CheckOutcome {
        at: now,
        count: None,
        newest: None,
        error: holdfast_chassis::telemetry::Chain(&error).to_string(),
    });
    let asks_newest = !check.newest_sql.is_empty();
    let judged = judge(&check.limits, asks_newest, last_ok.as_ref(), &outcome, now);
    let run = CheckRun {
        outcome,
        verdict: judged.verdict,
        reasons: judged.reasons.iter().map(ToString::to_string).collect(),
    };
    Ok(DeployedCount::of(check.database, check.name, run))
}
