//! What a preflight needs to know of a volume.

use holdfast_proto::task::{DescribeVolume, TaskFailure, VolumeFacts};

use super::Context;
use crate::volume::{data, place::Place, users};

/// # Errors
/// When the container engine cannot be asked. A volume that is not there is an answer.
pub async fn run(spec: DescribeVolume, context: &Context) -> Result<VolumeFacts, TaskFailure> {
    let engine = context.containers.connected().await?;
    let Some(place) = Place::find(&engine, &spec.volume).await? else {
        return Ok(VolumeFacts::default());
    };
    let users = users::of(&engine, &place).await?;
    let out_of_reach = place.out_of_reach();
    let (databases, disk_free_bytes) = match out_of_reach {
        Some(_) => (Vec::new(), None),
        None => (data::directories(&place.path), free(&place)),
    };
    Ok(VolumeFacts {
        exists: true,
        made_by: place.made_by(),
        driver: place.driver,
        out_of_reach: out_of_reach.unwrap_or_default(),
        users: users.into_iter().map(Into::into).collect(),
        databases,
        disk_free_bytes,
    })
}

fn free(place: &Place) -> Option<u64> {
    let disk = rustix::fs::statvfs(&place.path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
