//! Volumes: list, measure.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_proto::{
    fleet::Volume,
    names::VolumeName,
    task::{MeasureVolume, TaskResult, TaskSpec},
    wire::{
        HostVolume, ListVolumesRequest, ListVolumesResponse, MeasureVolumeRequest,
        MeasureVolumeResponse,
    },
};

use super::{
    RpcError, Services,
    caller::Caller,
    host, policy,
    task::{ask, wrong_result},
};
use crate::{
    fleet::HostState,
    rpc::convert::{time, volume_care},
    standing::{Care, Standing},
};

/// A walk over tens of millions of files on slow disks ends within.
const MEASURED_WITHIN: Duration = Duration::from_secs(3600);

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListVolumesRequest,
) -> Result<ListVolumesResponse, RpcError> {
    let states = host::selected(&services, &request.host)?;
    let standing = policy::standing(&services).await?;
    let now = services.clock.now();
    let volumes = states.iter().flat_map(|state| shown(state, &standing, now));
    let volumes = volumes.collect();
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
fn shown(state: &HostState, standing: &Standing, now: DateTime<Utc>) -> Vec<HostVolume> {
    let row = |volume: &Volume| {
        let name = VolumeName {
            host: state.name.clone(),
            volume: volume.name.clone(),
        };
        let own = standing.database(&name.clone().into());
        let newest = own.and_then(|own| own.good_backups(now).first().map(|one| one.taken_at));
        HostVolume {
            host: state.name.to_string(),
            volume: Some(volume.clone().into()),
            care: volume_care(standing.care(&name, volume)).into(),
            policy: own.map(|own| own.policy.clone()).unwrap_or_default(),
            holds: own.map(|own| own.subject.holds.clone()).unwrap_or_default(),
            last_backup_at: newest.and_then(time),
        }
    };
    state.report.volumes.values().map(row).collect()
}

/// Those that no policy covers, and no database in them protects.
pub fn uncovered(states: &[Arc<HostState>], standing: &Standing) -> u64 {
    let alone = |state: &Arc<HostState>| {
        let volumes = state.report.volumes.values().filter(|volume| {
            let name = VolumeName {
                host: state.name.clone(),
                volume: volume.name.clone(),
            };
            standing.care(&name, volume) == Care::Nobody
        });
        volumes.count() as u64
    };
    states.iter().map(alone).sum()
}
