//! What jobs on volumes have in common: asking about one, and having nobody run with it for a while.

use holdfast_proto::{
    names::{InstanceName, VolumeName},
    task::{
        DescribeVolume, FailureKind, TaskFailure, TaskResult, TaskSpec, VolumeFacts, VolumeUser,
    },
};
use serde_json::Value;

use super::{
    copy_database::preflight::{self, PreflightLine},
    hosts::Standing,
    step::{StepContext, wrong_result},
};
use crate::detect::HostFacts;

/// Between the name of a volume and the number of the job that exchanges it.
pub const SWAP: &str = "__swap_";
/// Before the number of the job that drills.
pub const DRILL: &str = "holdfast-drill-";

/// Whether the name is of the kind that jobs give to what they make for themselves, whichever job.
#[must_use]
pub fn looks_made(volume: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let swapped = volume.rsplit_once(SWAP);
    volume.strip_prefix(DRILL).is_some_and(is_number)
        || swapped.is_some_and(|(_, job)| is_number(job))
}

/// Database servers in containers that mount the volume.
#[must_use]
pub fn servers_on(host: &HostFacts, volume: &VolumeName) -> Vec<InstanceName> {
    let mut volumes = host.volumes.iter();
    let used_by = volumes.find(|one| one.name == volume.volume);
    let used_by = used_by.map_or(&[][..], |one| &one.used_by[..]);
    let instances = host.instances.iter();
    let on_it = instances.filter(|instance| used_by.contains(&instance.container));
    on_it
        .map(|instance| InstanceName {
            host: volume.host.clone(),
            instance: instance.name.clone(),
        })
        .collect()
}

/// What the volume's host says of it now.
///
/// # Errors
/// The host is away or unknown, or could not look.
pub async fn describe(ctx: &StepContext, volume: &VolumeName) -> Result<VolumeFacts, TaskFailure> {
    let host = &volume.host;
    let standing = preflight::wait_for(ctx, host).await;
    if !matches!(standing, Standing::Connected { .. }) {
        return Err(TaskFailure {
            kind: FailureKind::Unavailable,
            message: format!("{host} is not connected"),
            advice: "look at the host's agent: systemctl status holdfast-agent".to_owned(),
            retryable: false,
        });
    }
    let spec = TaskSpec::DescribeVolume(DescribeVolume {
        volume: volume.volume.clone(),
    });
    match ctx.task("", host, spec).await? {
        TaskResult::VolumeFacts(facts) => Ok(facts),
        other => Err(wrong_result("describe-volume", &other)),
    }
}

/// Whether the agent can work on it, as a line; the facts when there is something to ask further.
pub fn reached<'a>(
    volume: &VolumeName,
    facts: Result<&'a VolumeFacts, &TaskFailure>,
    lines: &mut Vec<PreflightLine>,
) -> Option<&'a VolumeFacts> {
    const QUESTION: &str = "volume is within reach";
    match facts {
        Err(failure) => {
            let detail = format!("could not check {volume}: {}", failure.message);
            lines.push(PreflightLine::failed(QUESTION, detail, &failure.advice));
            None
        }
        Ok(facts) if facts.exists && !facts.out_of_reach.is_empty() => {
            lines.push(PreflightLine::failed(
                QUESTION,
                facts.out_of_reach.clone(),
                "only volumes of the driver local, without options, are worked on",
            ));
            None
        }
        Ok(facts) => {
            lines.push(PreflightLine::passed(QUESTION, volume.to_string()));
            Some(facts)
        }
    }
}

/// The containers of these users, by name.
#[must_use]
pub fn names<'a>(users: impl Iterator<Item = &'a VolumeUser>) -> String {
    let names: Vec<_> = users.map(|user| user.container.as_str()).collect();
    names.join(", ")
}

/// Names in the output of a step that stops or starts, for the history.
#[must_use]
pub fn says(output: &Value, key: &str, verb: &str) -> String {
    let names = output.get(key).and_then(Value::as_array);
    let names: Vec<_> = names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("{verb} {}", names.join(", "))
    }
}
