//! User-count checks on schedule, run by the agent itself also while no controller answers.

mod timetable;

use std::{collections::HashSet, sync::Arc};

use holdfast_proto::check::{CheckOutcome, ScheduledCheck};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span, warn};

use self::timetable::Timetable;
use crate::{
    link::CheckReport,
    task::{Environment, ProgressSender, run_check},
};

/// Checks that run at the same time on this host.
const PARALLEL: usize = 2;

/// Reports that wait for a session; when so many do, newer ones are dropped.
pub const REPORTS_KEPT: usize = 1000;

/// Runs what is scheduled until `shutdown`.
pub async fn run(
    environment: Environment,
    mut schedule: watch::Receiver<Vec<ScheduledCheck>>,
    reports: mpsc::Sender<CheckReport>,
    shutdown: CancellationToken,
) {
    let mut timetable = Timetable::default();
    let mut running = JoinSet::new();
    let mut busy: HashSet<u64> = HashSet::new();
    let places = Arc::new(Semaphore::new(PARALLEL));
    loop {
        let now = std::time::Instant::now();
        for check in timetable.take_due(now, &busy) {
            busy.insert(check.id);
            let (environment, places) = (environment.clone(), Arc::clone(&places));
            let cancel = shutdown.child_token();
            let span = info_span!("check", check = check.id, instance = %check.run.target.instance);
            let work = async move {
                let _place = places.acquire().await;
                (check.id, once(check, &environment, cancel).await)
            };
            running.spawn(work.instrument(span));
        }
        let next = timetable.next_due(&busy);
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = schedule.changed() => {
                if changed.is_err() {
                    return;
                }
                let checks = schedule.borrow_and_update().clone();
                timetable.replace(checks, std::time::Instant::now(), &mut rand::rng());
            }
            Some(ended) = running.join_next() => {
                if let Ok((id, outcome)) = ended {
                    busy.remove(&id);
                    if reports.try_send((id, outcome)).is_err() {
                        warn!(check = id, "no controller has taken reports for long: one was dropped");
                    }
                }
            }
            () = sleep_until(next.unwrap_or(now).into()), if next.is_some() => {}
        }
    }
}

async fn once(
    check: ScheduledCheck,
    environment: &Environment,
    cancel: CancellationToken,
) -> CheckOutcome {
    let (progress, _) = ProgressSender::new();
    let context = environment.context(progress, cancel);
    let at = environment.clock.now();
    match run_check::run(check.run, &context).await {
        Ok(outcome) => outcome,
        Err(failure) => CheckOutcome {
            at,
            count: None,
            newest: None,
            error: failure.message,
        },
    }
}
