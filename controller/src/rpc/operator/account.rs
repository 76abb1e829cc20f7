//! Operators themselves: who am I, renew, invite, list, remove.

use std::sync::Arc;

use holdfast_proto::{
    names::OperatorName,
    wire::{
        InviteOperatorRequest, InviteOperatorResponse, ListOperatorsRequest, ListOperatorsResponse,
        RemoveOperatorRequest, RemoveOperatorResponse, RenewCertificateRequest,
        RenewCertificateResponse, WhoAmIRequest, WhoAmIResponse,
    },
};

use super::{RpcError, Services, caller::Caller};
use crate::rpc::convert::{operator_role, role, time};

pub async fn who_am_i(
    services: Arc<Services>,
    caller: Caller,
    _: WhoAmIRequest,
) -> Result<WhoAmIResponse, RpcError> {
    let operators = services.registrar.operators().await?;
    let own = operators.into_iter().find(|o| o.name == caller.name);
    Ok(WhoAmIResponse {
        name: caller.name,
        role: operator_role(caller.role).into(),
        certificate_expires_at: own.and_then(|own| time(own.certificate_expires_at)),
        controller_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

pub async fn renew(
    services: Arc<Services>,
    caller: Caller,
    request: RenewCertificateRequest,
) -> Result<RenewCertificateResponse, RpcError> {
    let renewed = services.registrar.renew(&caller.peer, &request.csr).await;
    Ok(RenewCertificateResponse {
        certificate_chain: renewed?,
    })
}

pub async fn invite(
    services: Arc<Services>,
    caller: Caller,
    request: InviteOperatorRequest,
) -> Result<InviteOperatorResponse, RpcError> {
    let name: OperatorName = request.name.parse()?;
    let role = role(request.role())?;
    let address = Some(request.controller_address.as_str()).filter(|a| !a.is_empty());
    let (registrar, by) = (&services.registrar, caller.actor());
    let invited = registrar.invite_operator(&name, role, address, &by).await;
    let invitation = invited?;
    Ok(InviteOperatorResponse {
        command: invitation.command,
        expires_at: time(invitation.expires_at),
    })
}

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    _: ListOperatorsRequest,
) -> Result<ListOperatorsResponse, RpcError> {
    let operators = services.registrar.operators().await?;
    Ok(ListOperatorsResponse {
        operators: operators.into_iter().map(Into::into).collect(),
    })
}

pub async fn remove(
    services: Arc<Services>,
    caller: Caller,
    request: RemoveOperatorRequest,
) -> Result<RemoveOperatorResponse, RpcError> {
    let name: OperatorName = request.name.parse()?;
    let registrar = &services.registrar;
    let removed = registrar.remove_operator(&name, &caller.actor()).await?;
    Ok(RemoveOperatorResponse {
        revoked_certificates: removed.revoked_certificates,
    })
}
