//! The way of one backup into a throwaway server and through it: which steps take it there, and what they share.
//!
//! A drill has one; a rebuild has one for each database, with steps of its own names.

use holdfast_proto::task::TaskFailure;

use super::{
    DrillBackup, examine,
    preflight::{self, Prepared},
    restore, sandbox,
};
use crate::job::{
    back_up_database::record::BackupContents,
    rebuild_host::{
        preflight::Prepared as Rebuild,
        read::{self, WereRead},
    },
    step::StepContext,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    pub drill: DrillBackup,
    /// Names of the steps; the first one may serve several courses.
    pub sandbox: String,
    pub restore: String,
    pub examine: String,
    pub of: Whose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Drill,
    Rebuild,
}

impl Course {
    /// The only one of a drill.
    #[must_use]
    pub fn of_drill(drill: &DrillBackup) -> Self {
        Self {
            drill: drill.clone(),
            sandbox: sandbox::NAME.to_owned(),
            restore: restore::NAME.to_owned(),
            examine: examine::NAME.to_owned(),
            of: Whose::Drill,
        }
    }

    /// Whether what was read in the repository is worth no restore. A drill has no server then.
    ///
    /// # Errors
    /// A defect: it was not read.
    pub fn is_damaged(&self, ctx: &StepContext) -> Result<bool, TaskFailure> {
        match self.of {
            Whose::Drill => Ok(false),
            Whose::Rebuild => {
                let read: WereRead = ctx.output(read::NAME)?;
                Ok(read.is_damaged(self.drill.backup))
            }
        }
    }

    /// Statements of the policy, as noted when it began.
    ///
    /// # Errors
    /// A defect: there was no preflight.
    pub fn assertions(&self, ctx: &StepContext) -> Result<Vec<String>, TaskFailure> {
        match self.of {
            Whose::Drill => Ok(ctx.output::<Prepared>(preflight::NAME)?.assertions),
            Whose::Rebuild => {
                let prepared: Rebuild = ctx.output(preflight::NAME)?;
                Ok(prepared.assertions_of(&self.drill.source))
            }
        }
    }

    /// Bytes that everything in the server took where it was backed up.
    ///
    /// # Errors
    /// A defect: there was no preflight.
    pub fn held(&self, ctx: &StepContext, noted: &BackupContents) -> Result<u64, TaskFailure> {
        match self.of {
            Whose::Drill => Ok(noted.source.size_bytes),
            Whose::Rebuild => {
                let prepared: Rebuild = ctx.output(preflight::NAME)?;
                Ok(prepared.bytes_of(&self.drill.source.instance))
            }
        }
    }
}
