//! `ctl status`: the fleet on one screen.

use std::sync::Arc;

use holdfast_proto::wire::{GetStatusRequest, GetStatusResponse};

use super::{RpcError, Services, caller::Caller, host, instance, policy, volume};
use crate::{fleet::HostState, rpc::convert::time};

/// Jobs shown at most; more run at once nowhere.
const JOBS: u32 = 1000;

pub async fn get(
    services: Arc<Services>,
    _: Caller,
    _: GetStatusRequest,
) -> Result<GetStatusResponse, RpcError> {
    let states = services.fleet.hosts();
    let standing = policy::standing(&services).await?;
    let counted = |by_choice: bool| {
        let choices = standing
            .databases
            .iter()
            .filter_map(|database| database.unprotected());
        choices.filter(|(_, chosen)| *chosen == by_choice).count() as u64
    };
    let (unprotected, unprotected_by_choice) = (counted(false), counted(true));
    let (hosts, findings, jobs) = tokio::try_join!(
        host::shown(&services),
        async { Ok(services.catalog.findings(false).await?) },
        async { Ok(services.jobs.list(JOBS, true).await?) },
    )?;
    Ok(GetStatusResponse {
        hosts,
        instances: states.iter().flat_map(|s| instance::shown(s)).collect(),
        findings: findings.into_iter().map(Into::into).collect(),
        jobs: jobs.into_iter().map(Into::into).collect(),
        containers: sum(&states, |s| s.report.containers.len()),
        volumes: sum(&states, |s| s.report.volumes.len()),
        databases: sum(&states, databases),
        now: time(services.clock.now()),
        unprotected,
        unprotected_by_choice,
        volumes_without_policy: volume::uncovered(&states, &standing),
    })
}

fn sum(states: &[Arc<HostState>], of: impl Fn(&HostState) -> usize) -> u64 {
    states.iter().map(|state| of(state) as u64).sum()
}

/// Those that people made: templates are none of them.
fn databases(state: &HostState) -> usize {
    let healths = state
        .report
        .instances
        .values()
        .filter_map(|i| i.health.as_ref());
    let databases = healths.flat_map(|health| &health.databases);
    databases.filter(|database| !database.is_template).count()
}
