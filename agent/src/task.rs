//! Tasks: one verb a file, and what each is given to work with.

mod ask_guard;
mod back_up_database;
mod back_up_volume;
mod describe_database;
mod describe_volume;
mod drop_database;
mod drop_roles;
mod examine_database;
mod fence;
mod hold_containers;
mod measure_volume;
mod merge_rows;
mod probe_instance;
mod publish_database;
mod receive_image;
mod release_containers;
mod remove_sandbox;
mod remove_volume;
mod restore_image;
mod restore_volume;
pub mod run_check;
pub mod runtime;
mod send_image;
mod stage_database;
mod start_sandbox;
mod swap_volume;
mod triage_data;
mod unmerge_rows;
mod unpublish_database;

use std::{path::PathBuf, sync::Arc};

use holdfast_chassis::clock::SharedClock;
use holdfast_proto::{
    guard::AskGuard,
    task::{TaskFailure, TaskProgress, TaskResult, TaskSpec},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    backups::Backups,
    container::ContainerEngine,
    observe::{instances::Instances, observer::Ask},
    peer::Peers,
};

/// What a verb works with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    pub instances: Instances,
    pub containers: ContainerEngine,
    /// The way to backups.
    pub backups: Arc<dyn Backups>,
    /// Files that must outlive the process go below it.
    pub state_dir: PathBuf,
    /// The way to and from other agents.
    pub peers: Peers,
    pub clock: SharedClock,
    pub progress: ProgressSender,
    /// The verb ends as `Cancelled`, tidied up, soon after this fires.
    pub cancel: CancellationToken,
    /// Looks at an instance now.
    pub observer: mpsc::Sender<Ask>,
}

/// What all verbs of a process share.
#[derive(Debug, Clone)]
pub struct Environment {
    pub instances: Instances,
    pub containers: ContainerEngine,
    pub backups: Arc<dyn Backups>,
    pub state_dir: PathBuf,
    pub peers: Peers,
    pub clock: SharedClock,
    pub observer: mpsc::Sender<Ask>,
}

/// Takes progress as often as a verb likes; the newest is what gets sent.
#[derive(Debug, Clone)]
pub struct ProgressSender(watch::Sender<Option<TaskProgress>>);

impl Environment {
    /// For one task.
    #[must_use]
    pub fn context(&self, progress: ProgressSender, cancel: CancellationToken) -> Context {
        Context {
            instances: self.instances.clone(),
            containers: self.containers.clone(),
            backups: Arc::clone(&self.backups),
            state_dir: self.state_dir.clone(),
            peers: self.peers.clone(),
            clock: self.clock.clone(),
            progress,
            cancel,
            observer: self.observer.clone(),
        }
    }
}

impl ProgressSender {
    #[must_use]
    pub fn new() -> (Self, watch::Receiver<Option<TaskProgress>>) {
        let (send, receive) = watch::channel(None);
        (Self(send), receive)
    }

    pub fn report(&self, progress: TaskProgress) {
        self.0.send_replace(Some(progress));
    }
}

/// Does the verb.
///
/// # Errors
/// What the verb failed with, in words for an operator.
pub async fn perform(spec: TaskSpec, context: &Context) -> Result<TaskResult, TaskFailure> {
    let changed = changes_databases_of(&spec);
    let ended = do_verb(spec, context).await;
    if let Some(instance) = changed {
        probe_instance::soon(instance, context);
    }
    ended
}

/// Whose list of databases is another one afterwards.
fn changes_databases_of(spec: &TaskSpec) -> Option<String> {
    match spec {
        TaskSpec::PublishDatabase(spec) => Some(spec.instance.clone()),
        TaskSpec::UnpublishDatabase(spec) => Some(spec.instance.clone()),
        TaskSpec::DropDatabase(spec) => Some(spec.target.instance.clone()),
        _ => None,
    }
}

async fn do_verb(spec: TaskSpec, context: &Context) -> Result<TaskResult, TaskFailure> {
    match spec {
        TaskSpec::DescribeDatabase(spec) => describe_database::run(spec, context)
            .await
            .map(TaskResult::DatabaseFacts),
        TaskSpec::SendImage(spec) => Box::pin(send_image::run(spec, context))
            .await
            .map(TaskResult::SentImage),
        TaskSpec::ReceiveImage(spec) => Box::pin(receive_image::run(spec, context))
            .await
            .map(TaskResult::ReceivedImage),
        TaskSpec::StageDatabase(spec) => stage_database::run(spec, context)
            .await
            .map(TaskResult::StagedDatabase),
        TaskSpec::PublishDatabase(spec) => publish_database::run(spec, context)
            .await
            .map(TaskResult::PublishedDatabase),
        TaskSpec::UnpublishDatabase(spec) => unpublish_database::run(spec, context)
            .await
            .map(TaskResult::UnpublishedDatabase),
        TaskSpec::DropDatabase(spec) => drop_database::run(spec, context)
            .await
            .map(TaskResult::DroppedDatabase),
        TaskSpec::RunCheck(spec) => run_check::run(spec, context)
            .await
            .map(TaskResult::CheckOutcome),
        TaskSpec::MeasureVolume(spec) => measure_volume::run(spec, context)
            .await
            .map(TaskResult::MeasuredVolume),
        TaskSpec::BackUpDatabase(spec) => Box::pin(back_up_database::run(spec, context))
            .await
            .map(TaskResult::BackedUpDatabase),
        TaskSpec::RestoreImage(spec) => Box::pin(restore_image::run(spec, context))
            .await
            .map(TaskResult::RestoredImage),
        TaskSpec::ProbeInstance(spec) => probe_instance::run(spec, context)
            .await
            .map(TaskResult::ProbedInstance),
        TaskSpec::DropRoles(spec) => drop_roles::run(spec, context)
            .await
            .map(TaskResult::DroppedRoles),
        TaskSpec::StartSandbox(spec) => Box::pin(start_sandbox::run(spec, context))
            .await
            .map(TaskResult::StartedSandbox),
        TaskSpec::RemoveSandbox(spec) => Box::pin(remove_sandbox::run(spec, context))
            .await
            .map(TaskResult::RemovedSandbox),
        TaskSpec::ExamineDatabase(spec) => Box::pin(examine_database::run(spec, context))
            .await
            .map(TaskResult::ExaminedDatabase),
        TaskSpec::MergeRows(spec) => Box::pin(merge_rows::run(spec, context))
            .await
            .map(TaskResult::MergedRows),
        TaskSpec::UnmergeRows(spec) => Box::pin(unmerge_rows::run(spec, context))
            .await
            .map(TaskResult::UnmergedRows),
        TaskSpec::DescribeVolume(spec) => describe_volume::run(spec, context)
            .await
            .map(TaskResult::VolumeFacts),
        TaskSpec::HoldContainers(spec) => hold_containers::run(spec, context)
            .await
            .map(TaskResult::HeldContainers),
        TaskSpec::ReleaseContainers(spec) => release_containers::run(spec, context)
            .await
            .map(TaskResult::ReleasedContainers),
        TaskSpec::BackUpVolume(spec) => Box::pin(back_up_volume::run(spec, context))
            .await
            .map(TaskResult::BackedUpVolume),
        TaskSpec::RestoreVolume(spec) => Box::pin(restore_volume::run(spec, context))
            .await
            .map(TaskResult::RestoredVolume),
        TaskSpec::SwapVolume(spec) => swap_volume::run(spec, context)
            .await
            .map(TaskResult::SwappedVolume),
        TaskSpec::RemoveVolume(spec) => remove_volume::run(spec, context)
            .await
            .map(TaskResult::RemovedVolume),
        TaskSpec::TriageData(spec) => triage_data::run(spec, context)
            .await
            .map(TaskResult::TriagedData),
        TaskSpec::AskGuard(AskGuard {}) => {
            ask_guard::run(context).await.map(TaskResult::GuardStatus)
        }
    }
}
