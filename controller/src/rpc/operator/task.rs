//! Tasks that an operator waits for, outside of any job.

use std::{sync::Arc, time::Duration};

use chrono::SecondsFormat;
use holdfast_proto::task::{TaskResult, TaskSpec};
use tonic::Code;

use super::{RpcError, Services};
use crate::{dispatch::outside_jobs, fleet::HostState};

/// Runs the task on a connected host. An operator who goes away ends it.
///
/// # Errors
/// `Unavailable` when the host is not connected, `DeadlineExceeded` when it takes longer than
/// `within`; else what the task failed with.
pub async fn ask(
    services: &Services,
    host: &HostState,
    verb: &str,
    spec: TaskSpec,
    within: Duration,
) -> Result<TaskResult, RpcError> {
    if !host.connected {
        return Err(away(host));
    }
    let task = outside_jobs(verb, spec);
    let run = services.dispatch.run(&host.name, task, Arc::new(|_| {}));
    match tokio::time::timeout(within, run).await {
        Ok(ended) => Ok(ended?),
        Err(_) => Err(RpcError::new(
            Code::DeadlineExceeded,
            format!(
                "host {} did not answer within {}",
                host.name,
                humantime::format_duration(within)
            ),
            "`ctl host list` shows whether it is connected",
        )),
    }
}

fn away(host: &HostState) -> RpcError {
    let seen = match host.last_seen {
        Some(at) => format!(
            "it was last seen at {}",
            at.to_rfc3339_opts(SecondsFormat::Secs, true)
        ),
        None => "it has never been connected".to_owned(),
    };
    RpcError::new(
        Code::Unavailable,
        format!("host {} is not connected; {seen}", host.name),
        format!("check that holdfast-agent runs on {}", host.name),
    )
}

/// A result of another verb than was asked for: a defect of the agent.
pub fn wrong_result(host: &HostState, verb: &str) -> RpcError {
    RpcError::new(
        Code::Internal,
        format!(
            "the agent on {} answered {verb} with something else",
            host.name
        ),
        "are agent and controller of one version? `ctl host list` shows it",
    )
}
