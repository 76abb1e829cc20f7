//! Free the space of what no snapshot needs: marked by one prune, removed by one that comes a day later.

use async_trait::async_trait;
use holdfast_chassis::units;
use holdfast_proto::task::TaskFailure;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PruneRepository;
use crate::job::{
    definition::{Step, StepDone, StepFailure},
    event::Why,
    step::{StepContext, catalog_failure},
};

pub const NAME: &str = "prune";

#[derive(Debug)]
pub struct Prune<'a>(pub &'a PruneRepository);

/// What it did to the files that the data lie in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freed {
    /// Nobody needs them since now; they go with a prune that comes a day later.
    pub marked_packs: u64,
    /// Marked before, and their day is not over.
    pub waiting_packs: u64,
    pub removed_packs: u64,
    /// Were marked, and are needed again.
    pub recovered_packs: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

#[async_trait]
impl Step for Prune<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Not cut short by a cancellation: the work in the storage would go on without the lock.
    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let host = &self.0.host;
        let freed = ctx.world.shelf.prune(host).await;
        let freed = freed.map_err(|why| why.failure(host))?;
        let left = freed.marked_packs + freed.waiting_packs;
        let noted = ctx.world.catalog.repository_pruned(host, left, ctx.now());
        noted.await.map_err(|error| catalog_failure(&error))?;
        StepDone::with(&freed)
    }

    /// What an interrupted prune left, the next one goes on with.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        Freed::read(output).map_or_else(String::new, |freed| freed.in_words())
    }
}

impl Freed {
    /// None: the step did not come so far.
    #[must_use]
    pub fn read(output: &Value) -> Option<Self> {
        serde_json::from_value(output.clone()).ok()
    }

    fn in_words(&self) -> String {
        let bytes = self.bytes_before.saturating_sub(self.bytes_after);
        let mut said = vec![format!(
            "{} removed, {} freed",
            units::plural(self.removed_packs, "pack"),
            units::size(bytes)
        )];
        let waiting = self.marked_packs + self.waiting_packs;
        if waiting > 0 {
            said.push(format!("{} wait for a later prune", units::count(waiting)));
        }
        if self.recovered_packs > 0 {
            let recovered = units::count(self.recovered_packs);
            said.push(format!("{recovered} were marked and are needed again"));
        }
        said.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grew_for_a_while_has_freed_nothing() {
        let repacked = Freed {
            marked_packs: 2,
            waiting_packs: 1,
            recovered_packs: 1,
            bytes_before: 5,
            bytes_after: 9,
            ..Freed::default()
        };
        assert_eq!(
            repacked.in_words(),
            "0 packs removed, 0 B freed; 3 wait for a later prune; 1 were marked and are needed again"
        );
        assert_eq!(Freed::read(&Value::Null), None);
    }
}
