//! What shall hold for hosts as a whole: that everything of one can be brought back, and that its repository can be
//! read to the last byte.

use std::collections::BTreeMap;

use holdfast_proto::names::HostName;

use crate::schedule::{Timing, Work};

/// Every host has a plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostPlans {
    /// Of every host that is not named below.
    pub plan: HostPlan,
    /// Each whole: nothing is taken from the other plan any more.
    pub except: BTreeMap<HostName, HostPlan>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostPlan {
    /// None: it is not rebuilt.
    pub rebuild: Option<RebuildPlan>,
    /// When every byte of its repository is read; none: never.
    pub offsite: Option<Timing>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RebuildPlan {
    pub timing: Timing,
    /// Where; none: as the policies say of the drills of its databases, else on the host itself.
    pub on: Option<HostName>,
}

impl HostPlans {
    #[must_use]
    pub fn of(&self, host: &HostName) -> &HostPlan {
        self.except.get(host).unwrap_or(&self.plan)
    }
}

impl HostPlan {
    /// None: this is not done.
    #[must_use]
    pub fn timing(&self, work: Work) -> Option<&Timing> {
        match work {
            Work::Rebuild => self.rebuild.as_ref().map(|rebuild| &rebuild.timing),
            Work::Offsite => self.offsite.as_ref(),
            Work::Backup | Work::Drill => None,
        }
    }
}
