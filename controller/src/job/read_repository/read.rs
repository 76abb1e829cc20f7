//! Read every object of the repository, and hold what it has against the catalog. It may take hours, and begins anew
//! after a crash.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_chassis::units;
use holdfast_proto::task::{FailureKind, TaskFailure, TaskPhase, TaskProgress};
use holdfast_repository::{Pace, Told};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ReadRepository,
    compare::{Found, Looked, compare, unknown},
};
use crate::{
    catalog::Backup,
    job::{
        definition::{Step, StepDone, StepFailure},
        event::Why,
        retry::Patience,
        step::{StepContext, catalog_failure},
    },
};

pub const NAME: &str = "read";

/// More of it says nothing new.
const MOST_DAMAGE: usize = 100;

#[derive(Debug)]
pub struct Read<'a>(pub &'a ReadRepository);

/// What the step puts out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WasRead {
    pub began_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    /// Those that are what was stored.
    pub objects: u64,
    pub bytes: u64,
    /// Objects that are not, or are gone.
    pub damage: Vec<String>,
    /// Every backup that the catalog called stored when the reading began.
    pub backups: Vec<Looked>,
    /// Snapshots that the catalog does not know.
    pub unknown: Vec<String>,
}

#[async_trait]
impl Step for Read<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let host = &self.0.host;
        let began_at = ctx.now();
        // Before the repository is listed: what is stored from now on is nobody's to miss.
        let backups = self.backups(ctx).await?;
        // Ends the reading also when this step is dropped.
        let stop = ctx.cancel.child_token();
        let _ends = stop.clone().drop_guard();
        let sink = ctx.reporter.sink(NAME, host);
        let told: Told = Arc::new(move |pace| sink(progress(pace)));
        let read = ctx.world.shelf.read_whole(host, &told, &stop).await;
        let mut read = match read {
            Ok(read) => read,
            Err(_) if ctx.cancel.is_cancelled() => return Err(cancelled().into()),
            Err(away) => return Err(away.failure(host).into()),
        };
        let known = ctx.world.catalog.backups(true).await;
        let known = known.map_err(|error| catalog_failure(&error))?;
        let more = read.damage.len().saturating_sub(MOST_DAMAGE);
        if more > 0 {
            read.damage.truncate(MOST_DAMAGE);
            read.damage.push(format!("… and {more} more objects"));
        }
        StepDone::with(&WasRead {
            began_at,
            ended_at: ctx.now(),
            objects: read.objects,
            bytes: read.bytes,
            backups: compare(&backups, &read),
            unknown: unknown(&known, &read),
            damage: read.damage,
        })
    }

    /// It only reads.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience {
            failures: 4,
            ..Patience::default()
        }
    }

    fn says(&self, output: &Value) -> String {
        let Ok(read) = serde_json::from_value::<WasRead>(output.clone()) else {
            return String::new();
        };
        let broken = read.backups.iter().filter(|one| one.found != Found::Intact);
        let size = units::size(read.bytes);
        match (read.damage.len(), broken.count()) {
            (0, 0) => format!("{size} intact"),
            (objects, backups) => format!(
                "{size} intact, {} not, {} not as the catalog has them",
                units::plural(objects as u64, "object"),
                units::plural(backups as u64, "backup")
            ),
        }
    }
}

impl Read<'_> {
    /// With what the catalog keeps beside each.
    async fn backups(&self, ctx: &StepContext) -> Result<Vec<(Backup, Value)>, TaskFailure> {
        let catalog = &ctx.world.catalog;
        let backups = catalog.backups(false).await;
        let mut own = Vec::new();
        for backup in backups.map_err(|error| catalog_failure(&error))? {
            if backup.database.host == self.0.host {
                let record = catalog.backup_manifest(backup.id).await;
                let record = record.map_err(|error| catalog_failure(&error))?;
                own.push((backup, record.unwrap_or_default()));
            }
        }
        Ok(own)
    }
}

fn progress(pace: Pace) -> TaskProgress {
    TaskProgress {
        phase: TaskPhase::ReadBack,
        bytes_done: pace.bytes_done,
        bytes_total: pace.bytes,
        rows_done: 0,
        items_done: pace.objects_done,
        items_total: pace.objects,
        current: String::new(),
        verified_rows: 0,
        path: None,
    }
}

fn cancelled() -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Cancelled,
        message: "reading the repository was cancelled".to_owned(),
        advice: String::new(),
        retryable: false,
    }
}
