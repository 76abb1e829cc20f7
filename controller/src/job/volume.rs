//! What jobs on volumes have in common: asking about one, and having nobody run with it for a while.

use holdfast_proto::{
    names::VolumeName,
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
