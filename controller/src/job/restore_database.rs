//! Bring a backup out of its repository into a database: preflight, safety, stage, transfer, prove, stop,
//! publish, start, measure, checklist.
//!
//! The way of a copy (see [`super::landing`]), with a repository in the source's place: the source itself
//! may be gone. The proof is held against what the catalog kept of the backup when it was made.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{names::DatabaseName, task::TaskFailure};
use serde::{Deserialize, Serialize};

use super::{
    JobId,
    definition::{Definition, Step},
    event::Leftover,
    hold::{self, Held},
    landing::{Landing, aftermath, checklist, dependents::Dependents, publish, stage, sweep},
    locks::{Resource, ResourceWish},
    position::Position,
    step::StepContext,
    view::JobReport,
};
use crate::catalog::BackupId;

pub mod contents;
mod measure;
pub mod preflight;
pub mod prove;
mod safety;
pub mod tables;
mod transfer;

/// No database stays locked by a restore for longer.
const DEADLINE: Duration = Duration::from_hours(48);

/// What an operator asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreDatabase {
    pub backup: BackupId,
    /// Of which it is a backup.
    pub source: DatabaseName,
    pub target: DatabaseName,
    /// A database that stands under the target's name is kept beside it for `keep`.
    pub replace: bool,
    /// How long the replaced (or, after an undo, the undone) database stays.
    pub keep: Duration,
    /// Ends after the preflight; nothing is touched.
    pub dry_run: bool,
    /// Connections that write; 0: chosen by processors.
    pub jobs: u32,
    /// Only the rows of these, by pattern, with the whole schema around them; empty: everything.
    #[serde(default)]
    pub tables: Vec<String>,
    /// What stands there is replaced without a backup of it.
    #[serde(default)]
    pub no_safety_backup: bool,
    /// What uses the database that is replaced, and stands still for the exchange.
    #[serde(default)]
    pub dependents: Dependents,
}

#[async_trait]
impl Definition for RestoreDatabase {
    fn title(&self) -> String {
        format!(
            "backup {} of {} → {}",
            self.backup, self.source, self.target
        )
    }

    fn check(&self) -> Result<(), String> {
        self.landing().check()?;
        if self.tables.iter().any(|pattern| pattern.trim().is_empty()) {
            return Err("a table pattern is empty".to_owned());
        }
        if !self.tables.is_empty() && self.replace {
            return Err(
                "some tables never take the place of a whole database: restore them beside it, without --replace"
                    .to_owned(),
            );
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
        let mut wishes = vec![
            if self.dry_run {
                ResourceWish::shared(target)
            } else {
                ResourceWish::exclusive(target)
            },
            ResourceWish::shared(Resource::Instance(self.target.instance_name())),
            // Pruning has it alone; and nobody removes what is being read.
            ResourceWish::shared(Resource::Repository(self.source.host.clone())),
            ResourceWish::shared(Resource::Backup(self.backup)),
        ];
        if self.backs_up_first() && self.target.host != self.source.host {
            let repository = Resource::Repository(self.target.host.clone());
            wishes.push(ResourceWish::shared(repository));
        }
        wishes
    }

    fn steps(&self) -> Vec<Box<dyn Step + '_>> {
        let mut steps: Vec<Box<dyn Step + '_>> = vec![Box::new(preflight::Preflight(self))];
        if self.backs_up_first() {
            steps.push(Box::new(safety::Safety(self)));
        }
        if !self.dry_run {
            steps.push(Box::new(stage::Stage(self.landing())));
            steps.push(Box::new(transfer::Transfer(self)));
            steps.push(Box::new(prove::Prove(self)));
            let held = Held::Dependents(&self.target.host, &self.dependents);
            let stops = self.replace && !self.dependents.are_none();
            if stops {
                let allowed = true;
                steps.push(Box::new(hold::Stop { held, allowed }));
            }
            steps.push(Box::new(publish::Publish(self.landing())));
            if stops {
                let again = true;
                steps.push(Box::new(hold::Start { held, again }));
            }
            steps.push(Box::new(measure::Measure(self)));
            steps.push(Box::new(checklist::Checklist(self.landing())));
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

impl RestoreDatabase {
    /// Whether what stands there, if anything, is stored before anything is touched.
    fn backs_up_first(&self) -> bool {
        self.replace && !self.dry_run && !self.no_safety_backup
    }

    /// Where the backup comes to stand.
    #[must_use]
    pub fn landing(&self) -> Landing<'_> {
        Landing {
            target: &self.target,
            replace: self.replace,
            keep: self.keep,
            what: "restored database",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::locks::ResourceWish;

    fn request() -> RestoreDatabase {
        RestoreDatabase {
            backup: 12,
            source: "web-1/shop-db/shop".parse().unwrap(),
            target: "web-2/shop-db/shop".parse().unwrap(),
            replace: true,
            keep: Duration::from_hours(24),
            dry_run: false,
            jobs: 0,
            tables: vec![],
            no_safety_backup: false,
            dependents: Dependents::default(),
        }
    }

    #[test]
    fn it_holds_the_backup_and_its_repository_so_that_nobody_takes_them_away() {
        let named = |wishes: Vec<ResourceWish>| -> Vec<_> {
            let named = wishes.iter();
            let named = named.map(|wish| (wish.resource.to_string(), wish.exclusive));
            named.collect()
        };
        let wishes = named(request().locks());
        let of = |name: &str, exclusive| (name.to_owned(), exclusive);
        assert!(wishes.contains(&of("backup:12", false)), "{wishes:?}");
        assert!(
            wishes.contains(&of("repository:web-1", false)),
            "{wishes:?}"
        );
        let target = "database:web-2/shop-db/shop";
        assert!(wishes.contains(&of(target, true)), "{wishes:?}");
        // What is replaced is backed up first, where it stands.
        let own = of("repository:web-2", false);
        assert!(wishes.contains(&own), "{wishes:?}");
        let without = RestoreDatabase {
            no_safety_backup: true,
            ..request()
        };
        assert!(!named(without.locks()).contains(&own));
        let dry = RestoreDatabase {
            dry_run: true,
            ..request()
        };
        let wishes = named(dry.locks());
        assert!(
            wishes.contains(&of(target, false)) && !wishes.contains(&own),
            "{wishes:?}"
        );
    }

    #[test]
    fn nothing_lands_under_a_name_that_a_job_drops() {
        assert_eq!(request().check(), Ok(()));
        let mut marked = request();
        marked.target.database = "shop__before_7".to_owned();
        assert!(marked.check().is_err());
    }

    #[test]
    fn some_tables_never_take_the_place_of_a_whole_database() {
        let mut some = request();
        some.tables = vec!["users".to_owned()];
        assert!(some.check().unwrap_err().contains("whole database"));
        some.replace = false;
        assert_eq!(some.check(), Ok(()));
        some.tables.push(" ".to_owned());
        assert!(some.check().is_err());
    }
}
