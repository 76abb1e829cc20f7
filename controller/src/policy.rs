//! What shall hold for which database and volume: schedule, retention, drills, checks, targets, hooks.
//!
//! `fleet.yaml` is read by [`file`] into a [`PolicySet`], and written from one; [`cover`] says which policy
//! covers a database or a volume. All of it is pure: the catalog keeps the set, `reconcile` acts on it.

use std::{collections::BTreeMap, time::Duration};

use chrono_tz::Tz;
use holdfast_proto::{check::CheckLimits, fleet::Engine, names::HostName};

use crate::{
    retention::Rules,
    schedule::{Limits, Timing, Work},
};

pub mod compare;
pub mod cover;
pub mod file;
pub mod glob;
mod hosts;
mod subject;
mod ties;

pub use cover::{Coverage, Match, cover};
pub use glob::Glob;
pub use hosts::{HostPlan, HostPlans, RebuildPlan};
pub use subject::{Known, RollCall, Subject, roll_call, subjects};

/// The name of the policy for what no other selects.
pub const DEFAULT: &str = "default";

/// Everything that `fleet.yaml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySet {
    pub per_host: Limits,
    pub hosts: HostPlans,
    /// For what none of the others selects.
    pub default: Policy,
    /// In the order of the file, which means nothing.
    pub policies: Vec<Policy>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub name: String,
    pub select: Selector,
    pub protection: Protection,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Protection {
    On(Box<Plan>),
    /// Somebody has decided so, and says why.
    Off {
        reason: String,
    },
}

/// What is selected: all that is named must fit. Empty: everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selector {
    /// Of the database.
    pub name: Vec<Glob>,
    /// Of the volume. With any the policy covers volumes and no databases, without it databases and no volumes.
    pub volume: Vec<Glob>,
    pub instance: Vec<Glob>,
    /// Of the instance's container, or of the volume.
    pub label: BTreeMap<String, Glob>,
    /// Compose project of the instance's container, or of the volume.
    pub project: Vec<Glob>,
    pub host: Vec<Glob>,
    pub engine: Vec<Engine>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub backup: Timing,
    /// Of volumes: the containers that run with one are stopped while it is read, and started again.
    pub stop: bool,
    pub retention: Rules,
    /// None: no drills.
    pub drill: Option<DrillPlan>,
    pub checks: Vec<PolicyCheck>,
    pub targets: Targets,
    pub hooks: Hooks,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DrillPlan {
    pub timing: Timing,
    /// Where it is restored; none: on the own host of what was backed up.
    pub host: Option<HostName>,
    /// Statements that must each give one row with `true` in the restored database.
    pub assertions: Vec<String>,
}

/// A user-count check that every covered database has.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyCheck {
    pub name: String,
    pub count: String,
    /// Empty: not asked.
    pub newest: String,
    pub limits: CheckLimits,
    pub every: Duration,
    pub timeout: Duration,
}

/// None: there is no target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Targets {
    pub rpo: Option<Duration>,
    pub restore: Option<Duration>,
    pub drill: Option<Duration>,
    pub rebuild: Option<Duration>,
}

/// Containers of the same host that use the database, for whoever replaces or freezes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Stopped before, in this order.
    pub stop: Vec<String>,
    /// Started after, in this order.
    pub start: Vec<String>,
}

impl Policy {
    /// None: it says that nothing is done.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        match &self.protection {
            Protection::On(plan) => Some(plan),
            Protection::Off { .. } => None,
        }
    }
}

impl Plan {
    /// None: this is not done.
    #[must_use]
    pub fn timing(&self, work: Work) -> Option<&Timing> {
        match work {
            Work::Backup => Some(&self.backup),
            Work::Drill => self.drill.as_ref().map(|drill| &drill.timing),
            Work::Rebuild | Work::Offsite => None,
        }
    }
}

impl PolicySet {
    /// By name; the default has one as well.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Policy> {
        self.all().find(|policy| policy.name == name)
    }

    /// The default comes last.
    pub fn all(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().chain([&self.default])
    }
}

/// What holds before anybody has applied a file: every database has a backup a day, kept for 7 days, 4 weeks
/// and 12 months, and a drill a month; every host is rebuilt each quarter and its repository read each year. Volumes
/// have nothing.
impl Default for PolicySet {
    fn default() -> Self {
        file::read("").unwrap_or_else(|_| Self {
            per_host: Limits::default(),
            hosts: HostPlans::default(),
            default: Policy {
                name: DEFAULT.to_owned(),
                select: Selector::default(),
                protection: Protection::Off {
                    reason: "this holdfast-controller cannot read its own default policy"
                        .to_owned(),
                },
            },
            policies: Vec::new(),
        })
    }
}

/// The zone of a policy that names none.
const DEFAULT_ZONE: Tz = Tz::UTC;
