//! Repositories: list, check, measure, prune, and the key for the day when all else is lost.

use std::sync::Arc;

use holdfast_chassis::telemetry;
use holdfast_proto::{
    names::HostName,
    wire::{
        CheckRepositoryRequest, CheckRepositoryResponse, ExportRepositoryKeyRequest,
        ExportRepositoryKeyResponse, GetRepositoryStatsRequest, GetRepositoryStatsResponse,
        ListRepositoriesRequest, ListRepositoriesResponse, PruneRepositoryRequest,
        PruneRepositoryResponse, Repository, RepositorySeries,
    },
};
use holdfast_repository::Depth;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
};
use crate::{
    catalog::RepositoryRow,
    job::{JobId, JobSpec, PruneRepository, prune_repository::remove::due},
    repository::RepositoriesError,
    rpc::convert::{retention_row, time},
    standing::{gather, retain},
};

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    _: ListRepositoriesRequest,
) -> Result<ListRepositoriesResponse, RpcError> {
    Ok(ListRepositoriesResponse {
        repositories: all(&services).await?,
    })
}

pub async fn check(
    services: Arc<Services>,
    _: Caller,
    request: CheckRepositoryRequest,
) -> Result<CheckRepositoryResponse, RpcError> {
    let percent = request.read_data_percent;
    if !(0.0..=100.0).contains(&percent) {
        return Err(RpcError::invalid(format!(
            "{percent} is no part of the data: 0 to 100 percent"
        )));
    }
    let depth = if percent == 0.0 {
        Depth::Structure
    } else {
        Depth::Data { percent }
    };
    let repository = services
        .repositories
        .repository(&request.host.parse()?)
        .await?;
    let found = repository.check(depth).await;
    let found = found.map_err(RepositoriesError::from)?;
    Ok(CheckRepositoryResponse {
        errors: found.errors,
        warnings: found.warnings,
    })
}

pub async fn stats(
    services: Arc<Services>,
    _: Caller,
    request: GetRepositoryStatsRequest,
) -> Result<GetRepositoryStatsResponse, RpcError> {
    let repository = services
        .repositories
        .repository(&request.host.parse()?)
        .await?;
    let stats = repository.stats().await.map_err(RepositoriesError::from)?;
    let series = stats
        .series
        .into_iter()
        .map(|(label, series)| RepositorySeries {
            label,
            snapshots: series.snapshots,
            logical_bytes: series.logical_bytes,
            added_bytes: series.added_bytes,
        });
    Ok(GetRepositoryStatsResponse {
        location: repository.location(),
        stored_bytes: stats.stored_bytes,
        objects: stats.objects,
        series: series.collect(),
    })
}

pub async fn prune(
    services: Arc<Services>,
    caller: Caller,
    request: PruneRepositoryRequest,
) -> Result<PruneRepositoryResponse, RpcError> {
    let host: HostName = request.host.parse()?;
    services.repositories.house(&host).await?;
    let now = services.clock.now();
    let going = due(retain(&gather(&services.catalog).await?, now), &host, now);
    let lines = going
        .into_iter()
        .map(|(backup, decision, policy)| retention_row(backup, &decision, policy));
    let lines = lines.collect();
    let job = if request.dry_run {
        0
    } else {
        start_pruning(&services, &caller, host).await?
    };
    Ok(PruneRepositoryResponse { job, lines })
}

async fn start_pruning(
    services: &Services,
    caller: &Caller,
    host: HostName,
) -> Result<JobId, RpcError> {
    let change = Change {
        action: "job.prune",
        subject: host.to_string(),
        detail: String::new(),
    };
    let work = async {
        let (by, traceparent) = (caller.actor(), telemetry::current_traceparent());
        let spec = JobSpec::PruneRepository(PruneRepository { host });
        Ok(services.jobs.submit(spec, &by, &traceparent).await?)
    };
    caller.change(services, change, work).await
}

pub async fn export_key(
    services: Arc<Services>,
    caller: Caller,
    _: ExportRepositoryKeyRequest,
) -> Result<ExportRepositoryKeyResponse, RpcError> {
    let change = Change {
        action: "repository.export-key",
        subject: String::new(),
        detail: String::new(),
    };
    let export = async {
        Ok(ExportRepositoryKeyResponse {
            recovery_password: services.repositories.vault().recovery_password().to_owned(),
            repositories: all(&services).await?,
        })
    };
    caller.change(&services, change, export).await
}

async fn all(services: &Services) -> Result<Vec<Repository>, RpcError> {
    let rows = services.repositories.list().await?;
    Ok(rows.into_iter().map(shown).collect())
}

fn shown(row: RepositoryRow) -> Repository {
    Repository {
        host: row.host.to_string(),
        location: row.location,
        created_at: time(row.created_at),
        ready: row.ready_at.is_some(),
    }
}
