//! How the data of an instance, or in a volume, are: the host's agent looks at the files.

use std::{sync::Arc, time::Duration};

use holdfast_proto::{
    task::{TaskResult, TaskSpec, TriageData},
    wire::{TriageRequest, TriageResponse},
};

use super::{
    RpcError, Services,
    caller::Caller,
    host,
    task::{ask, wrong_result},
};

const VERB: &str = "triage-data";
/// Names and a few pages of a hundred thousand files on slow disks are read within.
const TRIAGED_WITHIN: Duration = Duration::from_mins(5);

pub async fn ask_for(
    services: Arc<Services>,
    _: Caller,
    request: TriageRequest,
) -> Result<TriageResponse, RpcError> {
    let state = host::named(&services, &request.host)?;
    let TriageRequest {
        host: _,
        instance,
        volume,
    } = request;
    match (instance.is_empty(), volume.is_empty()) {
        (false, true) => drop(state.instance(&instance)?),
        (true, false) => drop(state.volume(&volume)?),
        _ => return Err(RpcError::invalid("name either an instance or a volume")),
    }
    let shown = format!("{}/{instance}{volume}", state.name);
    let spec = TaskSpec::TriageData(TriageData {
        instance,
        volume,
        shown,
    });
    match ask(&services, &state, VERB, spec, TRIAGED_WITHIN).await? {
        TaskResult::TriagedData(triaged) => Ok(TriageResponse {
            directories: triaged.directories.into_iter().map(Into::into).collect(),
        }),
        _ => Err(wrong_result(&state, VERB)),
    }
}
