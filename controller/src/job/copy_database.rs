//! Copy a live database to another instance: preflight, stage, transfer, prove, publish.
//!
//! Until `publish` nothing that anybody uses has changed: the copy grows in a staging database.
//! Publishing is one rename; what stood under the name stays beside it for `keep`.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{
    image::ProofLevel,
    names::DatabaseName,
    task::{Selection, TaskFailure},
};
use serde::{Deserialize, Serialize};

use super::{
    JobId,
    definition::{Definition, Step},
    event::Leftover,
    landing::{Landing, aftermath, publish, stage, sweep},
    locks::{Resource, ResourceWish},
    position::Position,
    step::StepContext,
    view::JobReport,
};

pub mod preflight;
mod prove;
mod transfer;

/// No database stays locked by a copy for longer.
const DEADLINE: Duration = Duration::from_hours(48);

/// What an operator asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopyDatabase {
    pub source: DatabaseName,
    pub target: DatabaseName,
    /// A database that stands under the target's name is kept beside it for `keep`.
    pub replace: bool,
    /// How long the replaced (or, after an undo, the undone) database stays.
    pub keep: Duration,
    pub proof: ProofLevel,
    /// Ends after the preflight; nothing is touched.
    pub dry_run: bool,
    pub selection: Selection,
    /// Connections on each side; 0: chosen by processors.
    pub jobs: u32,
    /// Bytes a second; 0: no limit.
    pub bandwidth: u64,
}

#[async_trait]
impl Definition for CopyDatabase {
    fn title(&self) -> String {
        format!("{} → {}", self.source, self.target)
    }

    fn check(&self) -> Result<(), String> {
        if self.source == self.target {
            return Err(format!("{} cannot be copied onto itself", self.source));
        }
        self.landing().check()?;
        let patterns = [
            &self.selection.tables,
            &self.selection.exclude_tables,
            &self.selection.exclude_table_data,
        ];
        if patterns.into_iter().flatten().any(|p| p.trim().is_empty()) {
            return Err("a table pattern is empty".to_owned());
        }
        if self.jobs > 64 {
            return Err(format!(
                "{} connections are too many: at most 64",
                self.jobs
            ));
        }
        Ok(())
    }

    fn locks(&self) -> Vec<ResourceWish> {
        let target = Resource::Database(self.target.clone());
        vec![
            ResourceWish::shared(Resource::Database(self.source.clone())),
            if self.dry_run {
                ResourceWish::shared(target)
            } else {
                ResourceWish::exclusive(target)
            },
            ResourceWish::shared(Resource::Instance(self.source.instance_name())),
            ResourceWish::shared(Resource::Instance(self.target.instance_name())),
        ]
    }

    fn steps(&self) -> Vec<Box<dyn Step + '_>> {
        let mut steps: Vec<Box<dyn Step + '_>> = vec![Box::new(preflight::Preflight(self))];
        if !self.dry_run {
            steps.push(Box::new(stage::Stage(self.landing())));
            steps.push(Box::new(transfer::Transfer(self)));
            steps.push(Box::new(prove::Prove(self)));
            steps.push(Box::new(publish::Publish(self.landing())));
        }
        steps
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn keep(&self) -> Option<Duration> {
        (!self.dry_run).then_some(self.keep)
    }

    fn report(&self, job: JobId, position: &Position, now: DateTime<Utc>) -> JobReport {
        self.landing().report(job, position, now)
    }

    fn left(&self, position: &Position) -> String {
        aftermath::created_roles(position).left()
    }

    async fn sweep(&self, leftover: &Leftover, ctx: &StepContext) -> Result<bool, TaskFailure> {
        sweep::sweep(leftover, ctx).await
    }
}

impl CopyDatabase {
    /// Where the copy comes to stand.
    #[must_use]
    pub fn landing(&self) -> Landing<'_> {
        Landing {
            target: &self.target,
            replace: self.replace,
            keep: self.keep,
            what: "copy",
        }
    }

    /// Only a part of the rows is asked for.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.selection != Selection::default()
    }
}
