//! What could stand in the way of a drill, asked before anything is made; and the end of a drill that did not
//! come to a verdict.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{
    drill::DrillTargets,
    task::{SandboxLimits, StartSandbox, StartedSandbox, TaskFailure, TaskResult, TaskSpec},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DrillBackup, plan, report};
use crate::{
    catalog::{Backup, BackupKind, BackupState, DrillId, DrillOf},
    job::{
        back_up_database::record::BackupContents,
        copy_database::preflight::{self, Examined, PreflightLine},
        definition::{Step, StepDone, StepFailure},
        drilling,
        event::Why,
        retry::Patience,
        step::{StepContext, catalog_failure, wrong_result},
    },
};

pub const NAME: &str = preflight::NAME;
const LOOK: &str = "`ctl backup list` shows the backups";

#[derive(Debug)]
pub struct Preflight<'a>(pub &'a DrillBackup);

/// What later steps know from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    #[serde(flatten)]
    pub examined: Examined,
    pub drill: DrillId,
    pub began_at: DateTime<Utc>,
    pub assertions: Vec<String>,
    pub targets: DrillTargets,
}

#[async_trait]
impl Step for Preflight<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let catalog = &ctx.world.catalog;
        let explain = |error| catalog_failure(&error);
        let backup = catalog.backup(request.backup).await.map_err(explain)?;
        let Some(backup) = backup else {
            let none = format!("there is no backup {}", request.backup);
            let line = PreflightLine::failed("backup is stored", none, LOOK);
            return Err(refused(vec![line], false));
        };
        let of = DrillOf::Backup {
            database: request.source.clone(),
            backup: backup.id,
            taken_at: backup.taken_at,
            on: request.host.clone(),
        };
        let drill = catalog.begin_drill(ctx.job, &of, ctx.now());
        let drill = drill.await.map_err(explain)?;
        let manifest = catalog.backup_manifest(backup.id).await.map_err(explain)?;
        let contents = BackupContents::read(manifest.unwrap_or_default());
        let mut lines = about(&backup, contents.as_ref());
        let mut unreachable = false;
        if let Ok(noted) = &contents {
            let (line, away) = self.image(ctx, noted).await?;
            lines.push(line);
            unreachable = away;
        }
        let plan = plan::of(catalog, &request.source).await.map_err(explain)?;
        if let Some(failed) = preflight::refusal(&lines, unreachable) {
            let examined = Examined {
                lines,
                source: contents.ok().map(|noted| noted.source),
                target: None,
            };
            return Err(StepFailure::with(failed, &examined));
        }
        StepDone::with(&Prepared {
            examined: Examined {
                lines,
                source: contents.ok().map(|noted| noted.source),
                target: None,
            },
            drill: drill.id,
            began_at: drill.started_at,
            assertions: plan
                .as_ref()
                .and_then(|plan| plan.drill.as_ref())
                .map(|drill| drill.assertions.clone())
                .unwrap_or_default(),
            targets: drilling::targets(plan.as_ref()),
        })
    }

    /// The last of all undos. A drill without a verdict gets its own: nobody knows.
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
    /// Whether the host that drills holds the image, and whether nobody could say.
    async fn image(
        &self,
        ctx: &StepContext,
        noted: &BackupContents,
    ) -> Result<(PreflightLine, bool), TaskFailure> {
        const QUESTION: &str = "the server's image is on the host";
        let spec = match wanted(self.0, noted, ctx.job) {
            Ok(spec) => spec,
            Err(line) => return Ok((line, false)),
        };
        let look = TaskSpec::StartSandbox(StartSandbox {
            look_only: true,
            ..spec.clone()
        });
        preflight::wait_for(ctx, &self.0.host).await;
        match ctx.task("image", &self.0.host, look).await {
            Ok(TaskResult::StartedSandbox(StartedSandbox { image_id, .. })) => {
                let found = format!("{} as {image_id} on {}", spec.image, self.0.host);
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

/// What the throwaway server is made from.
///
/// # Errors
/// The line that says why nobody knows it.
pub fn wanted(
    request: &DrillBackup,
    noted: &BackupContents,
    job: u64,
) -> Result<StartSandbox, PreflightLine> {
    let source = &noted.source;
    let own = request.image.is_empty();
    let image = if own { &source.image } else { &request.image };
    if image.is_empty() {
        return Err(PreflightLine::failed(
            "the server's image is known",
            "the backup does not say from which image its server's container was made: it ran outside of \
             containers, or the backup is of an older agent",
            "name an image with the same server and extensions: ctl drill run … --image postgres:17",
        ));
    }
    Ok(StartSandbox {
        job,
        image: image.clone(),
        image_digest: if own {
            source.image_digest.clone()
        } else {
            String::new()
        },
        engine: source.engine(),
        preload_libraries: source.preload_libraries.clone(),
        limits: SandboxLimits::default(),
        look_only: false,
        part: 0,
        servers: 0,
    })
}

fn about(backup: &Backup, contents: Result<&BackupContents, &String>) -> Vec<PreflightLine> {
    const QUESTION: &str = "backup can be drilled";
    let drillable = match contents {
        _ if backup.kind == BackupKind::Volume => {
            PreflightLine::failed(QUESTION, "it is one of a volume, not of a database", LOOK)
        }
        Err(wrong) => PreflightLine::failed(QUESTION, wrong.clone(), "make a new backup"),
        Ok(_) => PreflightLine::passed(QUESTION, format!("{} of {}", backup.kind, backup.database)),
    };
    vec![stored(backup), drillable]
}

/// Whether the backup is still there.
#[must_use]
pub fn stored(backup: &Backup) -> PreflightLine {
    const QUESTION: &str = "backup is stored";
    let taken = format!("taken {} UTC", backup.taken_at.format("%F %H:%M:%S"));
    match (backup.removed_at, backup.state) {
        (Some(at), _) => {
            let gone = format!("it was removed {} UTC", at.format("%F %H:%M:%S"));
            PreflightLine::failed(QUESTION, gone, LOOK)
        }
        (None, BackupState::Expired) => PreflightLine::failed(QUESTION, "expired", LOOK),
        (None, state) => PreflightLine::passed(QUESTION, format!("{state}, {taken}")),
    }
}

fn refused(lines: Vec<PreflightLine>, unreachable: bool) -> StepFailure {
    let failure = preflight::refusal(&lines, unreachable);
    let examined = Examined {
        lines,
        source: None,
        target: None,
    };
    match failure {
        Some(failure) => StepFailure::with(failure, &examined),
        None => {
            crate::job::definition::defect("a preflight was refused without a reason".to_owned())
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::task::{DatabaseFacts, Selection};

    use super::*;
    use crate::job::proofs::image_of;

    fn request(image: &str) -> DrillBackup {
        DrillBackup {
            backup: 1,
            source: "web-1/shop-db/shop".parse().unwrap(),
            host: "web-2".parse().unwrap(),
            image: image.to_owned(),
        }
    }

    fn noted(image: &str) -> BackupContents {
        BackupContents {
            format: 1,
            image: image_of("5000 users"),
            source: DatabaseFacts {
                image: image.to_owned(),
                image_digest: "sha256:ab".to_owned(),
                preload_libraries: "timescaledb".to_owned(),
                ..DatabaseFacts::default()
            },
            selection: Selection::default(),
            checks: vec![],
        }
    }

    #[test]
    fn the_server_is_of_the_very_image_that_the_backup_was_taken_of() {
        let own = wanted(&request(""), &noted("timescale:17"), 4).unwrap();
        assert_eq!(
            (own.image.as_str(), own.image_digest.as_str()),
            ("timescale:17", "sha256:ab")
        );
        assert_eq!(
            (own.preload_libraries.as_str(), own.job),
            ("timescaledb", 4)
        );
        // A wish goes by name: the source's content is not what was asked for.
        let wish = wanted(&request("postgres:18"), &noted("timescale:17"), 4).unwrap();
        assert_eq!(
            (wish.image.as_str(), wish.image_digest.as_str()),
            ("postgres:18", "")
        );
        let unknown = wanted(&request(""), &noted(""), 4).unwrap_err();
        assert!(unknown.advice.contains("--image"));
        assert!(wanted(&request("postgres:18"), &noted(""), 4).is_ok());
    }
}
