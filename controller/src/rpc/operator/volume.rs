//! Volumes: list, measure.

use std::{sync::Arc, time::Duration};

use holdfast_proto::{
    task::{MeasureVolume, TaskResult, TaskSpec},
    wire::{
        HostVolume, ListVolumesRequest, ListVolumesResponse, MeasureVolumeRequest,
        MeasureVolumeResponse,
    },
};

use super::{
    RpcError, Services,
    caller::Caller,
    host,
    task::{ask, wrong_result},
};
use crate::fleet::HostState;

/// A walk over tens of millions of files on slow disks ends within.
const MEASURED_WITHIN: Duration = Duration::from_secs(3600);

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListVolumesRequest,
) -> Result<ListVolumesResponse, RpcError> {
    let states = host::selected(&services, &request.host)?;
    let volumes = states.iter().flat_map(|state| shown(state)).collect();
    Ok(ListVolumesResponse { volumes })
}

pub async fn measure(
    services: Arc<Services>,
    _: Caller,
    request: MeasureVolumeRequest,
) -> Result<MeasureVolumeResponse, RpcError> {
    let state = host::named(&services, &request.host)?;
    let volume = state.volume(&request.volume)?.name.clone();
    let spec = TaskSpec::MeasureVolume(MeasureVolume { volume });
    match ask(&services, &state, "measure-volume", spec, MEASURED_WITHIN).await? {
        TaskResult::MeasuredVolume(measured) => Ok(MeasureVolumeResponse {
            bytes: measured.bytes,
            files: measured.files,
        }),
        _ => Err(wrong_result(&state, "measure-volume")),
    }
}

/// Of one host, by name.
fn shown(state: &HostState) -> Vec<HostVolume> {
    let row = |volume: &holdfast_proto::fleet::Volume| HostVolume {
        host: state.name.to_string(),
        volume: Some(volume.clone().into()),
    };
    state.report.volumes.values().map(row).collect()
}
