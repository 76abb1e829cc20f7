//! The checklist after a recovery: what an operator would look at now, asked at once and kept with the job.
//!
//! What was restored is proven already; the list says whether the world around it is as it should be. So a line
//! that is not as it should be warns, and takes nothing back.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_chassis::units;
use holdfast_proto::{
    fleet::{Archiver, Container, ContainerHealth, ContainerState, Instance},
    task::{DatabaseFacts, Selection, TaskFailure},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Landing, conclude, proof::CopyProof};
use crate::{
    detect::HostFacts,
    job::{
        copy_database::preflight::{PreflightLine, PreflightVerdict, describe},
        definition::{Step, StepDone, StepFailure},
        event::Why,
        position::Position,
        step::StepContext,
    },
};

pub const NAME: &str = "checklist";

#[derive(Debug)]
pub struct Checklist<'a>(pub Landing<'a>);

/// What the step puts out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Looked {
    lines: Vec<PreflightLine>,
}

/// What the questions are asked about.
struct Found<'a> {
    /// Or why the database could not be described.
    database: Result<&'a DatabaseFacts, &'a TaskFailure>,
    proof: Option<&'a CopyProof>,
    /// As its host was reported last; none: it was not.
    instance: Option<&'a Instance>,
    /// Others of the instance's compose project.
    beside: Vec<&'a Container>,
}

#[async_trait]
impl Step for Checklist<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let target = self.0.target;
        let described = describe(ctx, "", target, Some(&Selection::default())).await;
        if let Err(failure) = &described
            && ctx.cancel.is_cancelled()
        {
            return Err(failure.clone().into());
        }
        let host = ctx.world.hosts.facts(&target.host);
        let instance = host
            .as_ref()
            .and_then(|host| instance(host, &target.instance));
        let lines = ask(&Found {
            database: described.as_ref(),
            proof: conclude::proof(&ctx.position).as_ref(),
            instance,
            beside: host
                .as_ref()
                .zip(instance)
                .map(|(host, instance)| beside(host, instance))
                .unwrap_or_default(),
        });
        StepDone::with(&Looked { lines })
    }

    /// It only reads.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        let lines = read(output);
        let warnings = lines.iter();
        let warnings = warnings.filter(|line| line.verdict != PreflightVerdict::Passed);
        let asked = units::plural(lines.len() as u64, "line");
        format!(
            "{asked}, {}",
            units::plural(warnings.count() as u64, "warning")
        )
    }
}

/// Empty: the job did not come so far.
#[must_use]
pub fn lines(position: &Position) -> Vec<PreflightLine> {
    position.output(NAME).map(read).unwrap_or_default()
}

fn read(output: &Value) -> Vec<PreflightLine> {
    let looked = serde_json::from_value::<Looked>(output.clone());
    looked.map(|looked| looked.lines).unwrap_or_default()
}

fn instance<'a>(host: &'a HostFacts, name: &str) -> Option<&'a Instance> {
    let mut instances = host.instances.iter();
    instances.find(|instance| instance.name == name)
}

fn beside<'a>(host: &'a HostFacts, instance: &Instance) -> Vec<&'a Container> {
    let own = |container: &&Container| {
        [&container.name, &container.id].contains(&&instance.container)
            && !instance.container.is_empty()
    };
    let Some(server) = host.containers.iter().find(own) else {
        return Vec::new();
    };
    let all = host.containers.iter();
    all.filter(|container| {
        !server.project.is_empty() && container.project == server.project && !own(container)
    })
    .collect()
}

/// Pure.
fn ask(found: &Found<'_>) -> Vec<PreflightLine> {
    let mut lines = Vec::new();
    match found.database {
        Ok(facts) => database(facts, found.proof, &mut lines),
        Err(failure) => lines.push(PreflightLine::warning(
            "database is there",
            format!("could not look: {}", failure.message),
            &failure.advice,
        )),
    }
    match found.instance {
        Some(instance) => server(instance, &mut lines),
        None => lines.push(PreflightLine::warning(
            "server is well",
            "its host has not reported it",
            "look again in a moment: ctl instance list",
        )),
    }
    if !found.beside.is_empty() {
        lines.push(neighbours(&found.beside));
    }
    lines
}

fn database(facts: &DatabaseFacts, proof: Option<&CopyProof>, lines: &mut Vec<PreflightLine>) {
    if !facts.exists {
        lines.push(PreflightLine::warning(
            "database is there",
            "it is not, although it was just put there",
            "somebody dropped or renamed it: ctl database list",
        ));
        return;
    }
    let size = units::size(facts.size_bytes);
    lines.push(PreflightLine::passed(
        "database is there",
        format!("{size}, owned by {}", facts.owner),
    ));
    if let Some(proof) = proof {
        let tables = units::plural(proof.relations.len() as u64, "table");
        lines.push(PreflightLine::passed(
            "tables and rows are those of the backup",
            format!(
                "{tables} with {} read back and equal",
                units::plural(proof.rows, "row")
            ),
        ));
    }
    lines.push(match facts.sessions {
        0 => PreflightLine::warning(
            "applications are connected",
            "nobody is",
            "start what uses it, or see why it does not come back",
        ),
        some => PreflightLine::passed(
            "applications are connected",
            units::plural(u64::from(some), "session"),
        ),
    });
}

fn server(instance: &Instance, lines: &mut Vec<PreflightLine>) {
    const QUESTION: &str = "server is well";
    let Some(health) = instance.health.as_ref().filter(|_| instance.is_up()) else {
        let why = format!("it did not answer its last probe: {}", instance.down_reason);
        lines.push(PreflightLine::warning(QUESTION, why, "ctl instance list"));
        return;
    };
    let (used, most) = (health.connections_used, health.connections_max);
    lines.push(PreflightLine::passed(
        QUESTION,
        format!("{}, {used} of {most} connections used", health.version),
    ));
    lines.extend(archive(&health.archiver));
}

/// None where nothing is archived.
fn archive(archiver: &Archiver) -> Option<PreflightLine> {
    const QUESTION: &str = "WAL is archived again";
    let told = |at: Option<DateTime<Utc>>| {
        at.map_or_else(
            || "never".to_owned(),
            |at| format!("{} UTC", at.format("%F %H:%M:%S")),
        )
    };
    archiver.on.then(|| {
        if archiver.last_failed_at > archiver.last_archived_at {
            let failed = format!(
                "{} failed {}; the last success was {}",
                archiver.last_failed_wal,
                told(archiver.last_failed_at),
                told(archiver.last_archived_at)
            );
            PreflightLine::warning(QUESTION, failed, "see the server's log for archive_command")
        } else {
            PreflightLine::passed(
                QUESTION,
                format!("last {}", told(archiver.last_archived_at)),
            )
        }
    })
}

fn neighbours(beside: &[&Container]) -> PreflightLine {
    const QUESTION: &str = "containers of its project are well";
    let ill = beside.iter().filter_map(|container| {
        let state = match (container.state, container.health) {
            (ContainerState::Running, ContainerHealth::Unhealthy) => "unhealthy",
            (ContainerState::Running, _) => return None,
            // A container that ended well had only that to do.
            (ContainerState::Exited, _) if container.exit_code == 0 => return None,
            (ContainerState::Exited, _) => "exited",
            (ContainerState::Restarting, _) => "restarting",
            _ => "not running",
        };
        Some(format!("{} is {state}", container.name))
    });
    let ill: Vec<_> = ill.collect();
    if ill.is_empty() {
        let all = units::plural(beside.len() as u64, "container");
        PreflightLine::passed(QUESTION, all)
    } else {
        PreflightLine::warning(
            QUESTION,
            ill.join(", "),
            "see their logs; start what was stopped for the restore",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::facts;

    fn host() -> HostFacts {
        facts().hosts.swap_remove(0)
    }

    fn described(sessions: u32) -> DatabaseFacts {
        DatabaseFacts {
            exists: true,
            owner: "shop".to_owned(),
            size_bytes: 1 << 30,
            sessions,
            ..DatabaseFacts::default()
        }
    }

    fn warnings(lines: &[PreflightLine]) -> Vec<String> {
        let all = lines.iter();
        all.filter(|line| line.verdict == PreflightVerdict::Warning)
            .map(|line| format!("{}: {}", line.question, line.detail))
            .collect()
    }

    fn look(host: &HostFacts, database: &DatabaseFacts) -> Vec<PreflightLine> {
        let instance = host.instances.first();
        ask(&Found {
            database: Ok(database),
            proof: None,
            instance,
            beside: instance.map(|one| beside(host, one)).unwrap_or_default(),
        })
    }

    fn neighbour(name: &str, state: ContainerState, health: ContainerHealth) -> Container {
        Container {
            id: name.to_owned(),
            name: name.to_owned(),
            state,
            health,
            exit_code: 1,
            ..host().containers.swap_remove(0)
        }
    }

    #[test]
    fn all_is_well_is_said_line_by_line() {
        let mut host = host();
        let web = neighbour("web", ContainerState::Running, ContainerHealth::Healthy);
        host.containers.push(web);
        let lines = look(&host, &described(3));
        assert_eq!(warnings(&lines), [""; 0]);
        let details: Vec<_> = lines.iter().map(|line| line.detail.as_str()).collect();
        assert!(details.contains(&"3 sessions"), "{details:?}");
        assert!(details.contains(&"1 container"), "{details:?}");
    }

    #[test]
    fn what_is_not_as_it_should_be_warns_and_names_it() {
        let mut host = host();
        let running = ContainerState::Running;
        host.containers.extend([
            neighbour("web", running, ContainerHealth::Unhealthy),
            neighbour("queue", ContainerState::Exited, ContainerHealth::None),
        ]);
        let health = host.instances[0].health.as_mut().unwrap();
        health.archiver.on = true;
        health.archiver.last_failed_at = Some("2026-11-21T08:00:00Z".parse().unwrap());
        health.archiver.last_archived_at = None;
        let told = warnings(&look(&host, &described(0))).join("\n");
        for part in [
            "applications are connected: nobody is",
            "web is unhealthy, queue is exited",
            "the last success was never",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let other = Container {
            project: "another".to_owned(),
            ..neighbour("wiki", ContainerState::Exited, ContainerHealth::None)
        };
        host.containers = vec![host.containers.swap_remove(0), other];
        assert!(beside(&host, &host.instances[0]).is_empty());
    }

    #[test]
    fn what_could_not_be_looked_at_is_never_well() {
        let failure = TaskFailure {
            kind: holdfast_proto::task::FailureKind::Unavailable,
            message: "web-1 is not connected".to_owned(),
            advice: String::new(),
            retryable: true,
        };
        let lines = ask(&Found {
            database: Err(&failure),
            proof: None,
            instance: None,
            beside: vec![],
        });
        assert_eq!(warnings(&lines).len(), 2, "{lines:?}");
        let gone = look(&host(), &DatabaseFacts::default());
        assert!(warnings(&gone)[0].starts_with("database is there: it is not"));
    }
}
