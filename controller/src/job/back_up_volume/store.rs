//! Read the volume into the repository of its host.

use async_trait::async_trait;
use holdfast_chassis::units;
use holdfast_proto::task::{
    BackUpVolume as BackUp, BackedUpVolume, RepositoryRef, TaskFailure, TaskResult, TaskSpec,
};
use serde_json::Value;

use super::BackUpVolume;
use crate::job::{
    definition::{Step, StepDone, StepFailure},
    event::Why,
    retry::Patience,
    step::{StepContext, wrong_result},
};

pub const NAME: &str = "store";

#[derive(Debug)]
pub struct Store<'a>(pub &'a BackUpVolume);

#[async_trait]
impl Step for Store<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let source = &self.0.source;
        ctx.end_earlier_attempts("", &source.host).await;
        let spec = TaskSpec::BackUpVolume(BackUp {
            volume: source.volume.clone(),
            repository: RepositoryRef {
                host: source.host.to_string(),
                job: 0,
            },
            tags: vec![format!("job-{}", ctx.job), "volume".to_owned()],
        });
        match ctx.task("", &source.host, spec).await? {
            TaskResult::BackedUpVolume(done) => StepDone::with(&done),
            other => Err(wrong_result("back-up-volume", &other).into()),
        }
    }

    /// Ends what may still run. A snapshot without a row is no backup.
    async fn undo(&self, ctx: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        ctx.end_attempts("", &self.0.source.host).await;
        Ok(StepDone::default())
    }

    fn patience(&self) -> Patience {
        Patience {
            failures: 4,
            ..Patience::default()
        }
    }

    fn says(&self, output: &Value) -> String {
        let Ok(done) = serde_json::from_value::<BackedUpVolume>(output.clone()) else {
            return String::new();
        };
        let image = &done.image;
        let left_out = match image.left_out.len() as u64 {
            0 => String::new(),
            count => format!(", without {}", units::plural(count, "socket")),
        };
        format!(
            "{}, {}{left_out}; the repository grew by {}",
            units::plural(image.files, "file"),
            units::size(image.bytes),
            units::size(done.added_bytes)
        )
    }
}
