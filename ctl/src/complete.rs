//! Names for the shell: asked of the controller, quickly, and silently nothing when it does not answer.

use std::{ffi::OsStr, time::Duration};

use clap::Parser as _;
use clap_complete::engine::CompletionCandidate;

use crate::{
    args::{Cli, Globals},
    client::{CallError, Client},
    context::Contexts,
    session::Session,
    view::{database::DatabaseList, instance::Instance},
};

/// Nobody waits longer for a Tab.
const PATIENCE: Duration = Duration::from_millis(500);

pub fn contexts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = session()
        .and_then(|session| session.contexts_file().ok())
        .and_then(|path| Contexts::load(&path).ok())
        .map(|contexts| contexts.contexts.into_keys().collect())
        .unwrap_or_default();
    matching(typed, names)
}

pub fn hosts(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |client| {
        let hosts = client.hosts().await?;
        Ok(hosts.into_iter().map(|host| host.name).collect())
    });
    matching(typed, names)
}

/// `host/instance`.
pub fn instances(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |client| {
        let instances = client.instances(String::new()).await?;
        Ok(instances.iter().map(Instance::full_name).collect())
    });
    matching(typed, names)
}

/// `host/instance/database`.
pub fn databases(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |client| {
        let instances = client.instances(String::new()).await?;
        let list = DatabaseList::of(&instances, false).databases;
        Ok(list
            .iter()
            .map(crate::view::database::Database::full_name)
            .collect())
    });
    matching(typed, names)
}

/// The beginnings of databases that do not exist yet, for the target of a copy, and those that do.
pub fn targets(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |client| {
        let instances = client.instances(String::new()).await?;
        let mut names: Vec<String> = DatabaseList::of(&instances, false)
            .databases
            .iter()
            .map(crate::view::database::Database::full_name)
            .collect();
        names.extend(
            instances
                .iter()
                .map(|instance| format!("{}/", instance.full_name())),
        );
        Ok(names)
    });
    matching(typed, names)
}

/// Databases and volumes: whatever has backups of its own.
pub fn series(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut found = databases(typed);
    found.extend(volumes(typed));
    found
}

/// Databases, volumes and hosts.
pub fn subjects(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut found = hosts(typed);
    found.extend(series(typed));
    found
}

/// `host/volume`.
pub fn volumes(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |client| {
        let volumes = client.volumes(String::new()).await?;
        Ok(volumes
            .iter()
            .map(|volume| format!("{}/{}", volume.host, volume.name))
            .collect())
    });
    matching(typed, names)
}

pub fn jobs(typed: &OsStr) -> Vec<CompletionCandidate> {
    let found = ask(async |client| {
        let jobs = client.jobs(50, false).await?;
        Ok(jobs
            .into_iter()
            .map(|job| format!("{}\t{} {}", job.id, job.state.word(), job.title))
            .collect())
    });
    numbered(typed, &found)
}

/// Of lines with a number, a tab and what it stands for.
fn numbered(typed: &OsStr, lines: &[String]) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    lines
        .iter()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(id, _)| id.starts_with(typed.as_ref()))
        .map(|(id, help)| CompletionCandidate::new(id).help(Some(help.to_owned().into())))
        .collect()
}

pub fn incidents(typed: &OsStr) -> Vec<CompletionCandidate> {
    let found = ask(async |client| {
        let incidents = client.incidents(false).await?;
        Ok(incidents
            .into_iter()
            .map(|incident| format!("{}\t{}", incident.id, incident.title))
            .collect())
    });
    numbered(typed, &found)
}

pub fn checks(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |client| {
        let checks = client.checks().await?;
        Ok(checks.into_iter().map(|check| check.name).collect())
    });
    matching(typed, names)
}

pub fn operators(typed: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |client| {
        let operators = client.operators().await?;
        Ok(operators
            .into_iter()
            .map(|operator| operator.name)
            .collect())
    });
    matching(typed, names)
}

/// What the controller in use says within half a second, or nothing.
fn ask(question: impl AsyncFnOnce(&mut Client) -> Result<Vec<String>, CallError>) -> Vec<String> {
    let Some(session) = session() else {
        return Vec::new();
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let answer = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, async {
            let mut client = session.connect().await.ok()?;
            question(&mut client).await.ok()
        })
        .await
    });
    runtime.shutdown_background();
    answer.ok().flatten().unwrap_or_default()
}

/// The environment and the global options that stand in the unfinished line.
fn session() -> Option<Session> {
    let words = std::env::args().skip_while(|word| word != "--").skip(1);
    Some(Session::new(globals(&words.collect::<Vec<_>>())?))
}

/// An unfinished line does not parse as a whole: the options are taken from it one by one.
fn globals(words: &[String]) -> Option<Globals> {
    let mut line = vec!["ctl".to_owned()];
    for option in ["--context", "--controller", "--contexts-file"] {
        let with_equals = format!("{option}=");
        let value = words.iter().enumerate().find_map(|(index, word)| {
            word.strip_prefix(&with_equals)
                .map(str::to_owned)
                .or_else(|| {
                    (word == option)
                        .then(|| words.get(index + 1).cloned())
                        .flatten()
                })
        });
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            line.push(format!("{option}={value}"));
        }
    }
    line.push("version".to_owned());
    Cli::try_parse_from(line).ok().map(|cli| cli.globals)
}

fn matching(typed: &OsStr, mut names: Vec<String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| name.starts_with(typed.as_ref()))
        .map(CompletionCandidate::new)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::globals;

    #[test]
    fn options_are_taken_from_an_unfinished_line() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let found =
            globals(&words("ctl --context lab --controller=x:1 host remove we")).expect("globals");
        assert_eq!(found.context.as_deref(), Some("lab"));
        assert_eq!(found.controller.as_deref(), Some("x:1"));
        let found = globals(&words("ctl host remove --context")).expect("globals");
        assert_eq!(found.context, None);
    }
}
