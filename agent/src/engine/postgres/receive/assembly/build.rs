//! One job of the yard.

use std::{cmp::Ordering, sync::Arc};

use holdfast_proto::{
    image::{CopyFormat, RelationPlan},
    task::TaskFailure,
};

use super::{Pool, Step, verified};
use crate::engine::postgres::{copy_sql, failure::raw, meter::Meter, wire::Tally};

pub(super) enum Job {
    Early {
        relation: u32,
        step: Step,
    },
    ReadBack {
        plan: RelationPlan,
        by_root: bool,
    },
    /// What needs a table alone, when its other jobs are done.
    Alone {
        relation: u32,
        what: String,
        steps: Vec<Step>,
    },
    /// One after another.
    Steps {
        what: String,
        steps: Vec<Step>,
    },
    /// Nothing waits for it: it fills what the others leave of the processors.
    Statistics(Step),
}

pub(super) enum Done {
    Early { relation: u32 },
    ReadBack { relation: u32, tally: Tally },
    Alone { relation: u32 },
    Steps,
    Statistics,
}

/// Statistics last; before that heaviest first: what takes longest must not be what is started last.
pub(super) struct Ready {
    pub(super) weight: u64,
    pub(super) job: Job,
}

impl Job {
    /// Whether foreign keys and what comes after them wait for it.
    pub(super) fn is_awaited(&self) -> bool {
        !matches!(self, Self::Statistics(_))
    }
}

impl Ready {
    fn rank(&self) -> (bool, u64) {
        (self.job.is_awaited(), self.weight)
    }
}

impl PartialEq for Ready {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Ready {}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ready {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

pub(super) async fn run(job: Job, pool: Pool, meter: Arc<Meter>) -> Result<Done, TaskFailure> {
    match job {
        Job::Early { relation, step } => {
            meter.current(&step.label);
            pool.execute(&format!("building {}", step.label), &step.sql)
                .await?;
            Ok(Done::Early { relation })
        }
        Job::ReadBack { plan, by_root } => {
            let tally = read_back(&pool, &meter, &plan, by_root).await?;
            Ok(Done::ReadBack {
                relation: plan.id,
                tally,
            })
        }
        Job::Alone {
            relation,
            what,
            steps,
        } => {
            in_turn(&pool, &meter, &what, &steps).await?;
            Ok(Done::Alone { relation })
        }
        Job::Steps { what, steps } => {
            in_turn(&pool, &meter, &what, &steps).await?;
            Ok(Done::Steps)
        }
        Job::Statistics(step) => {
            in_turn(&pool, &meter, &step.label, std::slice::from_ref(&step)).await?;
            Ok(Done::Statistics)
        }
    }
}

async fn in_turn(
    pool: &Pool,
    meter: &Meter,
    what: &str,
    steps: &[Step],
) -> Result<(), TaskFailure> {
    meter.current(what);
    for step in steps {
        pool.execute(&format!("making {}", step.label), &step.sql)
            .await?;
    }
    Ok(())
}

/// The same columns, form and filter as the source was read with.
async fn read_back(
    pool: &Pool,
    meter: &Meter,
    plan: &RelationPlan,
    by_root: bool,
) -> Result<Tally, TaskFailure> {
    let doing = format!("reading {}.{} back", plan.schema, plan.name);
    let mut session = pool.reader().await?;
    let sql = copy_sql::out(plan, None, by_root);
    let out = session
        .copy_out(&sql, plan.format == CopyFormat::Binary)
        .await
        .map_err(|error| raw(&doing, &error))?;
    let tally = out
        .drain(|rows| verified(meter, rows))
        .await
        .map_err(|error| raw(&doing, &error))?;
    pool.give_back_reader(session);
    Ok(tally)
}
