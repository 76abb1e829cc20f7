//! Works on one claimed job: looks at its position, does the next action, appends what came of it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::telemetry;
use holdfast_proto::task::TaskFailure;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    action::{Action, Facts, next},
    definition::{Definition, Step, StepDone, StepFailure, defect},
    engine::Inner,
    error::JobError,
    event::{Event, Leftover, Recorded, Why},
    lease::Lease,
    position::{Position, Way},
    retry::{Patience, after_step_failure, after_undo_failure},
    step::StepContext,
    summary::derive,
};
use crate::{
    audit,
    catalog::{Append, AppendError, Claim, JobRow},
};

/// A job that cannot be worked on (a defect, a catalog changed by hand) is looked at again so late.
const UNREADABLE_PAUSE: TimeDelta = TimeDelta::minutes(5);

/// The catalog failed, which may be over soon; but not looked at again without a pause.
const CATALOG_PAUSE: TimeDelta = TimeDelta::seconds(5);

/// What a job left does no harm: there is time to try to drop it again.
const SWEEP_PAUSE: TimeDelta = TimeDelta::hours(1);

/// Why the runner laid the job down.
#[derive(Debug)]
enum Stopped {
    /// Nothing to do before this moment, or until somebody rings.
    Resting(Option<DateTime<Utc>>),
    /// Another controller has it.
    Fenced,
    /// The catalog or the job's history does not let us go on.
    Broken(JobError),
}

struct Runner {
    inner: Arc<Inner>,
    job: JobRow,
    lease: Arc<Lease>,
    position: Position,
}

/// Works on the claimed job until there is nothing to do now, the lease is lost, or the
/// controller shuts down (tasks then run on and are joined later).
pub(super) async fn work(inner: Arc<Inner>, claim: Claim, shutdown: CancellationToken) {
    let (job, epoch) = (claim.job.id, claim.epoch);
    let span = tracing::info_span!("job", job, kind = claim.job.kind, epoch);
    telemetry::set_parent(&span, &claim.job.traceparent);
    let lease = Arc::new(Lease::new(&claim));
    let working = async {
        let mut runner = Runner {
            inner: Arc::clone(&inner),
            job: claim.job,
            lease: Arc::clone(&lease),
            position: Position::empty(),
        };
        // Whatever ends first drops the others: a lost lease leaves nothing of the step here.
        let stopped = tokio::select! {
            stopped = runner.drive(claim.taken_over) => stopped,
            () = lease.hold(&inner) => Stopped::Fenced,
            () = shutdown.cancelled() => Stopped::Resting(None),
        };
        inner.board.clear(job);
        lay_down(&inner, &lease, stopped).await;
    };
    working.instrument(span).await;
}

async fn lay_down(inner: &Inner, lease: &Lease, stopped: Stopped) {
    let not_before = match stopped {
        Stopped::Resting(until) => until,
        Stopped::Fenced => return,
        Stopped::Broken(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot go on with the job now"
            );
            let pause = match error {
                JobError::Catalog(_) => CATALOG_PAUSE,
                _ => UNREADABLE_PAUSE,
            };
            Some(inner.world.clock.now() + pause)
        }
    };
    let catalog = &inner.world.catalog;
    let known = lease.wishes();
    let released = catalog.release_lease(lease.job, lease.epoch, not_before, &known);
    if let Err(error) = released.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot give the job back: its lease runs out by itself"
        );
    }
}

impl Runner {
    async fn drive(&mut self, taken_over: bool) -> Stopped {
        match self.try_drive(taken_over).await {
            Ok(until) => Stopped::Resting(until),
            Err(stopped) => stopped,
        }
    }

    /// Ends with the moment at which there is something to do again.
    async fn try_drive(&mut self, taken_over: bool) -> Result<Option<DateTime<Utc>>, Stopped> {
        let spec = self.job.spec.0.clone();
        let definition = spec.definition();
        let steps = definition.steps();
        let names: Vec<_> = steps.iter().map(|step| step.name()).collect();
        self.replay().await?;
        if taken_over {
            let owner = self.inner.settings.owner.clone();
            self.append(&names, Event::Resumed { owner }).await?;
        }
        loop {
            match self.next(definition, &names) {
                Action::Record(event) => self.append(&names, event).await?,
                Action::Do { step, attempt } => {
                    self.run_step(&steps, &names, &step, attempt).await?
                }
                Action::Undo { step, attempt, why } => {
                    self.undo_step(&steps, &names, &step, attempt, &why).await?;
                }
                Action::Sweep(leftover) => {
                    self.sweep(definition, &names, &leftover).await?;
                    // Its lock went with the event: another leftover needs another claim.
                    return Ok(self.position.sweep_at());
                }
                Action::WaitUntil(at) => return Ok(Some(at)),
                Action::Rest => return Ok(None),
            }
        }
    }

    async fn replay(&mut self) -> Result<(), Stopped> {
        let id = self.job.id;
        let events = self.inner.world.catalog.job_events(id, 0).await;
        let events = events.map_err(|error| Stopped::Broken(error.into()))?;
        self.position = Position::replay(&events)
            .map_err(|source| Stopped::Broken(JobError::Replay { id, source }))?;
        Ok(())
    }

    fn next(&self, definition: &dyn Definition, names: &[&str]) -> Action {
        let wishes = self.lease.wishes();
        let left = definition.left(&self.position);
        let facts = Facts {
            now: self.now(),
            steps: names,
            deadline: self.job.deadline,
            cancel_requested_by: wishes.cancel_by.as_deref(),
            undo_requested_by: wishes.undo_by.as_deref(),
            keep: definition
                .keep()
                .and_then(|keep| TimeDelta::from_std(keep).ok()),
            left: &left,
        };
        next(&self.position, &facts)
    }

    async fn append(&mut self, names: &[&str], event: Event) -> Result<(), Stopped> {
        let id = self.job.id;
        let recorded = Recorded {
            seq: self.position.last_seq + 1,
            at: self.now(),
            event,
        };
        let mut position = self.position.clone();
        position
            .apply(&recorded)
            .map_err(|source| Stopped::Broken(JobError::Replay { id, source }))?;
        let derived = derive(&position, names);
        #[cfg(test)]
        self.inner.fuse.before_event().await;
        let appended = self.inner.world.catalog.append_job_event(Append {
            job: id,
            epoch: self.lease.epoch,
            recorded: &recorded,
            derived: &derived,
        });
        match appended.await {
            Ok(wishes) => self.lease.learn(wishes),
            // The position stays: the next look at it sees the wish.
            Err(AppendError::Cancelled { wishes, .. }) => {
                self.lease.learn(wishes);
                return Ok(());
            }
            Err(AppendError::Fenced { .. }) => return Err(Stopped::Fenced),
            Err(AppendError::Catalog(error)) => return Err(Stopped::Broken(error.into())),
        }
        self.position = position;
        log(&recorded.event);
        #[cfg(test)]
        self.inner.fuse.after_event().await;
        Ok(())
    }

    async fn run_step(
        &mut self,
        steps: &[Box<dyn Step + '_>],
        names: &[&str],
        name: &str,
        attempt: u32,
    ) -> Result<(), Stopped> {
        let (ended, patience, ctx) = match find(steps, name) {
            Some(step) => {
                let span = tracing::info_span!("step", step = name, attempt);
                let cancel = CancellationToken::new();
                let ctx = self.context(&span, name, Way::Do, attempt, cancel.clone());
                let ended = self
                    .until_stopped(step.run(&ctx), &cancel)
                    .instrument(span)
                    .await;
                (ended, step.patience(), Some(ctx))
            }
            None => (Err(unknown_step(name).into()), Patience::NONE, None),
        };
        let step = name.to_owned();
        let event = match ended {
            Ok(StepDone { output, leaves }) => Event::StepDone {
                step,
                attempt,
                output,
                leaves,
            },
            Err(StepFailure { failure, output }) => Event::StepFailed {
                step,
                attempt,
                next: after_step_failure(&patience, self.failures() + 1, &failure, self.now()),
                failure,
                output,
            },
        };
        self.end_step(names, event, ctx.as_ref()).await
    }

    async fn undo_step(
        &mut self,
        steps: &[Box<dyn Step + '_>],
        names: &[&str],
        name: &str,
        attempt: u32,
        why: &Why,
    ) -> Result<(), Stopped> {
        let (ended, ctx) = match find(steps, name) {
            Some(step) => {
                let span = tracing::info_span!("undo", step = name, attempt);
                let ctx = self.context(&span, name, Way::Undo, attempt, CancellationToken::new());
                let ended = step.undo(&ctx, why).instrument(span).await;
                (ended, Some(ctx))
            }
            None => (Err(unknown_step(name)), None),
        };
        let step = name.to_owned();
        let event = match ended {
            Ok(StepDone { output, leaves }) => Event::StepUndone {
                step,
                attempt,
                output,
                leaves,
            },
            Err(failure) => Event::UndoFailed {
                step,
                attempt,
                next: after_undo_failure(
                    &Patience::UNDO,
                    self.failures() + 1,
                    &failure,
                    self.now(),
                ),
                failure,
            },
        };
        self.end_step(names, event, ctx.as_ref()).await
    }

    async fn sweep(
        &mut self,
        definition: &dyn Definition,
        names: &[&str],
        leftover: &Leftover,
    ) -> Result<(), Stopped> {
        let span = tracing::info_span!("sweep", database = %leftover.database);
        // Unique and the same after a crash: nothing is appended in between.
        let attempt = u32::try_from(self.position.last_seq).unwrap_or(u32::MAX);
        let ctx = self.context(&span, "sweep", Way::Undo, attempt, CancellationToken::new());
        let ended = definition.sweep(leftover, &ctx).instrument(span).await;
        let database = leftover.database.clone();
        let event = match ended {
            Ok(existed) => {
                self.audit_sweep(leftover).await?;
                Event::Swept { database, existed }
            }
            Err(failure) => Event::SweepFailed {
                database,
                again_at: self.now() + SWEEP_PAUSE,
                failure,
            },
        };
        self.end_step(names, event, Some(&ctx)).await
    }

    async fn audit_sweep(&self, leftover: &Leftover) -> Result<(), Stopped> {
        let detail = format!("job {}: its time was over", self.job.id);
        let subject = leftover.database.to_string();
        let catalog = &self.inner.world.catalog;
        catalog
            .audit(
                "controller",
                "job.sweep",
                &subject,
                audit::Outcome::Ok,
                &detail,
            )
            .await
            .map_err(|error| Stopped::Broken(error.into()))?;
        Ok(())
    }

    /// The outcome is stored first; only then may the agents forget theirs.
    async fn end_step(
        &mut self,
        names: &[&str],
        event: Event,
        ctx: Option<&StepContext>,
    ) -> Result<(), Stopped> {
        self.append(names, event).await?;
        self.inner.board.clear(self.job.id);
        if let Some(ctx) = ctx {
            ctx.release_outcomes().await;
        }
        Ok(())
    }

    /// Runs the step to its end; a cancellation or the deadline only asks it to end soon.
    async fn until_stopped<T>(
        &self,
        step: impl Future<Output = T>,
        cancel: &CancellationToken,
    ) -> T {
        let stop = async {
            tokio::select! {
                () = self.lease.cancel_wished() => {}
                () = self.deadline() => {}
            }
            cancel.cancel();
        };
        tokio::pin!(step);
        tokio::select! {
            ended = &mut step => return ended,
            () = stop => {}
        }
        step.await
    }

    async fn deadline(&self) {
        let Some(deadline) = self.job.deadline else {
            return std::future::pending().await;
        };
        let left = (deadline - self.now()).to_std().unwrap_or_default();
        tokio::time::sleep(left).await;
    }

    fn context(
        &self,
        span: &tracing::Span,
        step: &str,
        way: Way,
        attempt: u32,
        cancel: CancellationToken,
    ) -> StepContext {
        let own = span.in_scope(telemetry::current_traceparent);
        StepContext::new(
            self.job.id,
            self.inner.world.clone(),
            self.lease.epoch,
            (step, way, attempt),
            if own.is_empty() {
                self.job.traceparent.clone()
            } else {
                own
            },
            cancel,
            self.inner
                .board
                .reporter(self.job.id, self.inner.world.clock.clone()),
            self.position.clone(),
        )
    }

    fn failures(&self) -> u32 {
        self.position.open.as_ref().map_or(0, |open| open.failures)
    }

    fn now(&self) -> DateTime<Utc> {
        self.inner.world.clock.now()
    }
}

fn find<'a>(steps: &'a [Box<dyn Step + 'a>], name: &str) -> Option<&'a (dyn Step + 'a)> {
    steps
        .iter()
        .find(|step| step.name() == name)
        .map(AsRef::as_ref)
}

fn unknown_step(name: &str) -> TaskFailure {
    defect(format!("this version knows no step {name} of this job"))
}

fn log(event: &Event) {
    let message = event.message(|_, _: &Value| String::new());
    match event {
        Event::StepFailed { step, .. } | Event::UndoFailed { step, .. } => {
            tracing::warn!(step, event = event.kind(), "{message}");
        }
        Event::SweepFailed { .. } => tracing::warn!(event = event.kind(), "{message}"),
        Event::Ended { outcome, .. } => tracing::info!(?outcome, "{message}"),
        Event::Swept { .. } => tracing::info!(event = event.kind(), "{message}"),
        _ => tracing::debug!(event = event.kind(), "{message}"),
    }
}
