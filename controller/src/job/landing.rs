//! How an image comes to stand on a server, wherever it came from: staged, proven, published by rename.
//!
//! Copies and restores share it. Until `publish` nothing that anybody uses has changed: the image grows
//! in a staging database. What stood under the name stays beside it for `keep`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{names::DatabaseName, task::DatabaseTarget};

use self::{
    aftermath::CreatedRoles,
    marked::{Mark, looks_marked, marked},
};
use super::{
    JobId, copy_database::preflight, event::Leftover, position::Position, view::JobReport,
};

pub mod aftermath;
pub mod checklist;
pub mod checks;
pub mod conclude;
pub mod dependents;
pub mod marked;
pub mod proof;
pub mod publish;
pub mod stage;
pub mod sweep;

/// The longest name that PostgreSQL takes, in bytes.
pub const LONGEST_NAME: usize = 63;

/// More connections than this do not make it faster.
pub const MOST_JOBS: u32 = 8;

/// Where an image is to stand, and what becomes of a database that stands there.
#[derive(Debug, Clone, Copy)]
pub struct Landing<'a> {
    pub target: &'a DatabaseName,
    /// A database that stands under the target's name is kept beside it for `keep`.
    pub replace: bool,
    /// How long the replaced (or, after an undo, the undone) database stays.
    pub keep: Duration,
    /// What lands, for people: "copy".
    pub what: &'static str,
}

impl Landing<'_> {
    /// Where the image grows.
    #[must_use]
    pub fn staging(&self, job: JobId) -> DatabaseTarget {
        DatabaseTarget {
            instance: self.target.instance.clone(),
            database: self.beside(Mark::Staging, job),
        }
    }

    /// The target's name with the job's mark.
    #[must_use]
    pub fn beside(&self, mark: Mark, job: JobId) -> String {
        marked(&self.target.database, mark, job)
    }

    /// Why nothing may ever stand under the target's name.
    ///
    /// # Errors
    /// The reason, for the operator.
    pub fn check(&self) -> Result<(), String> {
        if looks_marked(&self.target.database) {
            return Err(format!(
                "{} is a name that a job gives to what it keeps, and drops when its time is over",
                self.target
            ));
        }
        Ok(())
    }

    /// What the job found out, and what can be done about it now.
    #[must_use]
    pub fn report(&self, job: JobId, position: &Position, now: DateTime<Utc>) -> JobReport {
        let roles = if aftermath::did_not_stand(position) {
            aftermath::created_roles(position)
        } else {
            CreatedRoles::default()
        };
        JobReport {
            preflight: preflight::lines(position),
            proof: conclude::proof(position),
            roles_left: roles.names,
            roles_left_uncertain: roles.uncertain,
            kept: aftermath::kept(*self, job, position),
            undo: aftermath::undo(*self, job, position, now),
            pruned: None,
            merged: None,
            checklist: checklist::lines(position),
        }
    }

    /// A database of this name goes when its time is over; none without a name.
    fn leftover(&self, name: &str, now: DateTime<Utc>) -> Option<Leftover> {
        let keep = TimeDelta::from_std(self.keep).unwrap_or(TimeDelta::MAX);
        let drop_after = now.checked_add_signed(keep);
        (!name.is_empty()).then(|| Leftover {
            database: DatabaseName {
                database: name.to_owned(),
                ..self.target.clone()
            },
            drop_after: drop_after.unwrap_or(DateTime::<Utc>::MAX_UTC),
        })
    }
}

/// Connections on each side: as asked, or as many as every end has processors for.
#[must_use]
pub fn connections(asked: u32, cpus: &[u32]) -> u32 {
    match asked {
        0 => cpus.iter().copied().min().unwrap_or(1).clamp(1, MOST_JOBS),
        asked => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_follow_the_smaller_machine() {
        assert_eq!(connections(0, &[16, 2]), 2);
        assert_eq!(connections(0, &[0, 64]), 1);
        assert_eq!(connections(0, &[64]), 8);
        assert_eq!(connections(12, &[2, 2]), 12);
    }
}
