//! Jobs: list, get, watch, cancel, undo.

use std::sync::Arc;

use futures::StreamExt;
use holdfast_proto::wire::{
    CancelJobRequest, CancelJobResponse, GetJobRequest, GetJobResponse, ListJobsRequest,
    ListJobsResponse, UndoJobRequest, UndoJobResponse, WatchJobRequest,
};
use tonic::Status;

use super::{
    RpcError, Services, Updates,
    caller::{Caller, Change},
};

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListJobsRequest,
) -> Result<ListJobsResponse, RpcError> {
    // The engine knows the defaults of the limit.
    let jobs = services
        .jobs
        .list(request.limit, request.active_only)
        .await?;
    Ok(ListJobsResponse {
        jobs: jobs.into_iter().map(Into::into).collect(),
    })
}

pub async fn get(
    services: Arc<Services>,
    _: Caller,
    request: GetJobRequest,
) -> Result<GetJobResponse, RpcError> {
    Ok(services.jobs.get(request.id).await?.into())
}

pub async fn watch(
    services: Arc<Services>,
    _: Caller,
    request: WatchJobRequest,
) -> Result<Updates, RpcError> {
    let watched = services.jobs.watch(request.id, request.after_sequence);
    let updates = watched.await?.map(|update| match update {
        Ok(update) => Ok(update.into()),
        Err(error) => Err(Status::from(RpcError::from(error))),
    });
    Ok(updates.boxed())
}

pub async fn cancel(
    services: Arc<Services>,
    caller: Caller,
    request: CancelJobRequest,
) -> Result<CancelJobResponse, RpcError> {
    let by = caller.actor();
    let change = about("job.cancel", request.id);
    let work = async { Ok(services.jobs.cancel(request.id, &by).await?) };
    let job = caller.change(&services, change, work).await?;
    Ok(CancelJobResponse {
        job: Some(job.into()),
    })
}

pub async fn undo(
    services: Arc<Services>,
    caller: Caller,
    request: UndoJobRequest,
) -> Result<UndoJobResponse, RpcError> {
    let by = caller.actor();
    let change = about("job.undo", request.id);
    let work = async { Ok(services.jobs.undo(request.id, &by).await?) };
    let job = caller.change(&services, change, work).await?;
    Ok(UndoJobResponse {
        job: Some(job.into()),
    })
}

fn about(action: &'static str, id: u64) -> Change {
    Change {
        action,
        subject: format!("job/{id}"),
        detail: String::new(),
    }
}
