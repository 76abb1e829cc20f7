//! What a landing leaves behind: roles that are used, databases for a while. Pure, from the job's history.

use chrono::{DateTime, Utc};
use holdfast_proto::task::{DroppedRoles, StagedDatabase};

use super::{Landing, marked::Mark, stage};
use crate::job::{
    JobId,
    copy_database::preflight::{self, Examined, compatibility::missing_roles},
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
    /// What to do about them when the image does not stand; empty when there are none.
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

/// As the last attempt told, without those that the undo found gone. An attempt whose answer was lost, and
/// that no undo has looked after, may have created whatever the preflight found missing.
#[must_use]
pub fn created_roles(position: &Position) -> CreatedRoles {
    let undone = dropped(position);
    match (tried(position), told(position), undone) {
        (false, ..) => CreatedRoles::default(),
        (true, Some(mut names), undone) => {
            let gone = undone.unwrap_or_default().gone;
            names.retain(|name| !gone.contains(name));
            CreatedRoles {
                names,
                uncertain: false,
            }
        }
        (true, None, Some(undone)) => CreatedRoles {
            names: undone.left.into_iter().map(|left| left.role).collect(),
            uncertain: false,
        },
        (true, None, None) => {
            let names = asked_for(position);
            CreatedRoles {
                uncertain: !names.is_empty(),
                names,
            }
        }
    }
}

/// What the undo of the stage step asks about: all that any attempt may have created.
#[must_use]
pub fn roles_to_drop(position: &Position) -> Vec<String> {
    let mut names = asked_for(position);
    names.extend(told(position).unwrap_or_default());
    names.sort();
    names.dedup();
    names
}

fn tried(position: &Position) -> bool {
    position.next_attempt(stage::NAME, Way::Do) > 1
}

fn told(position: &Position) -> Option<Vec<String>> {
    let output = position.output(stage::NAME)?.clone();
    let staged = serde_json::from_value::<StagedDatabase>(output).ok()?;
    Some(staged.created_roles)
}

fn dropped(position: &Position) -> Option<DroppedRoles> {
    let output = position.undo_output(stage::NAME)?.clone();
    serde_json::from_value(output).ok()
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

/// It ended, and not with an image that is in its place.
#[must_use]
pub fn did_not_stand(position: &Position) -> bool {
    match &position.phase {
        Phase::Ended(ended) => ended.outcome != Outcome::Succeeded,
        Phase::Empty | Phase::Waiting | Phase::Forward | Phase::Unwinding(_) => false,
    }
}

/// What stands beside the target until its time is over.
#[must_use]
pub fn kept(landing: Landing<'_>, job: JobId, position: &Position) -> Vec<KeptDatabase> {
    let before = landing.beside(Mark::Before, job);
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
pub fn undo(landing: Landing<'_>, job: JobId, position: &Position, now: DateTime<Utc>) -> String {
    let Phase::Ended(ended) = &position.phase else {
        return String::new();
    };
    if ended.outcome != Outcome::Succeeded || ended.undo_until.is_none_or(|until| until <= now) {
        return String::new();
    }
    let Landing { target, what, .. } = landing;
    let aside = landing.beside(Mark::Undone, job);
    let span = humantime::format_duration(landing.keep);
    let copy = format!("the {what} stays beside as {aside} for {span}");
    let kept = kept(landing, job, position);
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
