//! Start the throwaway server of one instance, from the image that its newest backup was taken of.

use async_trait::async_trait;
use holdfast_proto::task::{
    SandboxLimits, StartSandbox, StartedSandbox, TaskFailure, TaskResult, TaskSpec,
};
use serde_json::Value;

use super::{
    ChosenServer, RebuildHost,
    read::{self, WereRead},
    remove::remove,
};
use crate::job::{
    definition::{Step, StepDone, StepFailure, defect},
    drill_backup::{DrillBackup, preflight::wanted, sandbox::noted},
    event::Why,
    step::{StepContext, wrong_result},
};

#[derive(Debug)]
pub struct Server<'a> {
    name: String,
    /// Counted from 0.
    place: usize,
    request: &'a RebuildHost,
    server: &'a ChosenServer,
}

impl<'a> Server<'a> {
    pub fn new(request: &'a RebuildHost, place: usize, server: &'a ChosenServer) -> Self {
        Self {
            name: format!("server-{}", place + 1),
            place,
            request,
            server,
        }
    }
}

#[async_trait]
impl Step for Server<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let read: WereRead = ctx.output(read::NAME)?;
        let mut databases = self.server.databases.iter();
        if databases.all(|chosen| read.is_damaged(chosen.backup)) {
            // What is damaged is not restored.
            return StepDone::with(&StartedSandbox {
                instance: String::new(),
                image_id: String::new(),
                limits: SandboxLimits::default(),
            });
        }
        let spec = spec(ctx, self.request, self.place).await?;
        let host = &self.request.host;
        ctx.end_earlier_attempts("", host).await;
        match ctx.task("", host, TaskSpec::StartSandbox(spec)).await? {
            TaskResult::StartedSandbox(started) => StepDone::with(&started),
            other => Err(wrong_result("start-sandbox", &other).into()),
        }
    }

    /// By the job's label: with whatever else of the job stands there.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        ctx.end_attempts("", &self.request.host).await;
        remove(ctx, self.request).await?;
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        let started = serde_json::from_value::<StartedSandbox>(output.clone());
        match started {
            Ok(started) if !started.instance.is_empty() => {
                format!("{} as {}", self.server.instance, started.instance)
            }
            _ => String::new(),
        }
    }
}

/// What the server at that place is made from.
///
/// # Errors
/// When the catalog fails, or nobody knows the image.
pub async fn spec(
    ctx: &StepContext,
    request: &RebuildHost,
    place: usize,
) -> Result<StartSandbox, TaskFailure> {
    let server = request.servers.get(place);
    let first = server.and_then(|server| server.databases.first());
    let first = first.ok_or_else(|| defect("there is no such server".to_owned()))?;
    let drill = DrillBackup {
        backup: first.backup,
        source: first.database.clone(),
        host: request.host.clone(),
        image: String::new(),
    };
    let noted = noted(ctx, &drill).await?;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let spec = wanted(&drill, &noted, ctx.job).map_err(|line| TaskFailure {
        advice: line.advice,
        ..defect(line.detail)
    })?;
    Ok(StartSandbox {
        part: number(place + 1),
        servers: number(request.servers.len()),
        ..spec
    })
}
