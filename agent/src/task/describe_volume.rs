//! What a preflight needs to know of a volume.

use std::path::{Path, PathBuf};

use holdfast_proto::task::{DescribeVolume, TaskFailure, VolumeFacts};

use super::Context;
use crate::{
    container::client::Connected,
    volume::{data, place::Place, users},
};

/// # Errors
/// When the container engine cannot be asked. A volume that is not there is an answer.
pub async fn run(spec: DescribeVolume, context: &Context) -> Result<VolumeFacts, TaskFailure> {
    let engine = context.containers.connected().await?;
    let Some(place) = Place::find(&engine, &spec.volume).await? else {
        return Ok(VolumeFacts {
            disk_free_bytes: free_for_new(&engine).await,
            ..VolumeFacts::default()
        });
    };
    let users = users::of(&engine, &place).await?;
    let out_of_reach = place.out_of_reach();
    let (databases, disk_free_bytes) = match out_of_reach {
        Some(_) => (Vec::new(), None),
        None => (data::directories(&place.path), free(&place.path)),
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

/// Where the engine would make one: whoever restores wants to know before.
async fn free_for_new(engine: &Connected) -> Option<u64> {
    let told = engine.docker.info().await.ok()?;
    let root = PathBuf::from(told.docker_root_dir?);
    free(&root.join("volumes")).or_else(|| free(&root))
}

fn free(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
