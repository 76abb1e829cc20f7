//! What could stand in the way of a rebuild, asked before anything is made; and the end of one that did not come to a
//! verdict.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_chassis::units;
use holdfast_proto::{
    drill::DrillTargets,
    names::DatabaseName,
    task::{StartSandbox, StartedSandbox, TaskFailure, TaskResult, TaskSpec},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RebuildHost, report, server};
use crate::{
    catalog::{BackupId, DrillId, DrillOf},
    job::{
        back_up_database::record::BackupContents,
        back_up_volume::contents::VolumeContents,
        copy_database::preflight::{self, Examined, PreflightLine},
        definition::{Step, StepDone, StepFailure},
        drill_backup::plan,
        drilling,
        event::Why,
        retry::Patience,
        step::{StepContext, catalog_failure, wrong_result},
    },
};

#[derive(Debug)]
pub struct Preflight<'a>(pub &'a RebuildHost);

/// What later steps know from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    #[serde(flatten)]
    pub examined: Examined,
    pub drill: DrillId,
    pub began_at: DateTime<Utc>,
    /// By database: statements of its policy.
    pub assertions: BTreeMap<String, Vec<String>>,
    /// By instance: what all of its databases took.
    pub bytes: BTreeMap<String, u64>,
    /// The tightest of all databases.
    pub targets: DrillTargets,
}

impl Prepared {
    #[must_use]
    pub fn assertions_of(&self, database: &DatabaseName) -> Vec<String> {
        let own = self.assertions.get(&database.to_string());
        own.cloned().unwrap_or_default()
    }

    #[must_use]
    pub fn bytes_of(&self, instance: &str) -> u64 {
        self.bytes.get(instance).copied().unwrap_or_default()
    }
}

#[async_trait]
impl Step for Preflight<'_> {
    fn name(&self) -> &str {
        preflight::NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let catalog = &ctx.world.catalog;
        let of = DrillOf::Rebuild {
            host: request.source.clone(),
            on: request.host.clone(),
        };
        let drill = catalog.begin_drill(ctx.job, &of, ctx.now()).await;
        let drill = drill.map_err(|error| catalog_failure(&error))?;
        let mut prepared = Prepared {
            examined: Examined {
                lines: vec![something(request)],
                source: None,
                target: None,
            },
            drill: drill.id,
            began_at: drill.started_at,
            assertions: BTreeMap::new(),
            bytes: BTreeMap::new(),
            targets: DrillTargets::default(),
        };
        for server in &request.servers {
            for chosen in &server.databases {
                let line = self.database(ctx, &chosen.database, chosen.backup, &mut prepared);
                let line = line.await?;
                prepared.examined.lines.push(line);
            }
        }
        for chosen in &request.volumes {
            let line = self.volume(ctx, chosen.backup).await?;
            prepared.examined.lines.push(line);
        }
        let mut unreachable = false;
        if preflight::refusal(&prepared.examined.lines, false).is_none() {
            for place in 0..request.servers.len() {
                let (line, away) = self.image(ctx, place).await?;
                prepared.examined.lines.push(line);
                unreachable |= away;
            }
        }
        match preflight::refusal(&prepared.examined.lines, unreachable) {
            Some(refusal) => Err(StepFailure::with(refusal, &prepared.examined)),
            None => StepDone::with(&prepared),
        }
    }

    /// The last of all undos. A rebuild without a verdict gets its own: nobody knows.
    async fn undo(&self, ctx: &StepContext, why: &Why) -> Result<StepDone, TaskFailure> {
        let reason = drilling::broke_off(why);
        report::end_without_verdict(ctx, self.0, &reason).await?;
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience::NONE
    }

    fn says(&self, output: &Value) -> String {
        preflight::says(output)
    }
}

impl Preflight<'_> {
    async fn database(
        &self,
        ctx: &StepContext,
        database: &DatabaseName,
        backup: BackupId,
        prepared: &mut Prepared,
    ) -> Result<PreflightLine, TaskFailure> {
        let catalog = &ctx.world.catalog;
        let plan = plan::of(catalog, database).await;
        if let Some(plan) = plan.map_err(|error| catalog_failure(&error))? {
            let targets = &mut prepared.targets;
            targets.rto_ms = tighter(targets.rto_ms, plan.targets.rebuild);
            targets.rpo_ms = tighter(targets.rpo_ms, plan.targets.rpo);
            let assertions = plan.drill.map(|drill| drill.assertions);
            let name = database.to_string();
            prepared
                .assertions
                .insert(name, assertions.unwrap_or_default());
        }
        let record = catalog.backup_manifest(backup).await;
        let record = record.map_err(|error| catalog_failure(&error))?;
        let noted = BackupContents::read(record.unwrap_or_default());
        if let Ok(noted) = &noted {
            let bytes = prepared.bytes.entry(database.instance.clone()).or_default();
            *bytes = bytes.saturating_add(noted.source.size_bytes);
        }
        self.stored(ctx, backup, noted.err()).await
    }

    async fn volume(
        &self,
        ctx: &StepContext,
        backup: BackupId,
    ) -> Result<PreflightLine, TaskFailure> {
        let record = ctx.world.catalog.backup_manifest(backup).await;
        let record = record.map_err(|error| catalog_failure(&error))?;
        let noted = VolumeContents::read(record.unwrap_or_default());
        self.stored(ctx, backup, noted.err()).await
    }

    /// Whether the backup that was chosen is still one.
    async fn stored(
        &self,
        ctx: &StepContext,
        id: BackupId,
        unreadable: Option<String>,
    ) -> Result<PreflightLine, TaskFailure> {
        const QUESTION: &str = "backup is stored";
        const LOOK: &str = "`ctl backup list` shows the backups; ask for the rebuild again";
        let backup = ctx.world.catalog.backup(id).await;
        let backup = backup.map_err(|error| catalog_failure(&error))?;
        Ok(match (backup, unreadable) {
            (None, _) => PreflightLine::failed(QUESTION, format!("there is no backup {id}"), LOOK),
            (Some(backup), _) if backup.removed_at.is_some() => {
                let detail = format!("backup {id} of {} was removed", backup.database);
                PreflightLine::failed(QUESTION, detail, LOOK)
            }
            (Some(backup), Some(why)) => {
                let detail = format!("backup {id} of {}: {why}", backup.database);
                PreflightLine::failed(QUESTION, detail, "make a new backup")
            }
            // It was good when it was chosen. What comes back has the last word.
            (Some(backup), None) if !backup.state.is_good() => {
                let detail = format!("backup {id} of {} is {}", backup.database, backup.state);
                PreflightLine::warning(QUESTION, detail, "see what was found: ctl drill list")
            }
            (Some(backup), None) => {
                let taken = backup.taken_at.format("%F %H:%M:%S");
                let detail = format!("{} of {}, taken {taken} UTC", backup.id, backup.database);
                PreflightLine::passed(QUESTION, detail)
            }
        })
    }

    /// Whether the host holds the server's image, and whether nobody could say.
    async fn image(
        &self,
        ctx: &StepContext,
        place: usize,
    ) -> Result<(PreflightLine, bool), TaskFailure> {
        const QUESTION: &str = "the server's image is on the host";
        let host = &self.0.host;
        let spec = match server::spec(ctx, self.0, place).await {
            Ok(spec) => spec,
            Err(failure) if failure.retryable => return Err(failure),
            Err(failure) => {
                let line = PreflightLine::failed(QUESTION, failure.message, &failure.advice);
                return Ok((line, false));
            }
        };
        let image = spec.image.clone();
        let look = TaskSpec::StartSandbox(StartSandbox {
            look_only: true,
            ..spec
        });
        preflight::wait_for(ctx, host).await;
        match ctx.task(&format!("image-{}", place + 1), host, look).await {
            Ok(TaskResult::StartedSandbox(StartedSandbox { image_id, .. })) => {
                let found = format!("{image} as {image_id} on {host}");
                Ok((PreflightLine::passed(QUESTION, found), false))
            }
            Ok(other) => Err(wrong_result("start-sandbox", &other)),
            Err(failure) if ctx.cancel.is_cancelled() => Err(failure),
            Err(failure) => {
                let line = PreflightLine::failed(QUESTION, failure.message, &failure.advice);
                Ok((line, failure.retryable))
            }
        }
    }
}

fn something(request: &RebuildHost) -> PreflightLine {
    const QUESTION: &str = "there is something to rebuild";
    let databases: usize = request.servers.iter().map(|one| one.databases.len()).sum();
    let detail = format!(
        "{} in {}, {}",
        units::plural(databases as u64, "database"),
        units::plural(request.servers.len() as u64, "server"),
        units::plural(request.volumes.len() as u64, "volume")
    );
    if databases + request.volumes.len() == 0 {
        let advice = format!(
            "make backups first: ctl backup create --all --host {}",
            request.source
        );
        return PreflightLine::failed(QUESTION, "nothing of it has a good backup", &advice);
    }
    PreflightLine::passed(QUESTION, detail)
}

fn tighter(known: Option<u64>, other: Option<Duration>) -> Option<u64> {
    let other = other.map(|one| u64::try_from(one.as_millis()).unwrap_or(u64::MAX));
    match (known, other) {
        (Some(known), Some(other)) => Some(known.min(other)),
        (known, other) => known.or(other),
    }
}
