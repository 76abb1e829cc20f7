//! What a copy leaves behind: roles for good, databases for a while. Pure, from the job's history.

use chrono::{DateTime, Utc};
use holdfast_proto::task::StagedDatabase;

use super::{
    CopyDatabase,
    marked::{Mark, marked},
    preflight::{self, Examined, compatibility::missing_roles},
    stage,
};
use crate::job::{
    JobId,
    event::Outcome,
    position::{Phase, Position, Way},
    view::{KeptDatabase, KeptReason},
};

/// Roles that the job created on the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreatedRoles {
    pub names: Vec<String>,
    /// No attempt told all of them: some may not be there, or be somebody else's.
    pub uncertain: bool,
}

impl CreatedRoles {
    /// What to do about them when the copy does not stand; empty when there are none.
    #[must_use]
    pub fn left(&self) -> String {
        if self.names.is_empty() {
            return String::new();
        }
        let created = if self.uncertain {
            "roles perhaps created and left"
        } else {
            "roles created and left"
        };
        format!(
            "{created}: {}; drop them with DROP ROLE if nobody needs them",
            self.names.join(", ")
        )
    }
}

/// As the only attempt told. An attempt whose answer was lost may have created them: the next one
/// finds them there and tells of none. Then it is whatever the preflight found missing.
#[must_use]
pub fn created_roles(position: &Position) -> CreatedRoles {
    let attempts = position.next_attempt(stage::NAME, Way::Do) - 1;
    let told = position.output(stage::NAME).cloned();
    let told = told.and_then(|output| serde_json::from_value::<StagedDatabase>(output).ok());
    match (attempts, told) {
        (0, _) => CreatedRoles::default(),
        (1, Some(staged)) => CreatedRoles {
            names: staged.created_roles,
            uncertain: false,
        },
        _ => {
            let names = asked_for(position);
            CreatedRoles {
                uncertain: !names.is_empty(),
                names,
            }
        }
    }
}

fn asked_for(position: &Position) -> Vec<String> {
    let examined = position.output(preflight::NAME).cloned();
    let examined = examined.and_then(|output| serde_json::from_value::<Examined>(output).ok());
    match examined {
        Some(Examined {
            source: Some(source),
            target: Some(target),
            ..
        }) => {
            let missing = missing_roles(&source, &target).into_iter();
            missing.map(|role| role.name.clone()).collect()
        }
        _ => Vec::new(),
    }
}

/// It ended, and not with a copy that is in its place.
#[must_use]
pub fn did_not_stand(position: &Position) -> bool {
    match &position.phase {
        Phase::Ended(ended) => ended.outcome != Outcome::Succeeded,
        Phase::Empty | Phase::Waiting | Phase::Forward | Phase::Unwinding(_) => false,
    }
}

/// What stands beside the target until its time is over.
#[must_use]
pub fn kept(request: &CopyDatabase, job: JobId, position: &Position) -> Vec<KeptDatabase> {
    let before = marked(&request.target.database, Mark::Before, job);
    let leftovers = position.leftovers.iter();
    leftovers
        .map(|(_, left)| KeptDatabase {
            database: left.database.clone(),
            until: left.drop_after,
            reason: if left.database.database == before {
                KeptReason::Replaced
            } else {
                KeptReason::Undone
            },
        })
        .collect()
}

/// What `ctl job undo` would do now, in one sentence; empty when it would do nothing.
#[must_use]
pub fn undo(request: &CopyDatabase, job: JobId, position: &Position, now: DateTime<Utc>) -> String {
    let Phase::Ended(ended) = &position.phase else {
        return String::new();
    };
    if ended.outcome != Outcome::Succeeded || ended.undo_until.is_none_or(|until| until <= now) {
        return String::new();
    }
    let target = &request.target;
    let aside = marked(&target.database, Mark::Undone, job);
    let span = humantime::format_duration(request.keep);
    let copy = format!("the copy stays beside as {aside} for {span}");
    let kept = kept(request, job, position);
    let replaced = kept.iter().find(|kept| kept.reason == KeptReason::Replaced);
    match replaced {
        Some(former) => format!(
            "gives {} the name {} again; {copy}",
            former.database.database, target.database
        ),
        None => format!(
            "takes {} away, since nothing stood there before; {copy}",
            target.database
        ),
    }
}

#[cfg(test)]
mod tests;
