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
    /// One after another.
    Steps {
        what: String,
        steps: Vec<Step>,
    },
}

pub(super) enum Done {
    Early { relation: u32 },
    ReadBack { relation: u32, tally: Tally },
    Steps,
}

/// Heaviest first: what takes longest must not be what is started last.
pub(super) struct Ready {
    pub(super) weight: u64,
    pub(super) job: Job,
}

impl PartialEq for Ready {
    fn eq(&self, other: &Self) -> bool {
        self.weight == other.weight
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
        self.weight.cmp(&other.weight)
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
        Job::Steps { what, steps } => {
            meter.current(&what);
            for step in steps {
                pool.execute(&format!("making {}", step.label), &step.sql)
                    .await?;
            }
            Ok(Done::Steps)
        }
    }
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
