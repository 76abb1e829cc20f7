//! Targets and what was measured.

use std::sync::Arc;

use holdfast_proto::{
    names::DatabaseName,
    wire::{ListObjectivesRequest, ListObjectivesResponse},
};

use super::{RpcError, Services, caller::Caller, policy};
use crate::rpc::convert::objective_row;

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListObjectivesRequest,
) -> Result<ListObjectivesResponse, RpcError> {
    let wanted = request.database.map(DatabaseName::try_from).transpose()?;
    let standing = policy::standing(&services).await?;
    if let Some(name) = &wanted {
        policy::known(&standing, name)?;
    }
    let now = services.clock.now();
    let of = |name: &DatabaseName| wanted.as_ref().is_none_or(|wanted| wanted == name);
    let databases = standing
        .databases
        .iter()
        .filter(|d| of(&d.subject.database));
    Ok(ListObjectivesResponse {
        objectives: databases
            .flat_map(|database| {
                let objectives = database.objectives(now).into_iter();
                objectives.map(move |objective| objective_row(database, objective))
            })
            .collect(),
    })
}
