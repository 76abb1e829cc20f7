//! Prove what was restored before anybody can use it: it is what the catalog noted when the backup was
//! made, and the user counts of that moment hold on it.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use holdfast_proto::{
    check::CheckOutcome,
    image::ProofLevel,
    task::{Selection, TaskFailure, TaskSpec},
};
use serde_json::Value;

use super::{
    RestoreDatabase,
    contents::contents,
    tables::{choose, part_of},
    transfer,
};
use crate::{
    check::Check,
    job::{
        back_up_database::record::{BackupContents, CheckedThen},
        definition::{Step, StepDone, StepFailure},
        event::Why,
        landing::{
            checks::{Held, hold},
            conclude::{Claim, NAME, Transferred, proof_says, run_check},
            proof::compare,
        },
        step::{StepContext, catalog_failure},
        suspect,
    },
};

/// However sound it is in itself.
const OTHER: &str =
    "the repository holds another image under this name than was noted when it was made";

#[derive(Debug)]
pub struct Prove<'a>(pub &'a RestoreDatabase);

#[async_trait]
impl Step for Prove<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, ctx: &StepContext) -> Result<StepDone, StepFailure> {
        let request = self.0;
        let mut image: Transferred = ctx.output(transfer::NAME)?;
        let (_, noted) = contents(&ctx.world.catalog, request).await?;
        let whole = image.sent.manifest.clone();
        let tables = choose(&noted.image, &request.tables).tables;
        let wanted = part_of(noted.image.clone(), &tables);
        let mut comparison = compare(ProofLevel::Full, &wanted, &image.received);
        image.sent.manifest = wanted;
        if noted.image != whole {
            comparison.differences.insert(0, OTHER.to_owned());
            suspect::mark(ctx, request.backup, OTHER).await?;
        }
        // What is not equal needs no counting.
        let (held, notices) = if comparison.differences.is_empty() {
            self.hold_checks(ctx, &noted).await?
        } else {
            Default::default()
        };
        image.received.notices.extend(notices);
        let claim = Claim {
            level: ProofLevel::Full,
            what: &format!("what was restored of backup {}", request.backup),
            differs: "Run ctl repository check --read-data 100%, restore an older backup, and report it",
            broken: "Look at the check's history; an older backup may be the better one",
        };
        claim.conclude(ctx, image, comparison, held)
    }

    /// It only reads.
    async fn undo(&self, _: &StepContext, _: &Why) -> Result<StepDone, TaskFailure> {
        Ok(StepDone::default())
    }

    fn says(&self, output: &Value) -> String {
        proof_says(output, "no check was kept with the backup")
    }
}

impl Prove<'_> {
    /// The checks as they are set now, against what they counted when the backup was made.
    async fn hold_checks(
        &self,
        ctx: &StepContext,
        noted: &BackupContents,
    ) -> Result<(Vec<Held>, Vec<String>), TaskFailure> {
        if noted.selection.schema_only {
            return Ok(Default::default());
        }
        let set = ctx.world.catalog.checks_of(&self.0.source).await;
        let set = set.map_err(|error| catalog_failure(&error))?;
        let mut held = Vec::with_capacity(set.len());
        for check in &set {
            let found = self.run_on_staging(ctx, check).await?;
            let then = noted.checks.iter().find(|then| then.name == check.name);
            let partial = !self.0.tables.is_empty() || noted.selection != Selection::default();
            held.push(holds(check, then, &found, noted.image.taken_at, partial));
        }
        Ok((held, gone(&set, noted)))
    }

    async fn run_on_staging(
        &self,
        ctx: &StepContext,
        check: &Check,
    ) -> Result<CheckOutcome, TaskFailure> {
        let staging = self.0.landing().staging(ctx.job);
        let spec = TaskSpec::RunCheck(check.task_on(&staging.instance, &staging.database));
        let part = format!("check-{}", check.id);
        run_check(ctx, &part, &self.0.target.host, spec).await
    }
}

/// A check that was set since the backup was made is told, and not held against it.
#[must_use]
pub fn holds(
    check: &Check,
    then: Option<&CheckedThen>,
    found: &CheckOutcome,
    taken_at: DateTime<Utc>,
    partial: bool,
) -> Held {
    let never = CheckOutcome {
        at: taken_at,
        count: None,
        newest: None,
        error: "it did not run when the backup was made".to_owned(),
    };
    let source = then.map_or(&never, |then| &then.outcome);
    let mut held = hold(check, source, found, taken_at, partial);
    if then.is_none() && !held.holds {
        held.holds = true;
        let since = "not held against the backup: the check was set after it was made";
        held.check.reasons.push(since.to_owned());
    }
    held
}

fn is_set(set: &[Check], then: &CheckedThen) -> bool {
    set.iter().any(|check| check.name == then.name)
}

/// Nobody can ask a check that is gone; what it counted is told.
#[must_use]
pub fn gone(set: &[Check], noted: &BackupContents) -> Vec<String> {
    let gone = noted.checks.iter().filter(|then| !is_set(set, then));
    let told = gone.map(|CheckedThen { name, outcome }| {
        let counted = outcome.count.map_or_else(
            || "could not run".to_owned(),
            |count| format!("counted {count}"),
        );
        format!("check {name} {counted} when the backup was made; it is not set any more and was not asked")
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use holdfast_proto::{
        check::{CheckLimits, CheckVerdict},
        task::{DatabaseFacts, Selection},
    };

    use super::*;
    use crate::job::proofs::image_of;

    fn moment() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    fn check(min: i64) -> Check {
        Check {
            id: 1,
            database: "web-1/shop-db/shop".parse().unwrap(),
            name: "users".to_owned(),
            count_sql: "select count(*) from users".to_owned(),
            newest_sql: String::new(),
            limits: CheckLimits {
                min: Some(min),
                max: None,
                max_drop_percent: Some(10.0),
                max_age: None,
            },
            every: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
        }
    }

    fn counted(count: i64) -> CheckOutcome {
        CheckOutcome {
            at: moment(),
            count: Some(count),
            newest: None,
            error: String::new(),
        }
    }

    fn noted(checks: Vec<CheckedThen>) -> BackupContents {
        BackupContents {
            format: 1,
            image: image_of("5000 users"),
            source: DatabaseFacts::default(),
            selection: Selection::default(),
            checks,
        }
    }

    #[test]
    fn a_count_is_held_against_that_of_the_backup() {
        let then = CheckedThen {
            name: "users".to_owned(),
            outcome: counted(14),
        };
        let of = |found, partial| {
            let found = counted(found);
            holds(&check(10), Some(&then), &found, moment(), partial).holds
        };
        assert!(of(14, false));
        assert!(!of(1, false), "14 users became 1");
        assert!(of(1, true), "users did not come on request");
        // The limit was made stricter since; the backup was as poor then.
        let stricter = holds(&check(100), Some(&then), &counted(14), moment(), false);
        assert!(stricter.holds);
        assert_eq!(stricter.check.verdict, CheckVerdict::Suspicious);
    }

    #[test]
    fn a_check_of_today_is_told_and_not_held_against_an_older_backup() {
        let held = holds(&check(100), None, &counted(14), moment(), false);
        assert!(held.holds);
        assert_eq!(held.check.verdict, CheckVerdict::Suspicious);
        assert!(
            held.check
                .reasons
                .concat()
                .contains("set after it was made")
        );
    }

    #[test]
    fn a_check_that_is_gone_is_told_with_what_it_counted_then() {
        let then = |name: &str| CheckedThen {
            name: name.to_owned(),
            outcome: counted(3),
        };
        let told = gone(&[check(1)], &noted(vec![then("users"), then("admins")]));
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("check admins counted 3"), "{told:?}");
    }
}
