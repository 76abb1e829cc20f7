//! Which backups stay and which go, and why: a pure function of the backups, the rules and the time.
//!
//! [`plan`] says what is wanted. What is not wanted is marked, and goes only when it has been marked for
//! a time of grace and is still not wanted: see [`removal`].

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    catalog::{BackupId, BackupState},
    job::JobId,
};

mod period;
mod reason;
pub mod removal;
mod rules;

pub use period::Period;
pub use reason::Reason;
pub use rules::Rules;

/// A damaged backup stays this long, for whoever looks into what happened.
const DAMAGED_FOR: TimeDelta = TimeDelta::days(7);
/// Clocks of hosts differ by less. A backup from further in the future has a wrong date.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::hours(1);

/// What is known of one backup of a series: those of one database and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub backup: BackupId,
    /// The moment that it shows.
    pub taken_at: DateTime<Utc>,
    pub state: BackupState,
    pub pinned: bool,
    /// Jobs that have not ended and read it, or will.
    pub read_by: Vec<JobId>,
    pub deletion: Option<Deletion>,
}

/// Somebody asked for the removal of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// "operator/ann".
    pub by: String,
    /// Also if it is the newest good or the newest proven one: its database's name was typed.
    pub forced: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub backup: BackupId,
    pub keep: bool,
    /// Every one that applies, never empty.
    pub reasons: Vec<Reason>,
}

/// One decision for each backup that is there, in the order of the facts. Removed ones have none.
///
/// Only good backups count towards the rules, so that a series which fails for days keeps its good
/// past: a period without a good backup is no period, and "within" is measured from the newest good one.
///
/// What somebody deleted counts towards no rule. It stays all the same while it is pinned, read, or the
/// newest good or proven one, unless just that was forced.
#[must_use]
pub fn plan(series: &[Facts], rules: &Rules, now: DateTime<Utc>) -> Vec<Decision> {
    let there = || {
        series
            .iter()
            .filter(|facts| facts.state != BackupState::Expired)
    };
    // Newest first; of two of one moment the one that was stored later.
    let mut counted: Vec<&Facts> = there()
        .filter(|facts| facts.state.is_good() && !is_of_the_future(facts, now))
        .collect();
    counted.sort_by_key(|facts| std::cmp::Reverse((facts.taken_at, facts.backup)));
    counted.retain(|facts| {
        !facts
            .deletion
            .as_ref()
            .is_some_and(|deletion| deletion.forced)
    });
    let mut wanted = counted.clone();
    wanted.retain(|facts| facts.deletion.is_none());
    let kept = rules::kept(&wanted, rules);
    there()
        .map(|facts| {
            let mut reasons = own_reasons(facts, &counted, now);
            let by_rules = kept.iter().filter(|(backup, _)| *backup == facts.backup);
            reasons.extend(by_rules.map(|(_, reason)| reason.clone()));
            let deletion = facts.deletion.as_ref();
            if rules.is_empty() && facts.state.is_good() && deletion.is_none() {
                reasons.push(Reason::NoRules);
            }
            let keep = !reasons.is_empty();
            if !keep {
                reasons.push(match (deletion, facts.state) {
                    (Some(deletion), _) => Reason::Deleted {
                        by: deletion.by.clone(),
                    },
                    (None, BackupState::Damaged) => Reason::Damaged,
                    (None, _) => Reason::NoRuleKeepsIt {
                        rules: rules.to_string(),
                    },
                });
            }
            Decision {
                backup: facts.backup,
                keep,
                reasons,
            }
        })
        .collect()
}

/// What keeps a backup whatever the rules are.
fn own_reasons(facts: &Facts, counted: &[&Facts], now: DateTime<Utc>) -> Vec<Reason> {
    let newest_of = |wanted: &dyn Fn(&Facts) -> bool| {
        let newest = counted.iter().find(|facts| wanted(facts));
        newest.is_some_and(|newest| newest.backup == facts.backup)
    };
    let young = now - facts.taken_at < DAMAGED_FOR;
    let damaged = facts.state == BackupState::Damaged;
    let deleted = facts.deletion.as_ref();
    let mut reasons = Vec::new();
    let mut add = |applies: bool, reason: Reason| {
        if applies {
            reasons.push(reason);
        }
    };
    add(facts.pinned, Reason::Pinned);
    for job in &facts.read_by {
        add(true, Reason::ReadBy(*job));
    }
    add(
        newest_of(&|facts| facts.state == BackupState::Proven),
        Reason::NewestProven,
    );
    add(newest_of(&|_| true), Reason::NewestStored);
    add(
        is_of_the_future(facts, now) && deleted.is_none(),
        Reason::FromTheFuture,
    );
    let forced = deleted.is_some_and(|deletion| deletion.forced);
    add(
        damaged && counted.is_empty() && !forced,
        Reason::NothingBetter,
    );
    add(damaged && young && deleted.is_none(), Reason::DamagedOfLate);
    reasons
}

fn is_of_the_future(facts: &Facts, now: DateTime<Utc>) -> bool {
    facts.taken_at - now > CLOCKS_DIFFER
}

/// Why it may not go though somebody asks for it, unless they insist: what the plan keeps it for whatever the
/// rules are. Empty: it may.
#[must_use]
pub fn keeps_from_deletion(
    series: &[Facts],
    backup: BackupId,
    deletion: &Deletion,
    now: DateTime<Utc>,
) -> Vec<Reason> {
    let mut asked = series.to_vec();
    for facts in &mut asked {
        if facts.backup == backup {
            facts.deletion = Some(deletion.clone());
        }
    }
    let decisions = plan(&asked, &Rules::none(chrono_tz::Tz::UTC), now);
    let own = decisions.into_iter().find(|own| own.backup == backup);
    own.filter(|own| own.keep)
        .map(|own| own.reasons)
        .unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
