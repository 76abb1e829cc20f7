//! How every database and every volume stands: its policy, its backups, what ran, what is next. The scheduler acts on it,
//! detectors look at it, and `ctl` shows it: one picture for all three.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::names::{DatabaseName, HostName};

use crate::{
    catalog::{Applied, Backup, BackupId, BackupKind, Catalog, CatalogError, Drill, ScheduledRun},
    detect::HostFacts,
    job::{JobId, JobState, drill_backup},
    objective::{Objective, Recovery, objectives},
    policy::{Known, Match, Plan, PolicySet, Protection, Subject, cover},
    retention::{self, Decision as Kept},
    schedule::{Decision, Item, Run, RunEnd, Scheduled, Work, decide},
};

mod care;
mod host;
mod obstacle;
#[cfg(test)]
mod tests;

pub use care::Care;
pub use host::HostStanding;

/// What has never run begins within this time.
const FIRST_BACKUP_WITHIN: Duration = Duration::from_mins(30);
const FIRST_DRILL_WITHIN: Duration = Duration::from_hours(24);
/// A run that has no job by then lost its controller before it submitted one.
const SUBMITTED_WITHIN: TimeDelta = TimeDelta::minutes(2);

/// What the catalog knows, at one moment.
#[derive(Debug, Clone)]
pub struct Gathered {
    pub applied: Applied,
    pub known: Vec<Known>,
    pub backups: Vec<Backup>,
    pub runs: Vec<ScheduledRun>,
    pub recoveries: Vec<Recovery>,
    /// Jobs that read a backup, or will.
    pub readers: Vec<(BackupId, JobId)>,
    /// The last ones of hosts as a whole, newest first.
    pub host_drills: Vec<Drill>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Of the policies; 0: the built-in default.
    pub version: u64,
    pub set: PolicySet,
    /// By name; volumes too, covered or not.
    pub databases: Vec<DatabaseStanding>,
    /// Those of the fleet, in its order.
    pub hosts: Vec<HostStanding>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseStanding {
    pub subject: Subject,
    /// Known since; of a volume: not before the policies of now were applied, since nothing holds without one.
    pub since: DateTime<Utc>,
    /// Empty: it is a volume that none covers.
    pub policy: String,
    pub matches: Vec<Match>,
    pub protection: Protection,
    /// What the repository holds of it, newest first.
    pub backups: Vec<Backup>,
    /// Newest first.
    pub runs: Vec<ScheduledRun>,
    /// Oldest first.
    pub recoveries: Vec<Recovery>,
    /// What its policy wants done, and how that stands.
    pub work: Vec<Decision>,
}

/// Reads everything once.
///
/// # Errors
/// When the catalog fails.
pub async fn gather(catalog: &Catalog) -> Result<Gathered, CatalogError> {
    Ok(Gathered {
        applied: catalog.policies().await?,
        known: catalog.known_databases().await?,
        backups: catalog.backups(false).await?,
        runs: catalog.scheduled_runs().await?,
        recoveries: catalog.recoveries().await?,
        readers: catalog.backup_readers().await?,
        host_drills: catalog.host_drills().await?,
    })
}

/// How everything stands now: pure.
#[must_use]
pub fn stand(gathered: &Gathered, hosts: &[HostFacts], now: DateTime<Utc>) -> Standing {
    let set = &gathered.applied.set;
    let mut backups: BTreeMap<&DatabaseName, Vec<Backup>> = BTreeMap::new();
    for backup in &gathered.backups {
        backups
            .entry(&backup.database)
            .or_default()
            .push(backup.clone());
    }
    let mut runs: BTreeMap<&DatabaseName, Vec<ScheduledRun>> = BTreeMap::new();
    for run in &gathered.runs {
        if let Scheduled::Database(database) = &run.of {
            runs.entry(database).or_default().push(run.clone());
        }
    }
    let mut recoveries: BTreeMap<&DatabaseName, Vec<Recovery>> = BTreeMap::new();
    for recovery in &gathered.recoveries {
        recoveries
            .entry(&recovery.database)
            .or_default()
            .push(recovery.clone());
    }
    let mut databases: Vec<DatabaseStanding> = gathered
        .known
        .iter()
        .map(|known| {
            let name = &known.subject.database;
            let covered = cover(set, &known.subject);
            let policy = covered.policy;
            let applied = gathered.applied.at.filter(|_| known.subject.is_volume());
            DatabaseStanding {
                subject: known.subject.clone(),
                since: applied.map_or(known.since, |at| at.max(known.since)),
                policy: policy.map(|policy| policy.name.clone()).unwrap_or_default(),
                protection: policy.map_or_else(nothing, |policy| policy.protection.clone()),
                matches: covered.matches,
                backups: backups.remove(name).unwrap_or_default(),
                runs: runs.remove(name).unwrap_or_default(),
                recoveries: recoveries.remove(name).unwrap_or_default(),
                work: Vec::new(),
            }
        })
        .collect();
    let mut whole = host::all(hosts, gathered, &databases, now);
    let of_databases = databases
        .iter()
        .flat_map(|database| Work::OF_DATABASES.map(|work| database.item(work, hosts, now)));
    let of_hosts = whole
        .iter()
        .flat_map(|host| Work::OF_HOSTS.map(|work| host.item(work, hosts, now)));
    let items: Vec<Item> = of_databases.chain(of_hosts).flatten().collect();
    let mut decisions: BTreeMap<Scheduled, Vec<Decision>> = BTreeMap::new();
    for decision in decide(&items, set.per_host, now) {
        let own = decisions.entry(decision.of.clone()).or_default();
        own.push(decision);
    }
    for database in &mut databases {
        let of = Scheduled::Database(database.subject.database.clone());
        database.work = decisions.remove(&of).unwrap_or_default();
    }
    for host in &mut whole {
        let of = Scheduled::Host(host.host.clone());
        host.work = decisions.remove(&of).unwrap_or_default();
    }
    Standing {
        version: gathered.applied.version,
        set: set.clone(),
        databases,
        hosts: whole,
    }
}

/// Of what no policy covers.
fn nothing() -> Protection {
    Protection::Off {
        reason: "no policy names it".to_owned(),
    }
}

/// What retention wants of the backups of one database and kind each, with the mark that each has.
#[must_use]
pub fn retain(gathered: &Gathered, now: DateTime<Utc>) -> Vec<(Backup, Kept, String)> {
    let known = |name: &DatabaseName| {
        let mut known = gathered.known.iter();
        known.find(|known| known.subject.database == *name)
    };
    let mut series: BTreeMap<(&DatabaseName, BackupKind), Vec<&Backup>> = BTreeMap::new();
    for backup in &gathered.backups {
        series
            .entry((&backup.database, backup.kind))
            .or_default()
            .push(backup);
    }
    let mut all = Vec::new();
    for ((name, _), backups) in series {
        let facts: Vec<_> = backups
            .iter()
            .map(|backup| gathered.facts(backup))
            .collect();
        let covered = known(name);
        let covered = covered.and_then(|known| cover(&gathered.applied.set, &known.subject).policy);
        let plan = covered.and_then(|policy| policy.plan());
        // Of what nobody protects any more, and what is gone, everything stays.
        let nothing_goes = retention::Rules::none(chrono_tz::Tz::UTC);
        let rules = plan.map_or(&nothing_goes, |plan| &plan.retention);
        let policy = covered.filter(|policy| policy.plan().is_some());
        let policy = policy.map(|policy| policy.name.clone()).unwrap_or_default();
        let decisions = retention::plan(&facts, rules, now);
        all.extend(
            backups
                .into_iter()
                .zip(decisions)
                .map(|(backup, decision)| (backup.clone(), decision, policy.clone())),
        );
    }
    all
}

impl Gathered {
    /// What retention looks at for a backup: those of its database and kind.
    #[must_use]
    pub fn series_of(&self, backup: &Backup) -> Vec<retention::Facts> {
        let of = |other: &&Backup| (&other.database, other.kind) == (&backup.database, backup.kind);
        self.backups
            .iter()
            .filter(of)
            .map(|backup| self.facts(backup))
            .collect()
    }

    fn facts(&self, backup: &Backup) -> retention::Facts {
        let readers = self.readers.iter().filter(|(read, _)| *read == backup.id);
        retention::Facts {
            backup: backup.id,
            taken_at: backup.taken_at,
            state: backup.state,
            pinned: backup.pinned,
            read_by: readers.map(|(_, job)| *job).collect(),
            deletion: backup.deletion.clone(),
        }
    }
}

impl Standing {
    #[must_use]
    pub fn database(&self, name: &DatabaseName) -> Option<&DatabaseStanding> {
        let mut databases = self.databases.iter();
        databases.find(|database| database.subject.database == *name)
    }

    /// Everything that has a schedule.
    pub fn into_work(self) -> impl Iterator<Item = Decision> {
        let of_databases = self.databases.into_iter().flat_map(|one| one.work);
        of_databases.chain(self.hosts.into_iter().flat_map(|one| one.work))
    }

    #[must_use]
    pub fn host(&self, name: &HostName) -> Option<&HostStanding> {
        self.hosts.iter().find(|host| host.host == *name)
    }
}

impl DatabaseStanding {
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        match &self.protection {
            Protection::On(plan) => Some(plan),
            Protection::Off { .. } => None,
        }
    }

    /// Why nobody protects it, and whether a policy of its own says so. Not of a volume that no policy covers: what is
    /// in it may be worth nothing, which nobody but an operator knows.
    #[must_use]
    pub fn unprotected(&self) -> Option<(&str, bool)> {
        match &self.protection {
            Protection::On(_) => None,
            Protection::Off { .. } if self.policy.is_empty() => None,
            Protection::Off { reason } => Some((reason, self.policy != crate::policy::DEFAULT)),
        }
    }

    /// Whole ones that can be restored as far as anybody knows, newest first. What is dated in the future is
    /// none of them: nobody knows its age.
    #[must_use]
    pub fn good_backups(&self, now: DateTime<Utc>) -> Vec<&Backup> {
        let good = |backup: &&Backup| {
            backup.kind.is_whole() && backup.state.is_good() && backup.taken_at <= now
        };
        self.backups.iter().filter(good).collect()
    }

    /// When a drill found everything for the last time.
    #[must_use]
    pub fn last_proof(&self) -> Option<DateTime<Utc>> {
        let drills = self.recoveries.iter().filter(|recovery| {
            recovery.passed && recovery.scenario == crate::objective::Scenario::Drill
        });
        let proven = self.backups.iter().filter_map(|backup| backup.proven_at);
        drills.map(|drill| drill.at).chain(proven).max()
    }

    /// None when no policy protects it.
    #[must_use]
    pub fn objectives(&self, now: DateTime<Utc>) -> Vec<Objective> {
        let plan = self.plan();
        plan.map_or_else(Vec::new, |plan| {
            objectives(plan, &self.good_backups(now), &self.recoveries, now)
        })
    }

    /// The command that backs it up by hand.
    #[must_use]
    pub fn backup_command(&self) -> String {
        let name = &self.subject.database;
        if !self.subject.is_volume() {
            return format!("ctl backup create {name}");
        }
        let stop = self.plan().is_some_and(|plan| plan.stop);
        let stop = if stop { " --stop" } else { "" };
        format!("ctl backup create --volume {name}{stop}")
    }

    fn item(&self, work: Work, hosts: &[HostFacts], now: DateTime<Utc>) -> Option<Item> {
        let timing = self.plan()?.timing(work)?.clone();
        let scheduled = self.runs.iter().filter(|run| run.work == work);
        let mut runs: Vec<Run> = scheduled.map(|run| as_run(run, now)).collect();
        let name = &self.subject.database;
        let item = Item {
            of: Scheduled::Database(name.clone()),
            work,
            place: name.host.clone(),
            timing,
            since: self.since,
            first_within: FIRST_BACKUP_WITHIN,
            runs: Vec::new(),
            obstacle: None,
        };
        if work == Work::Backup {
            // One by hand is one too.
            let newest = self.good_backups(now).into_iter().next();
            runs.extend(newest.map(|one| ended(one.taken_at, one.stored_at, true)));
            return Some(Item {
                runs,
                obstacle: match name.volume() {
                    Some(volume) => obstacle::of_volume(self, &volume, hosts),
                    None => obstacle::of_database(name, hosts),
                },
                ..item
            });
        }
        runs.extend(self.last_proof().map(|at| ended(at, at, true)));
        let oldest = self.good_backups(now).last().map(|backup| backup.stored_at);
        let place = drill_backup::plan::host(self.plan(), name);
        let nothing = || "there is no good backup to restore".to_owned();
        Some(Item {
            since: oldest.unwrap_or(self.since).max(self.since),
            first_within: FIRST_DRILL_WITHIN,
            runs,
            obstacle: obstacle::away(&place, hosts).or_else(|| oldest.is_none().then(nothing)),
            place,
            ..item
        })
    }
}

fn as_run(run: &ScheduledRun, now: DateTime<Utc>) -> Run {
    let lost = now - run.started_at > SUBMITTED_WITHIN;
    match (run.job, run.ended_at) {
        (None, _) if lost || !run.error.is_empty() => ended(run.started_at, run.started_at, false),
        (Some((_, JobState::Stuck)), at) => {
            ended(run.started_at, at.unwrap_or(run.started_at), false)
        }
        (Some((_, state)), Some(at)) => ended(run.started_at, at, state == JobState::Succeeded),
        _ => Run {
            started_at: run.started_at,
            end: None,
        },
    }
}

fn ended(started_at: DateTime<Utc>, at: DateTime<Utc>, well: bool) -> Run {
    Run {
        started_at,
        end: Some(RunEnd { at, well }),
    }
}
