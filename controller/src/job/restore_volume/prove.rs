//! Prove what was restored before anybody can use it: it is what the catalog noted when the backup was made.

use async_trait::async_trait;
use holdfast_chassis::units;
use holdfast_proto::task::{FailureKind, RestoredVolume, TaskFailure, VolumeImage};
use serde_json::Value;

use super::{RestoreVolume, restore};
use crate::job::{
    back_up_volume::contents::VolumeContents,
    definition::{Step, StepDone, StepFailure},
    event::Why,
    step::{StepContext, catalog_failure},
    suspect,
};

#[derive(Debug)]
pub struct Prove<'a>(pub &'a RestoreVolume);

#[async_trait]
impl Step for Prove<'_> {
    fn name(&self) -> &'static str {
        "prove"
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let restored: RestoredVolume = ctx.output(restore::NAME)?;
        let backup = self.0.backup;
        let noted = ctx.world.catalog.backup_manifest(backup).await;
        let noted = noted.map_err(|error| catalog_failure(&error))?;
        let noted = noted.ok_or_else(|| format!("there is no backup {backup}"));
        let noted = noted.and_then(VolumeContents::read).map_err(mismatch)?;
        match differs(&noted.image, &restored) {
            None => StepDone::with(&noted.image),
            Some((why, damaged)) => {
                if damaged {
                    suspect::mark(ctx, backup, &why).await?;
                }
                Err(mismatch(why).into())
            }
        }
    }

    /// It only reads.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        let Ok(image) = serde_json::from_value::<VolumeImage>(output.clone()) else {
            return String::new();
        };
        format!(
            "{}, {} and {} others equal, content and attributes",
            units::plural(image.files, "file"),
            units::plural(image.folders, "folder"),
            image.others
        )
    }
}

/// Why it is not the backup, and whether that is the repository's fault.
fn differs(noted: &VolumeImage, restored: &RestoredVolume) -> Option<(String, bool)> {
    if restored.image != *noted {
        let why =
            "the repository holds another image under this name than was noted when it was made";
        return Some((why.to_owned(), true));
    }
    (restored.fingerprint != noted.fingerprint).then(|| {
        let why = format!(
            "what was read back has the fingerprint {}, and {} was backed up",
            restored.fingerprint, noted.fingerprint
        );
        (why, false)
    })
}

fn mismatch(message: String) -> TaskFailure {
    TaskFailure {
        kind: FailureKind::DataMismatch,
        message,
        advice: "nothing was exchanged. Run ctl repository check --read-data 100%, restore an older backup, and report it"
            .to_owned(),
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::image::Hash128;

    use super::*;
    use crate::job::proofs::volumes::image;

    #[test]
    fn only_what_was_noted_and_reads_back_so_is_the_backup() {
        let noted = image("seven files");
        let restored = |image: VolumeImage, fingerprint| RestoredVolume {
            image,
            fingerprint,
            root: 1,
        };
        let good = restored(noted.clone(), noted.fingerprint);
        assert_eq!(differs(&noted, &good), None);
        let other = restored(image("eight files"), noted.fingerprint);
        assert!(differs(&noted, &other).unwrap().1);
        let torn = restored(noted.clone(), Hash128(7));
        assert!(!differs(&noted, &torn).unwrap().1);
    }
}
