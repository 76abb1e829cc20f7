//! Everything that could stand in the way, asked before anything is touched: pure, all answers at once.

use std::time::Duration;

use async_trait::async_trait;
use holdfast_chassis::units;
use holdfast_proto::{
    names::{DatabaseName, HostName},
    task::{
        DatabaseFacts, DatabaseTarget, DescribeDatabase, FailureKind, Selection, TaskFailure,
        TaskResult, TaskSpec,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::CopyDatabase;
use crate::job::{
    JobId,
    definition::{Step, StepDone, StepFailure},
    event::Why,
    hosts::Standing,
    position::Position,
    retry::Patience,
    step::{StepContext, wrong_result},
};

pub mod compatibility;
pub mod room;
pub mod source;
pub mod target;

pub const NAME: &str = "preflight";

/// A host that is away (as all are after a start of the controller) gets so long to come back.
const RETURN_WITHIN: Duration = Duration::from_secs(15);
/// Describing a database takes milliseconds; one that hangs is an answer too.
const ANSWER_WITHIN: Duration = Duration::from_mins(2);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreflightLine {
    /// "source is readable".
    pub question: String,
    pub verdict: PreflightVerdict,
    pub detail: String,
    /// What to do; empty when nothing.
    pub advice: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PreflightVerdict {
    Passed,
    Warning,
    Failed,
}

/// What the questions are asked about.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub job: JobId,
    pub request: &'a CopyDatabase,
    /// Or why they could not be read.
    pub source: Result<&'a DatabaseFacts, &'a TaskFailure>,
    pub target: Result<&'a DatabaseFacts, &'a TaskFailure>,
}

/// What later steps know from the preflight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    pub lines: Vec<PreflightLine>,
    pub source: Option<DatabaseFacts>,
    pub target: Option<DatabaseFacts>,
}

#[derive(Debug)]
pub struct Preflight<'a>(pub &'a CopyDatabase);

#[async_trait]
impl Step for Preflight<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let (source, target) = tokio::join!(
            describe(ctx, "source", &request.source, Some(&request.selection)),
            describe(ctx, "target", &request.target, None),
        );
        if ctx.cancel.is_cancelled()
            && let Some(cancelled) = cancelled(&source).or_else(|| cancelled(&target))
        {
            return Err(cancelled.clone().into());
        }
        let lines = examine(&Inputs {
            job: ctx.job,
            request,
            source: source.as_ref(),
            target: target.as_ref(),
        });
        let unreachable = source.is_err() || target.is_err();
        let examined = Examined {
            lines,
            source: source.ok(),
            target: target.ok(),
        };
        conclude(&examined, unreachable)
    }

    /// It only reads.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience::NONE
    }

    fn says(&self, output: &Value) -> String {
        says(output)
    }
}

impl PreflightLine {
    #[must_use]
    pub fn passed(question: &str, detail: impl Into<String>) -> Self {
        Self::new(question, PreflightVerdict::Passed, detail.into(), "")
    }

    #[must_use]
    pub fn warning(question: &str, detail: impl Into<String>, advice: &str) -> Self {
        Self::new(question, PreflightVerdict::Warning, detail.into(), advice)
    }

    #[must_use]
    pub fn failed(question: &str, detail: impl Into<String>, advice: &str) -> Self {
        Self::new(question, PreflightVerdict::Failed, detail.into(), advice)
    }

    fn new(question: &str, verdict: PreflightVerdict, detail: String, advice: &str) -> Self {
        Self {
            question: question.to_owned(),
            verdict,
            detail,
            advice: advice.to_owned(),
        }
    }
}

/// The end of every preflight: the answers stay with the job, also when they refuse it. `unreachable`: a side could
/// not be asked.
///
/// # Errors
/// When an answer refuses.
pub fn conclude(examined: &Examined, unreachable: bool) -> Result<StepDone, StepFailure> {
    match refusal(&examined.lines, unreachable) {
        Some(failure) => Err(StepFailure::with(failure, examined)),
        None => StepDone::with(examined),
    }
}

/// How many questions there were, for the history.
pub fn says(output: &Value) -> String {
    let Ok(examined) = serde_json::from_value::<Examined>(output.clone()) else {
        return String::new();
    };
    let warnings = count(&examined.lines, PreflightVerdict::Warning);
    let questions = units::plural(examined.lines.len() as u64, "question");
    format!("{questions}, {}", units::plural(warnings, "warning"))
}

/// Every question that the facts allow to ask. What could not be checked is never passed.
#[must_use]
pub fn examine(inputs: &Inputs<'_>) -> Vec<PreflightLine> {
    let mut lines = Vec::new();
    let request = inputs.request;
    source::ask(
        &request.source,
        inputs.source,
        &request.selection,
        &mut lines,
    );
    target::ask(inputs.job, &request.landing(), inputs.target, &mut lines);
    if let (Ok(source), Ok(target)) = (inputs.source, inputs.target) {
        lines.push(compatibility::distinct(request, source, target));
        compatibility::ask(source, target, &mut lines);
        room::ask(request.selection.schema_only, source, target, &mut lines);
    }
    lines
}

/// The lines that the job's preflight wrote, also when it failed.
#[must_use]
pub fn lines(position: &Position) -> Vec<PreflightLine> {
    let output = position.output(NAME).cloned().unwrap_or(Value::Null);
    serde_json::from_value::<Examined>(output)
        .map(|examined| examined.lines)
        .unwrap_or_default()
}

/// What the agent itself found about a database of MariaDB or MySQL.
fn told(question: &str, facts: &DatabaseFacts) -> Vec<PreflightLine> {
    let obstacles = facts.obstacles.iter();
    let obstacles = obstacles.map(|told| PreflightLine::failed(question, told.clone(), ""));
    let warnings = facts.warnings.iter();
    let warnings = warnings.map(|told| PreflightLine::warning(question, told.clone(), ""));
    let mut lines: Vec<_> = obstacles.chain(warnings).collect();
    if lines.is_empty() {
        lines.push(PreflightLine::passed(question, "nothing stands in the way"));
    }
    lines
}

/// A side that could not be described is a failed line of its own.
fn reachable(question: &str, side: &DatabaseName, failure: &TaskFailure) -> PreflightLine {
    PreflightLine::failed(
        question,
        format!("could not check {side}: {}", failure.message),
        &failure.advice,
    )
}

/// A host that is away, as all are after a start of the controller, gets some time to come back.
pub async fn wait_for(ctx: &StepContext, host: &HostName) -> Standing {
    ctx.wait_connected(host, RETURN_WITHIN).await
}

/// What the database's host says of it; of a source, what is selected of it.
///
/// # Errors
/// The host is away or unknown, or could not describe it in time.
pub async fn describe(
    ctx: &StepContext,
    part: &str,
    database: &DatabaseName,
    selection: Option<&Selection>,
) -> Result<DatabaseFacts, TaskFailure> {
    match wait_for(ctx, &database.host).await {
        Standing::Connected { .. } => {}
        Standing::Unknown => return Err(unknown_host(database)),
        Standing::Away { last_seen_at } => {
            let since = last_seen_at.map_or_else(
                || "it has never connected".to_owned(),
                |at| format!("last seen {} UTC", at.format("%F %H:%M:%S")),
            );
            return Err(away(format!("{} is not connected, {since}", database.host)));
        }
    }
    let spec = TaskSpec::DescribeDatabase(DescribeDatabase {
        target: DatabaseTarget {
            instance: database.instance.clone(),
            database: database.database.clone(),
        },
        as_source: selection.is_some(),
        selection: selection.cloned().unwrap_or_default(),
    });
    let patience: CancellationToken = ctx.cancel.child_token();
    let task = ctx.task_until(part, &database.host, spec, &patience);
    tokio::pin!(task);
    let answer = tokio::select! {
        answer = &mut task => answer,
        () = tokio::time::sleep(ANSWER_WITHIN) => {
            patience.cancel();
            task.await.map_err(|failure| match failure.kind {
                FailureKind::Cancelled if !ctx.cancel.is_cancelled() => away(format!(
                    "{} did not describe {database} within {} s", database.host, ANSWER_WITHIN.as_secs()
                )),
                _ => failure,
            })
        }
    };
    match answer? {
        TaskResult::DatabaseFacts(facts) => Ok(facts),
        other => Err(wrong_result("describe-database", &other)),
    }
}

fn unknown_host(database: &DatabaseName) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Invalid,
        message: format!("there is no host {}", database.host),
        advice: "`ctl host list` shows the hosts".to_owned(),
        retryable: false,
    }
}

fn away(message: String) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Unavailable,
        message,
        advice: "look at the host and its agent (`systemctl status holdfast-agent`), then start \
                 the copy again"
            .to_owned(),
        retryable: true,
    }
}

fn cancelled(side: &Result<DatabaseFacts, TaskFailure>) -> Option<&TaskFailure> {
    side.as_ref()
        .err()
        .filter(|failure| failure.kind == FailureKind::Cancelled)
}

/// The failure that the lines mean, when one of them says no.
pub fn refusal(lines: &[PreflightLine], unreachable: bool) -> Option<TaskFailure> {
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| line.verdict == PreflightVerdict::Failed)
        .collect();
    let first = failed.first()?;
    let more = match failed.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    Some(TaskFailure {
        kind: if unreachable {
            FailureKind::Unavailable
        } else {
            FailureKind::Invalid
        },
        message: format!(
            "the preflight says no: {}: {}{more}",
            first.question, first.detail
        ),
        advice: first.advice.clone(),
        retryable: false,
    })
}

fn count(lines: &[PreflightLine], verdict: PreflightVerdict) -> u64 {
    lines.iter().filter(|line| line.verdict == verdict).count() as u64
}

/// "a, b and 3 more", for details that name things.
pub fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
