//! Steps that several runbooks have: keep what is there, bring a database back, merge rows, accept.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_proto::{
    names::{DatabaseName, HostName},
    task::Selection,
};

use super::{Act, Consent, Offer, Stage, Step, Unfit, situation::Situation};
use crate::{
    catalog::Backup,
    data_store::{Contents, DataStore},
    job::{
        BackUpDatabase, JobId, JobSpec, JobState, MergeRows, RestoreDatabase,
        copy_database::preflight::target::MAINTENANCE,
        landing::{
            LONGEST_NAME,
            dependents::Dependents,
            marked::{Mark, marked},
        },
    },
};

/// What a restore or a merge of a runbook replaces is kept this long.
const KEEP: Duration = Duration::from_hours(7 * 24);

/// Before the number of the incident, and of the round, in the names of what is brought beside.
const BESIDE: &str = "__incident_";

/// A service, and what steps on its databases look like.
#[derive(Debug, Clone, Copy)]
pub struct Databases<'a> {
    pub situation: &'a Situation,
    pub host: &'a str,
    pub instance: &'a str,
    /// What the service must lie on while a step is begun.
    pub on: &'a DataStore,
}

/// Where rows are merged from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// A database beside the one that they are merged into.
    pub from: String,
    /// The restore that it was replaced by.
    pub replaced_by: Option<JobId>,
}

impl Databases<'_> {
    fn name(&self, database: &str) -> Option<DatabaseName> {
        Some(DatabaseName {
            host: self.host.parse::<HostName>().ok()?,
            instance: self.instance.to_owned(),
            database: database.to_owned(),
        })
    }

    /// A backup of it as it is, whatever that is.
    #[must_use]
    pub fn keep(&self, database: &str) -> Step {
        let name = keep(database);
        let source = format!("{}/{}/{database}", self.host, self.instance);
        let act = self.name(database).map(|source| {
            Act::Job(Box::new(JobSpec::BackUpDatabase(BackUpDatabase {
                source,
                selection: Selection::default(),
                jobs: 0,
                bandwidth: 0,
                is_safety: true,
            })))
        });
        let made = self.situation.made_by(&name).map(|backup| backup.id);
        let stage = self.of_job(&name, Consent::Automatic, act, |job| match made {
            Some(backup) => format!("backup {backup}"),
            None => format!("the backup of job {job} is not there any more"),
        });
        Step {
            says: format!(
                "back {source} up as it is now, as a safety copy: whatever was written meanwhile is kept"
            ),
            command: format!("ctl backup create {source}"),
            checks:
                "it is stored, of kind before-replace: no restore of the latest backup takes it"
                    .to_owned(),
            name,
            stage,
        }
    }

    /// `what`: "what was written meanwhile". `backup`: none while it is not made.
    #[must_use]
    pub fn beside(&self, database: &str, what: &str, backup: Option<&Backup>) -> Step {
        let name = beside(database);
        let found = self.beside_name(database);
        let act = backup.and_then(|backup| self.restoring(backup, &found, false));
        let target = format!("{}/{}/{found}", self.host, self.instance);
        let stage = self.of_job(&name, Consent::Automatic, act, |_| {
            format!("it is in {target}, until somebody drops it")
        });
        let backup = backup.map_or_else(|| "BACKUP".to_owned(), |backup| backup.id.to_string());
        Step {
            says: format!("bring {what} beside {database}, as {found}"),
            command: format!("ctl restore {backup} --to {target}"),
            checks: "every row of it is proven to be there".to_owned(),
            name,
            stage,
        }
    }

    /// What was there before then, beside what is there now.
    #[must_use]
    pub fn beside_from_before(&self, database: &str, then: DateTime<Utc>) -> Step {
        let backup = self
            .situation
            .best_before(database, then, &beside(database));
        let taken = backup.map(|backup| backup.taken_at.format("%F %H:%M UTC").to_string());
        let what = format!("what was there at {}", taken.unwrap_or_default());
        self.needs_backup(database, self.beside(database, &what, backup), backup)
    }

    /// Without one, a step that nobody has begun stays undone.
    fn needs_backup(&self, database: &str, step: Step, backup: Option<&Backup>) -> Step {
        match step.stage {
            Stage::Later if backup.is_none() => Step {
                stage: Stage::Blocked(self.no_backup(database)),
                ..step
            },
            _ => step,
        }
    }

    /// A database that came up with the other data and was not there before: into the service on its own data.
    #[must_use]
    pub fn bring_along(&self, database: &str) -> Step {
        let name = format!("bring-along {database}");
        let backup = self.situation.made_by(&keep(database));
        let target = format!("{}/{}/{database}", self.host, self.instance);
        let act = backup.and_then(|backup| self.restoring(backup, database, false));
        let stage = self.of_job(&name, Consent::Confirmed, act, |_| {
            format!("it is in {target}")
        });
        let id = backup.map_or_else(|| "BACKUP".to_owned(), |backup| backup.id.to_string());
        Step {
            says: format!("bring {database} along, which was made meanwhile"),
            command: format!("ctl restore {id} --to {target}"),
            checks: "every row of it is proven to be there".to_owned(),
            name,
            stage,
        }
    }

    /// What [`Self::beside`] brings.
    #[must_use]
    pub fn rows_beside(&self, database: &str) -> Rows {
        Rows {
            from: self.beside_name(database),
            replaced_by: None,
        }
    }

    /// The rows of what [`Self::restore`] has replaced.
    #[must_use]
    pub fn merge_replaced(&self, database: &str) -> Step {
        let begun = self.situation.begun.get(&restore(database));
        let is_left_out = begun.is_some_and(|begun| begun.left_out.is_some());
        let restored = begun.and_then(|begun| begun.job.as_ref());
        let restored = restored.filter(|job| job.state == JobState::Succeeded);
        let rows = restored.map(|job| Rows {
            from: marked(database, Mark::Before, job.id),
            replaced_by: Some(job.id),
        });
        let step = self.merge(database, "that were written meanwhile", rows);
        let is_needless = is_left_out || restored.is_some_and(|job| !job.replaces);
        if !is_needless {
            return step;
        }
        Step {
            stage: Stage::Needless("nothing was put in the place of anything".to_owned()),
            ..step
        }
    }

    /// `which`: "that were written meanwhile". `rows`: none while they are not there.
    #[must_use]
    pub fn merge(&self, database: &str, which: &str, rows: Option<Rows>) -> Step {
        let name = format!("merge {database}");
        let from = rows.as_ref().map_or("NAME", |rows| rows.from.as_str());
        let command = format!(
            "ctl restore merge {}/{}/{database} --from {from}",
            self.host, self.instance
        );
        let act = rows.and_then(|rows| {
            let merge = MergeRows {
                database: self.name(database)?,
                from: rows.from,
                replaced_by: rows.replaced_by,
                tables: vec![],
                take: false,
                dry_run: false,
                keep: KEEP,
            };
            Some(Act::Job(Box::new(JobSpec::MergeRows(merge))))
        });
        let stage = self.of_job(&name, Consent::Confirmed, act, |job| {
            format!("see which rows: ctl job show {job}")
        });
        Step {
            says: format!(
                "merge the rows {which} into {database}; of two rows with one key the one that {database} has stays"
            ),
            command,
            checks: "conflicts are listed, and it can be undone for a week".to_owned(),
            name,
            stage,
        }
    }

    /// From what was made before then. `is_there`: a database of that name is replaced, and kept beside.
    #[must_use]
    pub fn restore(&self, database: &str, then: DateTime<Utc>, is_there: bool) -> Step {
        let name = restore(database);
        let backup = self.situation.best_before(database, then, &name);
        let begun = self.situation.begun.get(&name);
        let job = begun.and_then(|begun| begun.job.as_ref());
        let is_there = match job {
            Some(job) if !job.has_failed() => job.replaces,
            Some(_) | None => is_there,
        };
        let target = format!("{}/{}/{database}", self.host, self.instance);
        let act = backup.and_then(|backup| self.restoring(backup, database, is_there));
        let consent = if is_there {
            Consent::Typed(database.to_owned())
        } else {
            Consent::Confirmed
        };
        let stage = self.of_job(&name, consent, act, |job| {
            format!("every row is there; ctl job show {job}")
        });
        let (id, from) = backup.map_or_else(
            || ("BACKUP".to_owned(), "a backup".to_owned()),
            |backup| {
                let taken = backup.taken_at.format("%F %H:%M UTC");
                (
                    backup.id.to_string(),
                    format!("backup {} of {taken}", backup.id),
                )
            },
        );
        let (kept, flag) = if is_there {
            (
                "; what stands there now is kept beside it for a week",
                " --replace",
            )
        } else {
            ("", "")
        };
        let step = Step {
            says: format!("bring {database} back from {from}{kept}"),
            command: format!("ctl restore {id} --to {target}{flag}"),
            checks: "every row is compared with what was read when the backup was made".to_owned(),
            name,
            stage,
        };
        self.needs_backup(database, step, backup)
    }

    fn restoring(&self, backup: &Backup, target: &str, replace: bool) -> Option<Act> {
        let restore = RestoreDatabase {
            backup: backup.id,
            source: backup.database.clone(),
            target: self.name(target)?,
            replace,
            keep: KEEP,
            dry_run: false,
            jobs: 0,
            tables: vec![],
            no_safety_backup: false,
            dependents: Dependents::default(),
        };
        Some(Act::Job(Box::new(JobSpec::RestoreDatabase(restore))))
    }

    /// Those that have a backup first: the others stop nobody. A server's own database is never replaced: what was in it
    /// is brought beside.
    #[must_use]
    pub fn restores<'d>(
        &self,
        databases: impl IntoIterator<Item = &'d String>,
        then: DateTime<Utc>,
        is_there: impl Fn(&str) -> bool,
    ) -> Vec<Step> {
        let steps =
            databases
                .into_iter()
                .map(|database| match MAINTENANCE.contains(&database.as_str()) {
                    true => self.beside_from_before(database, then),
                    false => self.restore(database, then, is_there(database)),
                });
        let (blocked, able): (Vec<_>, Vec<_>) =
            steps.partition(|step| matches!(step.stage, Stage::Blocked(_)));
        able.into_iter().chain(blocked).collect()
    }

    /// Nothing brings it back.
    #[must_use]
    pub fn no_backup(&self, database: &str) -> Unfit {
        Unfit {
            why: format!("there is no good backup of {database} from before"),
            advice: format!(
                "see what there is: ctl backup list {}; a copy of its volume elsewhere can be restored by hand",
                self.host
            ),
        }
    }

    /// What the service lies on now is right. `volume`: where that is.
    #[must_use]
    pub fn accept(&self, volume: &str) -> Step {
        let name = "accept".to_owned();
        let service = self.situation.service.as_ref();
        let is_accepted = service.is_some_and(|service| service.swapped.is_none());
        let is_done = is_accepted && self.situation.lies_on(self.on);
        let stage = if is_done || self.situation.begun.contains_key(&name) {
            Stage::Done(format!("{volume} is where they shall be"))
        } else {
            self.guarded(Stage::Ready(Offer {
                consent: Consent::Confirmed,
                act: Act::Accept,
            }))
        };
        Step {
            says: format!("say that the data of the service lie on {volume} from now on"),
            command: format!(
                "ctl instance accept {}/{} --reason \"incident {}\"",
                self.host, self.instance, self.situation.incident.id
            ),
            checks: "nothing of it is found any more".to_owned(),
            name,
            stage,
        }
    }

    /// Of a step that is a job. `act`: none while what it needs is not there.
    fn of_job(
        &self,
        name: &str,
        consent: Consent,
        act: Option<Act>,
        done: impl Fn(JobId) -> String,
    ) -> Stage {
        let begun = self.situation.begun.get(name);
        let job = begun.and_then(|begun| begun.job.as_ref());
        let offer = act.map(|act| Offer { consent, act });
        let stage = match (job, offer) {
            (None, None) => Stage::Later,
            (None, Some(offer)) => Stage::Ready(offer),
            (Some(job), _) if job.state == JobState::Succeeded => Stage::Done(done(job.id)),
            (Some(job), _) if !job.has_failed() => Stage::UnderWay {
                job: Some(job.id),
                waits_for: format!("job {}", job.id),
            },
            (Some(job), offer) => {
                let why = format!("job {} {}: {}", job.id, job.state.as_str(), job.reason);
                match offer {
                    Some(again) => Stage::Failed { why, again },
                    None => Stage::Blocked(Unfit {
                        why,
                        advice: format!("see it: ctl job show {}", job.id),
                    }),
                }
            }
        };
        self.guarded(stage)
    }

    /// Nothing is begun on other data than those that it is meant for.
    fn guarded(&self, stage: Stage) -> Stage {
        let begins = matches!(stage, Stage::Ready(_) | Stage::Failed { .. });
        if !begins || self.situation.lies_on(self.on) {
            return stage;
        }
        let (host, instance) = (self.host, self.instance);
        let meant = self.on.place().unwrap_or_default();
        Stage::Blocked(Unfit {
            why: format!(
                "{host}/{instance} does not lie on the data in {meant} that this is meant for"
            ),
            advice: format!(
                "see what it lies on: ctl instance history {host}/{instance}; bring it back to that, or leave the step out"
            ),
        })
    }

    /// Cut so that it fits, and no name that a job would drop.
    fn beside_name(&self, database: &str) -> String {
        let (incident, round) = (self.situation.incident.id, self.situation.round);
        let suffix = format!("{BESIDE}{incident}_{round}");
        let room = LONGEST_NAME.saturating_sub(suffix.len());
        let cut = database.floor_char_boundary(room.min(database.len()));
        format!("{}{suffix}", &database[..cut])
    }
}

/// The step's name.
#[must_use]
pub fn keep(database: &str) -> String {
    format!("keep-new-rows {database}")
}

fn beside(database: &str) -> String {
    format!("rows-beside {database}")
}

fn restore(database: &str) -> String {
    format!("restore {database}")
}

/// Names of the databases that are somebody's, rather than brought beside another by a runbook.
#[must_use]
pub fn own(contents: &Contents) -> BTreeSet<String> {
    let names = contents.databases.keys();
    names.filter(|name| !is_beside(name)).cloned().collect()
}

fn is_beside(database: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let suffix = database.rsplit_once(BESIDE).map(|(_, suffix)| suffix);
    suffix
        .and_then(|suffix| suffix.split_once('_'))
        .is_some_and(|(incident, round)| is_number(incident) && is_number(round))
}
