//! Everything that is built on the target: indexes while rows still come, then what needs them all.

mod build;

use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use holdfast_proto::{
    image::{ProofLevel, RelationPlan},
    task::{ReceiveImage, TaskFailure, TaskPhase},
};
use tokio::task::JoinSet;

use self::build::{Done, Job, Ready};
use super::{
    Reception, Target, finish, internal,
    order::{self, ForeignKey, Order, Step},
    pool::Pool,
    state::Contents,
};
use crate::engine::postgres::wire::Tally;

/// What has been made.
#[derive(Debug, Default)]
pub(super) struct Built {
    pub(super) read_back: BTreeMap<u32, Tally>,
    /// Tables that have their statistics.
    pub(super) analyzed: BTreeSet<(String, String)>,
    pub(super) indexes: u32,
    pub(super) constraints: u32,
}

/// The yard: what waits, what is ready, what runs.
pub(super) struct Assembly {
    reception: Arc<Reception>,
    target: Target,
    pool: Pool,
    proof: ProofLevel,
    loaders: usize,
    order: Order,
    /// Not loaded yet.
    awaited: BTreeMap<u32, RelationPlan>,
    parts: usize,
    ready: BinaryHeap<Ready>,
    /// Jobs that a table's last steps still wait for.
    pending: BTreeMap<u32, usize>,
    running: JoinSet<Result<Done, TaskFailure>>,
    /// Of those that are ready or run, the ones that what comes after must wait for.
    waited_for: usize,
    /// Relations with rows, by their number.
    plans: BTreeMap<u32, RelationPlan>,
    built: Built,
    finished_rest: bool,
}

impl Assembly {
    pub(super) async fn new(
        spec: &ReceiveImage,
        target: &Target,
        reception: Arc<Reception>,
        contents: &Contents,
    ) -> Result<Self, TaskFailure> {
        let order = order::of(contents);
        let relations = contents.relations.iter();
        let plans: BTreeMap<u32, RelationPlan> = relations
            .clone()
            .map(|plan| (plan.id, plan.clone()))
            .collect();
        Ok(Self {
            pool: reception.pool.clone(),
            reception,
            target: target.clone(),
            proof: spec.proof,
            loaders: spec.jobs.max(1) as usize,
            built: Built {
                indexes: order.indexes,
                constraints: order.constraints,
                ..Built::default()
            },
            order,
            awaited: plans.clone(),
            parts: relations.map(|plan| plan.parts as usize).sum(),
            plans,
            ready: BinaryHeap::new(),
            pending: BTreeMap::new(),
            running: JoinSet::new(),
            waited_for: 0,
            finished_rest: false,
        })
    }

    /// Builds beside the loading until every row and the manifest are there.
    pub(super) async fn until_loaded(&mut self, silence: Duration) -> Result<(), TaskFailure> {
        let mut bell = self.reception.state.bell();
        loop {
            bell.mark_unchanged();
            self.reception.state.check(silence)?;
            self.notice_loaded();
            if self.awaited.is_empty() && self.reception.state.has_manifest() {
                return Ok(());
            }
            self.start_ready();
            tokio::select! {
                Some(ended) = self.running.join_next() => self.take(ended)?,
                waited = self.reception.state.wait(&mut bell) => waited?,
            }
        }
    }

    /// Everything but what must come after ANALYZE.
    pub(super) async fn complete(&mut self) -> Result<Built, TaskFailure> {
        let early = self.ready.len() + self.running.len();
        self.target.meter.phase(TaskPhase::Indexes, early as u64);
        self.drain_awaited().await?;
        for ((_, table), step) in std::mem::take(&mut self.order.beside) {
            self.push(
                0,
                Job::Steps {
                    what: table,
                    steps: vec![step],
                },
            );
        }
        self.drain_awaited().await?;
        let foreign_keys = std::mem::take(&mut self.order.foreign_keys);
        let structure = std::mem::take(&mut self.order.structure);
        let rest = std::mem::take(&mut self.order.rest);
        let unfinished = self.ready.len() + self.running.len() + self.order.related.len();
        let steps = structure.len() + rest.len() + foreign_keys.len() + unfinished;
        self.target
            .meter
            .phase(TaskPhase::Constraints, steps as u64);
        self.in_order(structure).await?;
        self.relate(foreign_keys).await?;
        self.drain().await?;
        let (said, made): (Vec<Step>, Vec<Step>) = rest.into_iter().partition(|step| {
            !self.order.left_out.is_empty() && step.label.starts_with("COMMENT ")
        });
        self.in_order(made).await?;
        for step in said {
            self.unless_missing(&step).await?;
        }
        self.finished_rest = true;
        Ok(std::mem::take(&mut self.built))
    }

    /// Foreign keys without a look at the rows, at once; then the looks and the statistics of the tables that
    /// they relate, one table beside the other.
    async fn relate(&mut self, foreign_keys: Vec<ForeignKey>) -> Result<(), TaskFailure> {
        let related = std::mem::take(&mut self.order.related);
        let mut chains: BTreeMap<(String, String), Vec<Step>> =
            related.into_iter().map(|name| (name, Vec::new())).collect();
        for key in foreign_keys {
            let made = self.unless_missing(&key.add).await?;
            if let Some(step) = key.validate.filter(|_| made) {
                chains.entry(key.table).or_default().push(step);
            }
        }
        for (name, mut steps) in chains {
            let plan = self
                .plans
                .values()
                .find(|plan| (&plan.schema, &plan.name) == (&name.0, &name.1));
            let bytes = plan.map_or(0, |plan| plan.estimated_bytes);
            if plan.is_some_and(|plan| self.order.settled.contains(&plan.id)) {
                steps.push(finish::statistics(&name.0, &name.1));
                self.built.analyzed.insert(name.clone());
            }
            let weight = bytes * steps.len() as u64;
            let what = name.1;
            self.push(weight, Job::Steps { what, steps });
        }
        Ok(())
    }

    /// Refreshes of materialised views, then event triggers. Gives what could not be made.
    pub(super) async fn last_entries(&mut self) -> Result<Vec<String>, TaskFailure> {
        if !self.finished_rest {
            return Err(internal("the last entries came before the others"));
        }
        let last = std::mem::take(&mut self.order.last);
        self.in_order(last).await?;
        Ok(std::mem::take(&mut self.order.left_out))
    }

    /// Tables whose last part has been stored since we looked.
    fn notice_loaded(&mut self) {
        let state = &self.reception.state;
        let loaded: Vec<u32> = self
            .awaited
            .values()
            .filter(|plan| state.parts_stored(plan.id) >= plan.parts as usize)
            .map(|plan| plan.id)
            .collect();
        for id in loaded {
            if let Some(plan) = self.awaited.remove(&id) {
                self.table_loaded(plan);
            }
        }
    }

    fn table_loaded(&mut self, plan: RelationPlan) {
        let (id, bytes) = (plan.id, plan.estimated_bytes);
        let (mine, others) = std::mem::take(&mut self.order.early)
            .into_iter()
            .partition(|early| early.relation == id);
        self.order.early = others;
        let mut jobs = 0;
        for early in mine {
            let weight = if early.inverted { 6 } else { 2 };
            let step = early.step;
            self.push(bytes * weight, Job::Early { relation: id, step });
            jobs += 1;
        }
        if self.proof == ProofLevel::Full {
            let by_root = self.reception.state.is_root(id);
            self.push(bytes, Job::ReadBack { plan, by_root });
            jobs += 1;
        }
        self.pending.insert(id, jobs);
        self.after(id);
    }

    /// What needs the table alone, when nothing else needs it.
    fn after(&mut self, relation: u32) {
        if self.pending.get(&relation) != Some(&0) {
            return;
        }
        self.pending.remove(&relation);
        let steps = self.order.after.remove(&relation).unwrap_or_default();
        let Some(what) = steps.first().map(|step| step.label.clone()) else {
            self.statistics(relation);
            return;
        };
        let weight = self.plans.get(&relation).map_or(0, |p| p.estimated_bytes) * 2;
        let job = Job::Alone {
            relation,
            what,
            steps,
        };
        self.push(weight, job);
    }

    /// Of a table that nothing more happens to; one with foreign keys gets them behind those.
    fn statistics(&mut self, relation: u32) {
        let Some(plan) = self.plans.get(&relation) else {
            return;
        };
        let name = (plan.schema.clone(), plan.name.clone());
        if self.order.settled.contains(&relation) && !self.order.related.contains(&name) {
            let step = finish::statistics(&name.0, &name.1);
            let weight = plan.estimated_bytes;
            self.built.analyzed.insert(name);
            self.push(weight, Job::Statistics(step));
        }
    }

    fn push(&mut self, weight: u64, job: Job) {
        self.waited_for += usize::from(job.is_awaited());
        self.ready.push(Ready { weight, job });
    }

    /// Loaders come first: what they need of the processors is not given to builders.
    fn start_ready(&mut self) {
        let stored: usize = self.parts - self.missing_parts();
        let loading = self.loaders.min(self.parts - stored);
        let allowed = self.target.permits.saturating_sub(loading);
        // Without loaders at least one builds, whatever the setting.
        let allowed = if loading == 0 {
            allowed.max(1)
        } else {
            allowed
        };
        while self.running.len() < allowed {
            let Some(ready) = self.ready.pop() else {
                return;
            };
            let (pool, meter) = (self.pool.clone(), Arc::clone(&self.target.meter));
            self.running.spawn(build::run(ready.job, pool, meter));
        }
    }

    fn missing_parts(&self) -> usize {
        let state = &self.reception.state;
        self.awaited
            .values()
            .map(|plan| (plan.parts as usize).saturating_sub(state.parts_stored(plan.id)))
            .sum()
    }

    /// Until nothing is ready and nothing runs.
    async fn drain(&mut self) -> Result<(), TaskFailure> {
        loop {
            self.start_ready();
            match self.running.join_next().await {
                Some(ended) => self.take(ended)?,
                None => return Ok(()),
            }
        }
    }

    /// Until nothing is left but statistics, which may run on beside what comes next.
    async fn drain_awaited(&mut self) -> Result<(), TaskFailure> {
        while self.waited_for > 0 {
            self.start_ready();
            match self.running.join_next().await {
                Some(ended) => self.take(ended)?,
                None => return Err(internal("a builder is waited for that does not run")),
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        ended: Result<Result<Done, TaskFailure>, tokio::task::JoinError>,
    ) -> Result<(), TaskFailure> {
        let done = ended.map_err(|error| internal(format!("a builder died: {error}")))??;
        self.target.meter.item_done();
        self.waited_for -= usize::from(!matches!(done, Done::Statistics));
        let relation = match done {
            Done::Early { relation } => relation,
            Done::ReadBack { relation, tally } => {
                self.built.read_back.insert(relation, tally);
                relation
            }
            Done::Alone { relation } => {
                self.statistics(relation);
                return Ok(());
            }
            Done::Steps | Done::Statistics => return Ok(()),
        };
        if let Some(left) = self.pending.get_mut(&relation) {
            *left -= 1;
        }
        self.after(relation);
        Ok(())
    }

    /// What refers to a table that the selection left out cannot be made, and that is told.
    async fn unless_missing(&mut self, step: &Step) -> Result<bool, TaskFailure> {
        self.target.meter.current(&step.label);
        let doing = format!("making {}", step.label);
        let made = self.pool.execute_unless_missing(&doing, &step.sql).await?;
        if !made {
            let label = &step.label;
            self.order.left_out.push(format!(
                "left out: {label}, because what it refers to does not travel"
            ));
        }
        self.target.meter.item_done();
        Ok(made)
    }

    async fn in_order(&self, steps: Vec<Step>) -> Result<(), TaskFailure> {
        for step in steps {
            self.target.meter.current(&step.label);
            self.pool
                .execute(&format!("making {}", step.label), &step.sql)
                .await?;
            self.target.meter.item_done();
        }
        Ok(())
    }
}

/// Rows read back so far, for the progress.
fn verified(meter: &crate::engine::postgres::meter::Meter, rows: u64) {
    meter.verified_rows.fetch_add(rows, Relaxed);
}
