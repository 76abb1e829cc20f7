//! `count-drop`: rows of a database are gone, or all of it: what is there is kept, and what is missing comes back from
//! the last backup from before.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Runbook, Stage, Step, Unfit, nothing, remember, situation::Situation, steps::Databases,
};
use crate::{
    data_store::DataStore,
    detect::{Finding, check, database_gone},
};

const KINDS: &[&str] = &[database_gone::KIND.name, check::SUSPICIOUS.name];

#[derive(Debug)]
pub struct CountDrop;

/// How it was when somebody began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Start {
    host: String,
    instance: String,
    /// What the service lies on.
    store: DataStore,
    /// By name of the database.
    missing: BTreeMap<String, Missing>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Missing {
    /// The whole database is.
    all: bool,
    /// When all was well for the last time, as far as anybody knows.
    well_until: DateTime<Utc>,
}

impl Runbook for CountDrop {
    fn name(&self) -> &'static str {
        "count-drop"
    }

    fn says(&self) -> &'static str {
        "brings rows that are gone back from the last backup that has them, and keeps what is there"
    }

    fn kinds(&self) -> &'static [&'static str] {
        KINDS
    }

    fn begin(&self, situation: &Situation) -> Result<Value, Unfit> {
        let well = || nothing("no database of this incident lacks anything now", situation);
        let service = situation.service.as_ref().ok_or_else(well)?;
        let (host, instance) = (service.host.to_string(), service.instance.clone());
        if service.swapped.is_some() {
            return Err(Unfit {
                why: format!("{host}/{instance} lies on other data than its own"),
                advice: format!(
                    "that comes first: ctl incident run {} --runbook volume-swapped",
                    situation.incident.id
                ),
            });
        }
        let seen = situation.seen().and_then(|seen| seen.contents);
        let seen = seen.ok_or_else(|| Unfit {
            why: format!("{host}/{instance} does not answer: nobody can see what it holds"),
            advice: "begin when it is up".to_owned(),
        })?;
        let mut missing: BTreeMap<String, Missing> = BTreeMap::new();
        for finding in open(situation) {
            let Some(database) = finding.subject.splitn(3, '/').nth(2) else {
                continue;
            };
            let well_until = well_until(finding, situation);
            let known = missing.entry(database.to_owned()).or_insert(Missing {
                all: !seen.databases.contains_key(database),
                well_until,
            });
            known.well_until = known.well_until.min(well_until);
        }
        if missing.is_empty() {
            return Err(well());
        }
        let start = Start {
            host,
            instance,
            store: service.accepted.clone(),
            missing,
        };
        remember(&start)
    }

    fn plan(&self, start: &Value, situation: &Situation) -> Result<Vec<Step>, serde_json::Error> {
        let start: Start = serde_json::from_value(start.clone())?;
        let databases = Databases {
            situation,
            host: &start.host,
            instance: &start.instance,
            on: &start.store,
        };
        let now = situation.seen().and_then(|seen| seen.contents);
        let is_there = |database: &str| {
            now.as_ref()
                .is_some_and(|now| now.databases.contains_key(database))
        };
        let mut steps = Vec::new();
        for (database, missing) in &start.missing {
            if missing.all {
                steps.push(databases.restore(database, missing.well_until, is_there(database)));
                steps.push(databases.merge_replaced(database));
                continue;
            }
            steps.push(databases.keep(database));
            steps.push(databases.beside_from_before(database, missing.well_until));
            let which = "that are gone (also those that somebody deleted on purpose since: choose tables by hand, with \
                         --table, where that matters)";
            let rows = databases.rows_beside(database);
            steps.push(databases.merge(database, which, Some(rows)));
        }
        steps.push(over(situation));
        Ok(steps)
    }
}

fn open(situation: &Situation) -> impl Iterator<Item = &Finding> {
    let findings = situation.findings.iter();
    findings.filter(|finding| finding.closed_at.is_none() && KINDS.contains(&finding.kind.as_str()))
}

/// A check looks from time to time: what was there when it was well for the last time may have gone soon after.
fn well_until(finding: &Finding, situation: &Situation) -> DateTime<Utc> {
    let last_ok = situation.last_ok.get(&finding.key);
    last_ok.copied().unwrap_or(finding.opened_at)
}

fn over(situation: &Situation) -> Step {
    Step {
        name: "over".to_owned(),
        says: "see that nothing is found any more".to_owned(),
        command: format!("ctl incident show {}", situation.incident.id),
        checks: "the databases are there, and their checks are well".to_owned(),
        stage: match open(situation).next() {
            Some(finding) => Stage::UnderWay {
                job: None,
                waits_for: format!("this to end: {}", finding.message),
            },
            None => Stage::Done("nothing is missing any more".to_owned()),
        },
    }
}
