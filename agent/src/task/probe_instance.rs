//! Looking at one instance now, out of turn.

use holdfast_proto::task::{FailureKind, ProbeInstance, ProbedInstance, TaskFailure};
use tokio::sync::oneshot;

use super::Context;
use crate::observe::observer::Ask;

/// Looks; an instance that is down is a result, not a failure.
///
/// # Errors
/// `Invalid` when there is no such instance, `Cancelled` when the agent is ending.
pub async fn run(spec: ProbeInstance, context: &Context) -> Result<ProbedInstance, TaskFailure> {
    let (answer, answered) = oneshot::channel();
    let ask = Ask {
        instance: spec.instance.clone(),
        answer,
    };
    let ending = |message: &str| TaskFailure {
        kind: FailureKind::Cancelled,
        message: message.to_owned(),
        advice: String::new(),
        retryable: true,
    };
    context
        .observer
        .send(ask)
        .await
        .map_err(|_| ending("the agent is ending"))?;
    tokio::select! {
        answer = answered => answer.map_err(|_| missing(&spec.instance, context)),
        () = context.cancel.cancelled() => Err(ending("cancelled while looking at the instance")),
    }
}

/// Asks for a look without waiting for it; when the observer is busy its next look in turn has to do.
pub(super) fn soon(instance: String, context: &Context) {
    let (answer, _) = oneshot::channel();
    let _ = context.observer.try_send(Ask { instance, answer });
}

/// The table's own words for what is not there.
fn missing(instance: &str, context: &Context) -> TaskFailure {
    match context.instances.locate(instance) {
        Err(failure) => failure,
        Ok(_) => TaskFailure {
            kind: FailureKind::Unavailable,
            message: format!("instance {instance} changed while it was looked at"),
            advice: String::new(),
            retryable: true,
        },
    }
}
