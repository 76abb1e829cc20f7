//! What retention would do now.

use std::sync::Arc;

use holdfast_proto::{
    names::DatabaseName,
    wire::{PreviewRetentionRequest, PreviewRetentionResponse},
};
use tonic::Code;

use super::{RpcError, Services, caller::Caller};
use crate::{
    rpc::convert::retention_row,
    standing::{gather, retain},
};

pub async fn preview(
    services: Arc<Services>,
    _: Caller,
    request: PreviewRetentionRequest,
) -> Result<PreviewRetentionResponse, RpcError> {
    let wanted = request.database.map(DatabaseName::try_from).transpose()?;
    let gathered = gather(&services.catalog).await?;
    let mut lines = retain(&gathered, services.clock.now());
    if let Some(name) = &wanted {
        lines.retain(|(backup, ..)| backup.database == *name);
        let known = gathered
            .known
            .iter()
            .any(|known| known.subject.database == *name);
        if lines.is_empty() && !known {
            let (what, list) = match name.volume() {
                Some(_) => ("volume", "`ctl volume list` shows what there is"),
                None => ("database", "`ctl database list` shows what there is"),
            };
            let message = format!("there is neither a {what} {name} nor a backup of one");
            return Err(RpcError::new(Code::NotFound, message, list));
        }
    }
    Ok(PreviewRetentionResponse {
        lines: lines
            .into_iter()
            .map(|(backup, decision, policy)| retention_row(backup, &decision, policy))
            .collect(),
    })
}
