//! Send the image: one task on the source's host, one on the target's, one secret that ties them.

use std::time::Duration;

use async_trait::async_trait;
use holdfast_proto::task::{
    FailureKind, ReceiveImage, SendImage, TaskFailure, TaskResult, TaskSpec,
};
use serde_json::Value;

use super::{
    CopyDatabase,
    preflight::{self, Examined, compatibility::missing_tablespaces},
};
use crate::job::{
    definition::{Step, StepDone, StepFailure, defect},
    event::Why,
    hosts::Standing,
    landing::{
        conclude::{Transferred, transfer_says},
        connections,
    },
    retry::Patience,
    step::{StepContext, catalog_failure, wrong_result},
};

pub const NAME: &str = "transfer";

const SEND: &str = "send";
const RECEIVE: &str = "receive";
/// The addresses of the receiving agent are known once it is connected.
const CONNECTED_WITHIN: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub struct Transfer<'a>(pub &'a CopyDatabase);

#[async_trait]
impl Step for Transfer<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let (send, receive) = self.specs(ctx).await?;
        let (source, target) = (&self.0.source.host, &self.0.target.host);
        ctx.end_earlier_attempts(SEND, source).await;
        ctx.end_earlier_attempts(RECEIVE, target).await;
        // When one end fails, the other has nobody to talk to.
        let both = ctx.cancel.child_token();
        let sending = async {
            let ended = ctx.task_until(SEND, source, send, &both).await;
            ended.inspect_err(|_| both.cancel())
        };
        let receiving = async {
            let ended = ctx.task_until(RECEIVE, target, receive, &both).await;
            ended.inspect_err(|_| both.cancel())
        };
        match tokio::join!(sending, receiving) {
            (Ok(TaskResult::SentImage(sent)), Ok(TaskResult::ReceivedImage(received))) => {
                StepDone::with(&Transferred { sent, received })
            }
            (Ok(TaskResult::SentImage(_)), Ok(other)) => {
                Err(wrong_result("receive-image", &other).into())
            }
            (Ok(other), Ok(_)) => Err(wrong_result("send-image", &other).into()),
            (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure.into()),
            (Err(sending), Err(receiving)) => Err(cause(sending, receiving).into()),
        }
    }

    /// Ends what may still run; the staging database goes with its own step.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        ctx.end_attempts(SEND, &self.0.source.host).await;
        ctx.end_attempts(RECEIVE, &self.0.target.host).await;
        let catalog = &ctx.world.catalog;
        catalog
            .forget_grants(ctx.job)
            .await
            .map_err(|error| catalog_failure(&error))?;
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience {
            failures: 8,
            ..Patience::default()
        }
    }

    fn says(&self, output: &Value) -> String {
        transfer_says(output)
    }
}

impl Transfer<'_> {
    async fn specs(&self, ctx: &StepContext) -> Result<(TaskSpec, TaskSpec), TaskFailure> {
        let request = self.0;
        let examined: Examined = ctx.output(preflight::NAME)?;
        let (Some(source), Some(target)) = (&examined.source, &examined.target) else {
            return Err(defect("the preflight passed without facts".to_owned()));
        };
        // The same for every controller that takes this attempt up: its tasks are joined.
        let grant = ctx
            .world
            .catalog
            .transfer_grant(ctx.job, ctx.attempt)
            .await
            .map_err(|error| catalog_failure(&error))?;
        let standing = ctx
            .wait_connected(&request.target.host, CONNECTED_WITHIN)
            .await;
        // Without an address the image goes through the controller.
        let peer_addresses = match standing {
            Standing::Connected { peer_addresses } => peer_addresses,
            Standing::Away { .. } | Standing::Unknown => Vec::new(),
        };
        let jobs = connections(request.jobs, &[source.cpus, target.cpus]);
        let send = SendImage {
            source: holdfast_proto::task::DatabaseTarget {
                instance: request.source.instance.clone(),
                database: request.source.database.clone(),
            },
            selection: request.selection.clone(),
            peer_host: request.target.host.to_string(),
            peer_addresses,
            grant: grant.clone(),
            jobs,
            bandwidth: request.bandwidth,
            target_version_num: target.version_num,
            target_extensions: target.extensions.clone(),
            no_tablespaces: !missing_tablespaces(source, target).is_empty(),
        };
        let receive = ReceiveImage {
            staging: request.landing().staging(ctx.job),
            peer_host: request.source.host.to_string(),
            grant,
            jobs,
            proof: request.proof,
            properties: source.properties.clone(),
        };
        Ok((TaskSpec::SendImage(send), TaskSpec::ReceiveImage(receive)))
    }
}

/// What to say when both ends failed: one of them only because the other did. Whether it may be
/// tried again is for the end that knows the cause.
fn cause(sending: TaskFailure, receiving: TaskFailure) -> TaskFailure {
    let weight = |failure: &TaskFailure| match failure.kind {
        FailureKind::Cancelled => 0,
        FailureKind::Unavailable => 1,
        _ => 2,
    };
    if weight(&receiving) >= weight(&sending) {
        receiving
    } else {
        sending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: FailureKind) -> TaskFailure {
        TaskFailure {
            kind,
            message: format!("{kind:?}"),
            advice: String::new(),
            retryable: false,
        }
    }

    #[test]
    fn the_end_that_knows_the_cause_is_heard() {
        let heard = |sending, receiving| cause(failure(sending), failure(receiving)).kind;
        use FailureKind::{Cancelled, Conflict, Exhausted, Unavailable};
        assert_eq!(heard(Unavailable, Cancelled), Unavailable);
        assert_eq!(heard(Cancelled, Unavailable), Unavailable);
        assert_eq!(heard(Unavailable, Exhausted), Exhausted);
        assert_eq!(heard(Conflict, Unavailable), Conflict);
    }
}
