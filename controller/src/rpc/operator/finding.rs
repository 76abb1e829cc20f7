//! Findings: list.

use std::sync::Arc;

use holdfast_proto::wire::{ListFindingsRequest, ListFindingsResponse};

use super::{RpcError, Services, caller::Caller};

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListFindingsRequest,
) -> Result<ListFindingsResponse, RpcError> {
    let findings = services.catalog.findings(request.include_closed).await?;
    Ok(ListFindingsResponse {
        findings: findings.into_iter().map(Into::into).collect(),
    })
}
