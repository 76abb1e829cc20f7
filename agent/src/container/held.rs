//! Containers that a job has stopped, kept on disk until they run again.
//!
//! The list is written before the first one is stopped, so that an agent that dies starts again what it has
//! stopped, and nothing else.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::query_parameters::{
    InspectContainerOptions, StartContainerOptions, StopContainerOptionsBuilder,
};
use holdfast_proto::task::{FailureKind, HeldContainers, TaskFailure};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::client::{Connected, EngineError};
use crate::engine::postgres::failure::failure;

/// A server that has much to write down needs longer than the ten seconds that the engine gives.
const STOP_SECONDS: i32 = 120;
/// What a process that was killed ends with.
const KILLED: i64 = 137;

/// One that is to stand still for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    pub id: String,
    pub name: String,
}

/// Who comes first.
#[derive(Debug, Clone, Copy)]
pub enum Order<'a> {
    /// The youngest is stopped first, and started last.
    ByAge,
    /// Stopped as they are given, started as they are named here.
    Named(&'a [String]),
}

/// In the order in which they are started again.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub containers: Vec<HeldContainer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldContainer {
    pub id: String,
    pub name: String,
    /// As the engine tells it; it sorts.
    started_at: String,
    killed: bool,
}

/// Those of these names that run, in the order of the names.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn named(engine: &Connected, names: &[String]) -> Result<Vec<Running>, EngineError> {
    let mut running = Vec::new();
    for name in names {
        let inspected = engine
            .docker
            .inspect_container(name, None::<InspectContainerOptions>)
            .await
            .map_err(|error| engine.explain("inspecting container", name, error));
        match inspected {
            Ok(found) if found.state.as_ref().and_then(|state| state.running) == Some(true) => {
                running.extend(found.id.map(|id| Running {
                    id,
                    name: name.clone(),
                }));
            }
            Ok(_) => {}
            Err(gone) if gone.is_not_found() => {
                warn!(
                    container = name,
                    "a container that was to be stopped is gone"
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(running)
}

/// Stops them. What this job has stopped before stays on the list.
///
/// # Errors
/// `Refused` when a container would not come back; what the engine says. The list stays.
pub async fn hold(
    engine: &Connected,
    state_dir: &Path,
    running: Vec<Running>,
    order: Order<'_>,
    job: u64,
) -> Result<HeldContainers, TaskFailure> {
    let mut held = read(state_dir, job).map_err(|error| unwritten(job, &error))?;
    for one in &running {
        if !held.containers.iter().any(|known| known.id == one.id) {
            held.containers.push(look(engine, one).await?);
        }
    }
    if held.containers.is_empty() {
        return Ok(HeldContainers::default());
    }
    let first = arrange(&mut held.containers, running, order);
    write(state_dir, job, &held).map_err(|error| unwritten(job, &error))?;
    for one in first {
        let killed = stop(engine, &one.id, &one.name).await?;
        info!(job, container = one.name, "a container was stopped");
        for known in held
            .containers
            .iter_mut()
            .filter(|known| known.id == one.id)
        {
            known.killed = killed;
        }
    }
    write(state_dir, job, &held).map_err(|error| unwritten(job, &error))?;
    let named = |killed_only: bool| -> Vec<String> {
        let those = held.containers.iter();
        let those = those.filter(|container| container.killed || !killed_only);
        those.map(|container| container.name.clone()).collect()
    };
    Ok(HeldContainers {
        stopped: named(false),
        killed: named(true),
    })
}

/// Starts what the job has stopped; one that was removed meanwhile is none of ours any more.
///
/// # Errors
/// What the engine says of the first that does not start, when all the others have been tried. The list stays.
pub async fn release(
    engine: &Connected,
    state_dir: &Path,
    job: u64,
) -> Result<Vec<String>, TaskFailure> {
    let held = read(state_dir, job).map_err(|error| unwritten(job, &error))?;
    let mut started = Vec::new();
    let mut failed = None;
    for container in &held.containers {
        let options = None::<StartContainerOptions>;
        match engine.docker.start_container(&container.id, options).await {
            Ok(()) => started.push(container.name.clone()),
            Err(error) => match engine.explain("starting container", &container.name, error) {
                gone if gone.is_not_found() => {
                    warn!(
                        job,
                        container = container.name,
                        "a container that was stopped is gone"
                    );
                }
                error => {
                    failed.get_or_insert(error);
                }
            },
        }
    }
    if let Some(error) = failed {
        return Err(TaskFailure {
            retryable: true,
            ..TaskFailure::from(error)
        });
    }
    forget(state_dir, job).map_err(|error| unwritten(job, &error))?;
    Ok(started)
}

/// Jobs that have containers stopped on this host, with the names.
#[must_use]
pub fn all(state_dir: &Path) -> Vec<(u64, Vec<String>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder(state_dir))
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = entry.path();
        let job = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(job) = job
            && path
                .extension()
                .is_some_and(|extension| extension == "json")
            && let Ok(held) = read(state_dir, job)
        {
            let names = held.containers.into_iter();
            all.push((job, names.map(|container| container.name).collect()));
        }
    }
    all.sort();
    all
}

/// Sorts the list as it is to be started, and gives those that run as they are to be stopped.
fn arrange(
    held: &mut [HeldContainer],
    mut running: Vec<Running>,
    order: Order<'_>,
) -> Vec<Running> {
    match order {
        Order::ByAge => {
            held.sort_by(|a, b| (&a.started_at, &a.name).cmp(&(&b.started_at, &b.name)));
            let age = |one: &Running| held.iter().position(|known| known.id == one.id);
            running.sort_by_key(|one| std::cmp::Reverse(age(one)));
        }
        Order::Named(names) => {
            // Who is not named comes last.
            let place = |one: &HeldContainer| names.iter().position(|name| *name == one.name);
            held.sort_by_key(|one| place(one).unwrap_or(names.len()));
        }
    }
    running
}

async fn look(engine: &Connected, one: &Running) -> Result<HeldContainer, TaskFailure> {
    let Running { id, name } = one;
    let found = engine
        .docker
        .inspect_container(id, None::<InspectContainerOptions>)
        .await
        .map_err(|error| engine.explain("inspecting container", name, error))?;
    let vanishes = found.host_config.and_then(|config| config.auto_remove);
    if vanishes == Some(true) {
        let message = format!(
            "container {name} was started with --rm: stopped, it is gone and cannot be started again"
        );
        let advice = "end it yourself when it is not needed, then try again";
        return Err(failure(FailureKind::Refused, message, advice));
    }
    let started_at = found.state.and_then(|state| state.started_at);
    Ok(HeldContainer {
        id: id.to_owned(),
        name: name.to_owned(),
        started_at: started_at.unwrap_or_default(),
        killed: false,
    })
}

/// Whether it had to be killed.
async fn stop(engine: &Connected, id: &str, name: &str) -> Result<bool, TaskFailure> {
    let explain = |doing, error| TaskFailure::from(engine.explain(doing, name, error));
    let seconds = u64::from(STOP_SECONDS.unsigned_abs());
    let patient = engine.docker.clone();
    // The engine answers when it has stopped.
    let patient = patient.with_timeout(Duration::from_secs(seconds + 60));
    let options = StopContainerOptionsBuilder::default()
        .t(STOP_SECONDS)
        .build();
    patient
        .stop_container(id, Some(options))
        .await
        .map_err(|error| explain("stopping container", error))?;
    let found = engine
        .docker
        .inspect_container(id, None::<InspectContainerOptions>)
        .await
        .map_err(|error| explain("inspecting container", error))?;
    Ok(found.state.and_then(|state| state.exit_code) == Some(KILLED))
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("stopped")
}

fn path(state_dir: &Path, job: u64) -> PathBuf {
    folder(state_dir).join(format!("{job}.json"))
}

fn read(state_dir: &Path, job: u64) -> io::Result<Held> {
    match fs::read(path(state_dir, job)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Held::default()),
        Err(error) => Err(error),
    }
}

fn write(state_dir: &Path, job: u64, held: &Held) -> io::Result<()> {
    let folder = folder(state_dir);
    fs::create_dir_all(&folder)?;
    let partial = folder.join(format!("{job}.part"));
    let file = fs::File::create(&partial)?;
    serde_json::to_writer(&file, held)?;
    file.sync_all()?;
    fs::rename(partial, path(state_dir, job))?;
    fs::File::open(folder)?.sync_all()
}

fn forget(state_dir: &Path, job: u64) -> io::Result<()> {
    match fs::remove_file(path(state_dir, job)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn unwritten(job: u64, error: &io::Error) -> TaskFailure {
    let message = format!("the list of what job {job} has stopped cannot be kept: {error}");
    TaskFailure {
        retryable: true,
        ..failure(
            FailureKind::Exhausted,
            message,
            "look at the agent's state directory and its disk",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_stopped_last_is_started_first_unless_somebody_says_otherwise() {
        let held = |name: &str, started_at: &str| HeldContainer {
            id: format!("id of {name}"),
            name: name.to_owned(),
            started_at: started_at.to_owned(),
            killed: false,
        };
        let one = |name: &str| Running {
            id: format!("id of {name}"),
            name: name.to_owned(),
        };
        let list = || [held("web", "2"), held("worker", "1"), held("gone", "0")];
        let names = |list: &[HeldContainer]| -> Vec<String> {
            list.iter().map(|known| known.name.clone()).collect()
        };
        // "gone" was stopped by an earlier attempt.
        let mut by_age = list();
        let stopped = arrange(&mut by_age, vec![one("worker"), one("web")], Order::ByAge);
        assert_eq!(names(&by_age), ["gone", "worker", "web"]);
        assert_eq!(stopped, [one("web"), one("worker")]);
        let mut named = list();
        let start = ["gone".to_owned(), "web".to_owned()];
        let given = vec![one("worker"), one("web")];
        let stopped = arrange(&mut named, given.clone(), Order::Named(&start));
        assert_eq!(names(&named), ["gone", "web", "worker"]);
        assert_eq!(stopped, given);
    }

    #[test]
    fn a_list_is_there_until_it_is_forgotten_and_of_its_job_alone() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(read(state.path(), 7).unwrap(), Held::default());
        let held = Held {
            containers: vec![HeldContainer {
                id: "1".to_owned(),
                name: "web".to_owned(),
                started_at: "2026".to_owned(),
                killed: true,
            }],
        };
        write(state.path(), 7, &held).unwrap();
        assert_eq!(read(state.path(), 7).unwrap(), held);
        assert_eq!(read(state.path(), 8).unwrap(), Held::default());
        assert_eq!(all(state.path()), [(7, vec!["web".to_owned()])]);
        forget(state.path(), 7).unwrap();
        forget(state.path(), 7).unwrap();
        assert_eq!(all(state.path()), []);
        fs::write(path(state.path(), 9), "{").unwrap();
        assert!(
            read(state.path(), 9).is_err(),
            "nothing is started by guess"
        );
    }
}
