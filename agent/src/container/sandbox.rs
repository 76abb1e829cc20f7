//! Throwaway servers of jobs: containers without network, limited, labelled with the job, removed with it.
//!
//! The label is the only thing that says whose a container is: what does not wear exactly the job's label is
//! neither joined nor removed. Everything that the server writes is in its own layer and in volumes that wear the
//! label too, so that removing by the label leaves nothing.

use std::collections::{BTreeMap, HashMap};

use bollard::{
    models::{
        ContainerCreateBody, ContainerInspectResponse, HostConfig, ImageInspect, Mount, MountType,
        MountVolumeOptions, Volume,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
        ListImagesOptions, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
        RemoveVolumeOptions, StartContainerOptions,
    },
};
use holdfast_proto::task::{FailureKind, SandboxLimits, TaskFailure};

use super::{EngineError, client::Connected};

/// On containers and volumes: the number of the job that made them.
pub const LABEL: &str = "io.holdfast.sandbox";

/// Of 1024, which every other container has: when processors are short, it waits.
const CPU_WEIGHT: i64 = 128;
/// Processes at once; a server with some hundred connections.
const MOST_PROCESSES: i64 = 1024;

/// What a sandbox is made from.
#[derive(Debug, Clone)]
pub struct Plan {
    pub job: u64,
    /// Of several that the job has; 0: its only one.
    pub part: u32,
    /// In the engine's store.
    pub image: ImageInspect,
    pub environment: Vec<String>,
    /// Program and arguments; empty: the image's own.
    pub command: Vec<String>,
    pub limits: SandboxLimits,
}

/// Whether a container or volume with these labels is some job's.
#[must_use]
pub fn is_one(labels: &BTreeMap<String, String>) -> bool {
    labels.contains_key(LABEL)
}

/// The name of its container, and of the instance in it.
#[must_use]
pub fn name(job: u64, part: u32) -> String {
    match part {
        0 => format!("holdfast-sandbox-{job}"),
        part => format!("holdfast-sandbox-{job}-{part}"),
    }
}

/// The image by content, else by name; none when the store does not hold it.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn find_image(
    engine: &Connected,
    reference: &str,
    digest: &str,
) -> Result<Option<ImageInspect>, EngineError> {
    let explain = |on: &str, error| engine.explain("looking for image", on, error);
    let wanted = if digest.is_empty() {
        reference.to_owned()
    } else {
        let listed = engine.docker.list_images(None::<ListImagesOptions>).await;
        let listed = listed.map_err(|error| explain(digest, error))?;
        let by_digest = |pulled: &String| pulled.split('@').nth(1) == Some(digest);
        let found = listed
            .into_iter()
            .find(|image| image.id == digest || image.repo_digests.iter().any(by_digest));
        match found {
            Some(image) => image.id,
            None => return Ok(None),
        }
    };
    match engine.docker.inspect_image(&wanted).await {
        Ok(image) => Ok(Some(image)),
        Err(error) => match explain(&wanted, error) {
            gone if gone.is_not_found() => Ok(None),
            error => Err(error),
        },
    }
}

/// Starts it, or joins the one that this job has started. Gives the container's id.
///
/// # Errors
/// `Conflict` when a container of that name is not this job's; what the engine says.
pub async fn start(engine: &Connected, plan: &Plan) -> Result<String, TaskFailure> {
    let name = name(plan.job, plan.part);
    let standing = inspect(engine, &name).await?;
    if let Some(standing) = standing {
        if !is_of(standing.config.and_then(|config| config.labels), plan.job) {
            return Err(not_ours(&name, plan.job));
        }
        let running = standing.state.and_then(|state| state.running);
        if running == Some(true) {
            return Ok(standing.id.unwrap_or(name));
        }
        // It ended, or an agent died between making and starting it: what it holds is worth nothing.
        remove_container(engine, &standing.id.unwrap_or(name.clone())).await?;
    }
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    let created = engine
        .docker
        .create_container(Some(options), body(plan))
        .await
        .map_err(|error| engine.explain("creating container", &name, error))?;
    engine
        .docker
        .start_container(&created.id, None::<StartContainerOptions>)
        .await
        .map_err(|error| engine.explain("starting container", &name, error))?;
    Ok(created.id)
}

/// Removes every container and volume that wears the job's label; whether there was one.
///
/// # Errors
/// `Conflict` when the name is another's; what the engine says.
pub async fn remove(engine: &Connected, job: u64) -> Result<bool, TaskFailure> {
    let only = name(job, 0);
    let named = inspect(engine, &only).await?;
    if let Some(standing) = &named {
        let labels = standing.config.clone().and_then(|config| config.labels);
        if !is_of(labels, job) {
            return Err(not_ours(&only, job));
        }
    }
    let filter = HashMap::from([("label".to_owned(), vec![format!("{LABEL}={job}")])]);
    let mut existed = false;
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&filter)
        .build();
    let listed = engine.docker.list_containers(Some(options)).await;
    let listed = listed.map_err(|error| engine.explain("listing containers", "", error))?;
    for id in listed.into_iter().filter_map(|container| container.id) {
        existed = true;
        remove_container(engine, &id).await?;
    }
    for volume in volumes(engine, &filter).await? {
        existed = true;
        let removed = engine
            .docker
            .remove_volume(&volume.name, None::<RemoveVolumeOptions>)
            .await;
        gone(removed.map_err(|error| engine.explain("removing volume", &volume.name, error)))?;
    }
    Ok(existed)
}

/// With the volumes that have no name of their own.
async fn remove_container(engine: &Connected, id: &str) -> Result<(), EngineError> {
    let options = RemoveContainerOptionsBuilder::default()
        .v(true)
        .force(true)
        .build();
    let removed = engine.docker.remove_container(id, Some(options)).await;
    gone(removed.map_err(|error| engine.explain("removing container", id, error)))
}

/// Whether the container has ended, which one that serves never does.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn has_ended(engine: &Connected, id: &str) -> Result<bool, EngineError> {
    let standing = inspect(engine, id).await?;
    let state = standing.and_then(|standing| standing.state);
    Ok(state.and_then(|state| state.running) != Some(true))
}

async fn volumes(
    engine: &Connected,
    filter: &HashMap<String, Vec<String>>,
) -> Result<Vec<Volume>, EngineError> {
    let options = ListVolumesOptionsBuilder::default().filters(filter).build();
    let listed = engine.docker.list_volumes(Some(options)).await;
    let listed = listed.map_err(|error| engine.explain("listing volumes", "", error))?;
    Ok(listed.volumes.unwrap_or_default())
}

async fn inspect(
    engine: &Connected,
    name: &str,
) -> Result<Option<ContainerInspectResponse>, EngineError> {
    let options = None::<InspectContainerOptions>;
    match engine.docker.inspect_container(name, options).await {
        Ok(found) => Ok(Some(found)),
        Err(error) => match engine.explain("inspecting container", name, error) {
            gone if gone.is_not_found() => Ok(None),
            error => Err(error),
        },
    }
}

fn gone(removed: Result<(), EngineError>) -> Result<(), EngineError> {
    match removed {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

fn is_of(labels: Option<HashMap<String, String>>, job: u64) -> bool {
    let labels = labels.unwrap_or_default();
    labels.get(LABEL) == Some(&job.to_string())
}

fn not_ours(name: &str, job: u64) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Refused,
        message: format!(
            "container {name} does not wear the label {LABEL}={job}: it is not this job's, and is left alone"
        ),
        advice: "rename it, or remove it by hand if nobody needs it".to_owned(),
        retryable: false,
    }
}

fn body(plan: &Plan) -> ContainerCreateBody {
    let labels = HashMap::from([(LABEL.to_owned(), plan.job.to_string())]);
    let config = plan.image.config.clone().unwrap_or_default();
    let own_volume = |target: String| Mount {
        target: Some(target),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            labels: Some(labels.clone()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    let memory = i64::try_from(plan.limits.memory_bytes).unwrap_or(i64::MAX);
    let cpu = i64::try_from(plan.limits.cpu_millis).unwrap_or(i64::MAX);
    ContainerCreateBody {
        image: plan.image.id.clone(),
        env: Some(plan.environment.clone()),
        cmd: (!plan.command.is_empty()).then(|| plan.command.clone()),
        labels: Some(labels.clone()),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            memory: Some(memory),
            // No swap beside it.
            memory_swap: Some(memory),
            nano_cpus: Some(cpu.saturating_mul(1_000_000)),
            cpu_shares: Some(CPU_WEIGHT),
            pids_limit: Some(MOST_PROCESSES),
            shm_size: Some(memory / 4),
            // Without a name of its own the engine takes it for anonymous: it goes with the container.
            mounts: Some(
                config
                    .volumes
                    .unwrap_or_default()
                    .into_iter()
                    .map(own_volume)
                    .collect(),
            ),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ImageConfig;

    use super::*;

    #[test]
    fn it_has_no_network_and_wears_the_label_with_everything_that_it_writes_to() {
        let body = body(&Plan {
            job: 7,
            part: 0,
            image: ImageInspect {
                id: Some("sha256:1".to_owned()),
                config: Some(ImageConfig {
                    volumes: Some(vec!["/var/lib/postgresql/data".to_owned()]),
                    ..ImageConfig::default()
                }),
                ..ImageInspect::default()
            },
            environment: vec![],
            command: vec![],
            limits: SandboxLimits {
                cpu_millis: 1_500,
                memory_bytes: 1 << 30,
            },
        });
        let own = HashMap::from([(LABEL.to_owned(), "7".to_owned())]);
        assert_eq!(body.labels, Some(own.clone()));
        assert_eq!(body.cmd, None);
        let host = body.host_config.unwrap();
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.nano_cpus, Some(1_500_000_000));
        assert!(host.cpu_shares.is_some_and(|weight| weight < 1024));
        assert_eq!(
            (host.memory, host.memory_swap),
            (Some(1 << 30), Some(1 << 30))
        );
        let mounts = host.mounts.unwrap();
        let labels = mounts[0].volume_options.clone().unwrap().labels;
        assert_eq!((mounts.len(), mounts[0].source.clone()), (1, None));
        assert_eq!(labels, Some(own.clone()));
        assert!(is_of(Some(own.clone()), 7) && !is_of(Some(own), 70) && !is_of(None, 7));
    }
}
