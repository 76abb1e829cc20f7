//! The audit log: list, verify.

use std::sync::Arc;

use holdfast_proto::wire::{
    ListAuditRequest, ListAuditResponse, VerifyAuditRequest, VerifyAuditResponse,
};

use super::{RpcError, Services, caller::Caller};
use crate::rpc::convert::limit;

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListAuditRequest,
) -> Result<ListAuditResponse, RpcError> {
    let entries = services.catalog.list_audit(limit(request.limit)).await?;
    Ok(ListAuditResponse {
        entries: entries.into_iter().map(Into::into).collect(),
    })
}

pub async fn verify(
    services: Arc<Services>,
    _: Caller,
    _: VerifyAuditRequest,
) -> Result<VerifyAuditResponse, RpcError> {
    let verdict = services.catalog.verify_audit().await?;
    let broken = verdict.broken;
    Ok(VerifyAuditResponse {
        entries: verdict.entries,
        first_broken_sequence: broken.as_ref().map(|broken| broken.sequence),
        problem: broken.map_or_else(String::new, |broken| broken.problem),
    })
}
