//! Who has a volume mounted: by its name, or by a bind mount of its files.

use std::path::Path;

use bollard::{
    models::{ContainerSummary, ContainerSummaryStateEnum, MountPoint},
    query_parameters::ListContainersOptionsBuilder,
};
use holdfast_proto::task::{FailureKind, TaskFailure, VolumeUser};

use super::place::Place;
use crate::{
    container::{EngineError, client::Connected},
    engine::postgres::failure::failure,
};

/// A container with the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub name: String,
    /// Its processes are there: paused ones too.
    pub running: bool,
    pub writable: bool,
}

/// Every container that has it, sorted by name.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn of(engine: &Connected, place: &Place) -> Result<Vec<User>, EngineError> {
    let options = ListContainersOptionsBuilder::default().all(true).build();
    let listed = engine.docker.list_containers(Some(options)).await;
    let listed = listed.map_err(|error| engine.explain("listing containers", "", error))?;
    let mut users: Vec<_> = listed
        .into_iter()
        .filter_map(|container| user(container, &place.name, &place.path))
        .collect();
    users.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(users)
}

/// Why the volume is not to be read now; none: nobody writes to it. With a database in it, nobody may run with it at
/// all: what a server has in memory is part of its data.
#[must_use]
pub fn in_the_way(volume: &str, users: &[User], databases: &[String]) -> Option<TaskFailure> {
    let running = || users.iter().filter(|user| user.running);
    let (names, why) = if !databases.is_empty() && running().next().is_some() {
        let why = format!("holds a database ({})", databases.join(", "));
        (names(running()), why)
    } else if running().any(|user| user.writable) {
        (
            names(running().filter(|user| user.writable)),
            "is written to".to_owned(),
        )
    } else {
        return None;
    };
    let message = format!(
        "volume {volume} {why}, and {names} runs with it: what is read now is of no one moment"
    );
    let advice = if databases.is_empty() {
        "have the containers stopped meanwhile and started again: --stop"
    } else {
        "back the database up while it runs: ctl backup create HOST/INSTANCE/DATABASE; or the volume, with the \
         containers stopped meanwhile: --stop"
    };
    Some(failure(FailureKind::Conflict, message, advice))
}

/// Why the volume is not to be exchanged now.
#[must_use]
pub fn running_with(volume: &str, users: &[User]) -> Option<TaskFailure> {
    let running: Vec<_> = users.iter().filter(|user| user.running).collect();
    if running.is_empty() {
        return None;
    }
    let message = format!(
        "{} runs with volume {volume}: it would go on with the files that it has open",
        names(running.into_iter())
    );
    let advice = "have the containers stopped meanwhile and started again: --stop";
    Some(failure(FailureKind::Conflict, message, advice))
}

impl From<User> for VolumeUser {
    fn from(user: User) -> Self {
        Self {
            container: user.name,
            running: user.running,
            writable: user.writable,
        }
    }
}

fn names<'a>(users: impl Iterator<Item = &'a User>) -> String {
    let names: Vec<_> = users.map(|user| user.name.as_str()).collect();
    names.join(", ")
}

fn user(container: ContainerSummary, volume: &str, path: &Path) -> Option<User> {
    use ContainerSummaryStateEnum as State;
    let mounts = container.mounts.unwrap_or_default();
    let own: Vec<_> = mounts
        .iter()
        .filter(|mount| has(mount, volume, path))
        .collect();
    if own.is_empty() {
        return None;
    }
    let id = container.id.unwrap_or_default();
    let name = container.names.and_then(|names| names.into_iter().next());
    let name = name.map(|name| name.trim_start_matches('/').to_owned());
    Some(User {
        name: name.unwrap_or_else(|| id.clone()),
        id,
        // One that is being made, has ended or is dead has no process.
        running: matches!(
            container.state,
            Some(State::RUNNING | State::PAUSED | State::RESTARTING | State::STOPPING)
        ),
        writable: own.iter().any(|mount| mount.rw != Some(false)),
    })
}

/// Its name, its folder, or a folder in it. A mount of a folder above it (`/`, of a monitoring agent) is none of it.
fn has(mount: &MountPoint, volume: &str, path: &Path) -> bool {
    let by_name = mount.name.as_deref() == Some(volume);
    let source = mount.source.as_deref().unwrap_or_default();
    by_name || (source.starts_with('/') && Path::new(source).starts_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(name: Option<&str>, source: &str, rw: bool) -> MountPoint {
        MountPoint {
            name: name.map(str::to_owned),
            source: Some(source.to_owned()),
            rw: Some(rw),
            ..MountPoint::default()
        }
    }

    fn found(mounts: Vec<MountPoint>, state: ContainerSummaryStateEnum) -> Option<User> {
        let container = ContainerSummary {
            names: Some(vec!["/web".to_owned()]),
            state: Some(state),
            mounts: Some(mounts),
            ..ContainerSummary::default()
        };
        user(container, "shop", Path::new("/volumes/shop/_data"))
    }

    #[test]
    fn a_volume_is_used_by_name_and_by_a_bind_mount_of_its_files() {
        use ContainerSummaryStateEnum::{EXITED, PAUSED, RUNNING};
        let here = "/volumes/shop/_data";
        let by_name = found(vec![mount(Some("shop"), here, true)], RUNNING).unwrap();
        assert!(by_name.running && by_name.writable);
        assert_eq!(by_name.name, "web");
        let inside = found(vec![mount(None, "/volumes/shop/_data/a", false)], PAUSED).unwrap();
        assert!(inside.running && !inside.writable);
        assert!(
            !found(vec![mount(None, here, true)], EXITED)
                .unwrap()
                .running
        );
        for other in ["/volumes/shop/_database", "/volumes", "/"] {
            assert_eq!(
                found(vec![mount(None, other, true)], RUNNING),
                None,
                "{other}"
            );
        }
        assert_eq!(found(vec![mount(Some("shop2"), "/x", true)], RUNNING), None);
    }

    #[test]
    fn what_may_be_read_depends_on_who_runs_and_on_what_is_inside() {
        let user = |running, writable| User {
            id: String::new(),
            name: "web".to_owned(),
            running,
            writable,
        };
        let refused = |users: &[User], databases: &[String]| {
            in_the_way("shop", users, databases).map(|failure| failure.advice)
        };
        let postgres = ["PostgreSQL 16".to_owned()];
        assert_eq!(refused(&[], &postgres), None);
        assert_eq!(refused(&[user(false, true)], &postgres), None);
        assert_eq!(refused(&[user(true, false)], &[]), None);
        let live = refused(&[user(true, true)], &[]).unwrap();
        assert!(live.contains("--stop"), "{live}");
        let database = refused(&[user(true, false)], &postgres).unwrap();
        assert!(database.contains("ctl backup create"), "{database}");
        assert!(running_with("shop", &[user(true, false)]).is_some());
        assert!(running_with("shop", &[user(false, true)]).is_none());
    }
}
