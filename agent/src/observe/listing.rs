//! Looking at the engine: the cheap list of everything, and inspections of what changed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::{
    models::{ContainerInspectResponse, ContainerSummary},
    query_parameters::{
        InspectContainerOptions, ListContainersOptionsBuilder, ListVolumesOptions,
        LogsOptionsBuilder,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use holdfast_proto::fleet::{Mount, MountKind, Volume};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::{
    containers::{self, Seen},
    volumes,
};
use crate::{
    container::{ContainerEngine, EngineError, client::Connected},
    engine::postgres::processes::is_alive,
};

/// Inspections at once.
const PARALLEL: usize = 4;
const LARGEST_COMPOSE_FILE: u64 = 1 << 20;
/// A file system that hangs does not hold the listing up.
const RESOLVED_WITHIN: Duration = Duration::from_secs(1);

/// What is known of the engine's things; updated by [`Listing::refresh`] and [`Listing::touch`].
#[derive(Debug, Clone, Default)]
pub struct Listing {
    pub containers: BTreeMap<String, Seen>,
    pub volumes: Vec<Volume>,
    /// As [`Connected::name`], of the last that was asked.
    pub engine: String,
    /// Content digest by image id; an image's never changes.
    digests: HashMap<String, String>,
    /// How the list showed a container when it was inspected.
    shown: HashMap<String, String>,
}

impl Listing {
    /// Lists everything, and inspects what is new, touched, or shown differently than before.
    ///
    /// # Errors
    /// When the engine cannot be asked; what was known stays as it was.
    pub async fn refresh(
        &mut self,
        engine: &ContainerEngine,
        touched: &BTreeSet<String>,
    ) -> Result<(), EngineError> {
        let connected = engine.connected().await?;
        self.engine.clone_from(&connected.name);
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let listed = connected
            .docker
            .list_containers(Some(options))
            .await
            .map_err(|e| connected.explain("listing containers", "", e))?;
        let shown: HashMap<String, String> = listed.iter().filter_map(face).collect();
        let stale: BTreeSet<String> = shown
            .iter()
            .filter(|(id, face)| {
                touched.contains(*id)
                    || self.shown.get(*id) != Some(face)
                    || self.containers.get(*id).is_none_or(has_died)
            })
            .map(|(id, _)| id.clone())
            .collect();
        self.inspect(&connected, &stale).await?;
        self.containers.retain(|id, _| shown.contains_key(id));
        self.shown = shown;
        self.list_volumes(&connected).await?;
        self.follow_devices();
        let used: BTreeSet<_> = self.containers.values().map(|s| &s.image_id).collect();
        self.digests.retain(|image, _| used.contains(image));
        Ok(())
    }

    /// Inspects these containers only, and the volumes when asked for.
    ///
    /// # Errors
    /// As [`Listing::refresh`].
    pub async fn touch(
        &mut self,
        engine: &ContainerEngine,
        touched: &BTreeSet<String>,
        volumes: bool,
    ) -> Result<(), EngineError> {
        let connected = engine.connected().await?;
        self.inspect(&connected, touched).await?;
        if volumes {
            self.list_volumes(&connected).await?;
        }
        self.follow_devices();
        Ok(())
    }

    fn follow_devices(&mut self) {
        let containers = self.containers.values_mut();
        let mounts = containers.flat_map(|seen| &mut seen.container.mounts);
        volumes::follow_devices(&self.volumes, mounts);
    }

    async fn inspect(
        &mut self,
        connected: &Connected,
        ids: &BTreeSet<String>,
    ) -> Result<(), EngineError> {
        let inspected: Vec<_> = stream::iter(ids.iter().cloned())
            .map(|id| inspect(connected, id))
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
        for (id, inspected) in inspected {
            let Some(inspected) = inspected else {
                self.containers.remove(&id);
                continue;
            };
            let image = inspected.image.clone().unwrap_or_default();
            let reference = inspected.config.as_ref().and_then(|c| c.image.clone());
            let digest = self
                .digest(connected, &image, &reference.unwrap_or_default())
                .await;
            if let Some(mut seen) = containers::describe(inspected, &digest) {
                resolve_links(&mut seen.container.mounts).await;
                if let Some(hash) = hash_of(&seen.compose_files).await {
                    seen.container.config_hash = hash;
                }
                self.containers.insert(id, seen);
            }
        }
        Ok(())
    }

    /// The digest that the image was pulled by; its id when it was built here.
    async fn digest(&mut self, connected: &Connected, image: &str, reference: &str) -> String {
        if let Some(known) = self.digests.get(image) {
            return known.clone();
        }
        let Ok(inspected) = connected.docker.inspect_image(image).await else {
            return image.to_owned();
        };
        let digests = inspected.repo_digests.unwrap_or_default();
        let repository = repository(reference);
        let digest = digests
            .iter()
            .filter_map(|d| d.split_once('@'))
            .find(|(name, _)| *name == repository)
            .or_else(|| digests.first().and_then(|d| d.split_once('@')))
            .map_or_else(|| image.to_owned(), |(_, digest)| digest.to_owned());
        self.digests.insert(image.to_owned(), digest.clone());
        digest
    }

    async fn list_volumes(&mut self, connected: &Connected) -> Result<(), EngineError> {
        let listed = connected
            .docker
            .list_volumes(None::<ListVolumesOptions>)
            .await
            .map_err(|e| connected.explain("listing volumes", "", e))?;
        self.volumes = listed
            .volumes
            .unwrap_or_default()
            .into_iter()
            .map(volumes::describe)
            .collect();
        self.volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }
}

/// Two paths that lead to one place become the same; what is not there stays as it is named.
async fn resolve_links(mounts: &mut [Mount]) {
    for mount in mounts
        .iter_mut()
        .filter(|mount| mount.kind == MountKind::Bind)
    {
        let resolving = tokio::fs::canonicalize(&mount.host_path);
        if let Ok(Ok(path)) = timeout(RESOLVED_WITHIN, resolving).await {
            mount.host_path = path.display().to_string();
        }
    }
}

/// Of what compose files say; none when one cannot be read. Compose's own hash of a service has the project's name in it.
async fn hash_of(files: &[PathBuf]) -> Option<String> {
    let mut hash = Sha256::new();
    for file in files {
        let reading = async {
            let size = tokio::fs::metadata(file).await.ok()?.len();
            if size > LARGEST_COMPOSE_FILE {
                return None;
            }
            tokio::fs::read(file).await.ok()
        };
        hash.update(timeout(RESOLVED_WITHIN, reading).await.ok()??);
    }
    (!files.is_empty()).then(|| hex::encode(hash.finalize()))
}

/// `None` when there is no such container any more.
async fn inspect(
    connected: &Connected,
    id: String,
) -> Result<(String, Option<ContainerInspectResponse>), EngineError> {
    let options = None::<InspectContainerOptions>;
    match connected.docker.inspect_container(&id, options).await {
        Ok(inspected) => Ok((id, Some(inspected))),
        Err(error) => match connected.explain("inspecting container", &id, error) {
            gone if gone.is_not_found() => Ok((id, None)),
            error => Err(error),
        },
    }
}

/// The last lines that a container wrote, oldest first.
///
/// # Errors
/// When the engine cannot be asked or keeps no logs for this container.
pub async fn last_lines(
    engine: &ContainerEngine,
    container: &str,
    lines: u16,
) -> Result<Vec<String>, EngineError> {
    let connected = engine.connected().await?;
    let options = LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .tail(&lines.to_string())
        .build();
    let written: Vec<_> = connected
        .docker
        .logs(container, Some(options))
        .map_ok(|chunk| chunk.to_string())
        .try_collect()
        .await
        .map_err(|e| connected.explain("reading the log of container", container, e))?;
    Ok(written
        .concat()
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect())
}

/// What of a listed container changes only with the container, not with the clock.
fn face(listed: &ContainerSummary) -> Option<(String, String)> {
    let status = listed.status.as_deref().unwrap_or_default();
    let health = status.rsplit_once('(').map_or("", |(_, health)| health);
    let face = format!(
        "{:?} {:?} {}",
        listed.state,
        listed.names,
        if status.starts_with("Up") { health } else { "" }
    );
    Some((listed.id.clone()?, face))
}

fn has_died(seen: &Seen) -> bool {
    seen.init_pid
        .is_some_and(|pid| !is_alive(Path::new("/proc"), pid))
}

/// The repository of a reference, as digests name it: no tag, no digest.
fn repository(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or(reference);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_compose_file_in_another_folder_has_the_same_hash() {
        let home = tempfile::tempdir().unwrap();
        let file = |folder: &str, text: &str| {
            let folder = home.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            let file = folder.join("compose.yml");
            std::fs::write(&file, text).unwrap();
            file
        };
        let before = hash_of(&[file("before", "services: {}")]).await;
        assert!(before.is_some());
        assert_eq!(hash_of(&[file("after", "services: {}")]).await, before);
        assert_ne!(
            hash_of(&[file("other", "services: {db: {}}")]).await,
            before
        );
        assert_eq!(hash_of(&[]).await, None);
        assert_eq!(hash_of(&[home.path().join("gone.yml")]).await, None);
        let large = file("large", &"#".repeat((1 << 20) + 1));
        assert_eq!(hash_of(&[large]).await, None);
    }

    #[test]
    fn a_face_does_not_change_with_the_clock() {
        let shown = |status: &str| {
            face(&ContainerSummary {
                id: Some("abc".to_owned()),
                status: Some(status.to_owned()),
                ..ContainerSummary::default()
            })
        };
        assert_eq!(shown("Up 3 seconds"), shown("Up 4 hours"));
        assert_ne!(
            shown("Up 3 seconds (healthy)"),
            shown("Up 3 seconds (unhealthy)")
        );
        assert_eq!(
            shown("Exited (1) 3 seconds ago"),
            shown("Exited (1) 2 days ago")
        );
    }

    #[test]
    fn the_repository_is_told_from_tag_and_port() {
        assert_eq!(repository("postgres:17"), "postgres");
        assert_eq!(
            repository("host:5000/team/postgres"),
            "host:5000/team/postgres"
        );
        assert_eq!(
            repository("host:5000/postgres:17@sha256:ab"),
            "host:5000/postgres"
        );
    }
}
