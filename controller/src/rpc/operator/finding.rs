//! Findings: list, get, explain.

use std::sync::Arc;

use holdfast_proto::wire::{
    ExplainFindingRequest, ExplainFindingResponse, GetFindingRequest, GetFindingResponse,
    ListFindingsRequest, ListFindingsResponse,
};
use tonic::Code;

use super::{RpcError, Services, caller::Caller};
use crate::detect::{Kind, kinds};

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

pub async fn get(
    services: Arc<Services>,
    _: Caller,
    request: GetFindingRequest,
) -> Result<GetFindingResponse, RpcError> {
    let finding = services.catalog.finding(request.id).await?;
    let finding = finding.ok_or_else(|| {
        RpcError::new(
            Code::NotFound,
            format!("there is no finding {}", request.id),
            "see which there are: ctl finding list --all",
        )
    })?;
    Ok(GetFindingResponse {
        finding: Some(finding.into()),
    })
}

pub async fn explain(
    _: Arc<Services>,
    _: Caller,
    request: ExplainFindingRequest,
) -> Result<ExplainFindingResponse, RpcError> {
    let kinds = kinds();
    let asked = |kind: &&Kind| {
        kind.code.eq_ignore_ascii_case(&request.kind)
            || kind.name.eq_ignore_ascii_case(&request.kind)
    };
    let kind = kinds.iter().find(asked).ok_or_else(|| {
        let all: Vec<_> = kinds
            .iter()
            .map(|kind| format!("{} {}", kind.code, kind.name))
            .collect();
        RpcError::new(
            Code::NotFound,
            format!("there is no kind of finding {:?}", request.kind),
            format!("there are:\n{}", all.join("\n")),
        )
    })?;
    Ok(ExplainFindingResponse {
        code: kind.code.to_owned(),
        kind: kind.name.to_owned(),
        page: kind.page.to_owned(),
    })
}
