//! Why a request about a job is refused.

use chrono::{DateTime, Utc};

use super::{JobId, JobState};
use crate::{catalog::CatalogError, job::event::ReplayError};

/// Refused or failed requests of operators about jobs. `Display` says what; [`JobError::advice`] what next.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("job {0} does not exist")]
    NotFound(JobId),
    #[error("the request makes no sense: {0}")]
    Invalid(String),
    #[error("job {id} has ended already: it is {}", .state.as_str())]
    AlreadyEnded { id: JobId, state: JobState },
    #[error("job {0} is being undone already")]
    AlreadyUndoing(JobId),
    #[error("job {id} cannot be undone: it is {}", .state.as_str())]
    NotUndoable { id: JobId, state: JobState },
    #[error("job {id} could be undone until {until}; what it had kept is gone")]
    UndoTooLate { id: JobId, until: DateTime<Utc> },
    #[error("job {0} changed nothing, so there is nothing to undo")]
    NothingToUndo(JobId),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the events of job {id} make no sense")]
    Replay {
        id: JobId,
        #[source]
        source: ReplayError,
    },
}

impl JobError {
    /// What the operator can do next; empty when there is nothing to say.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::NotFound(_) => "`ctl job list` shows the jobs".to_owned(),
            Self::AlreadyEnded {
                id,
                state: JobState::Succeeded,
            } => format!("`ctl job undo {id}` takes back what it did, while its time lasts"),
            Self::AlreadyEnded { id, .. } => format!("`ctl job show {id}` tells how it ended"),
            Self::AlreadyUndoing(id) => format!("`ctl job watch {id}` follows it"),
            Self::NotUndoable { id, state } => match state {
                JobState::Waiting | JobState::Running => {
                    format!("`ctl job cancel {id}` ends it and undoes what it has done so far")
                }
                _ => format!("`ctl job show {id}` tells what became of it"),
            },
            Self::UndoTooLate { .. } => {
                "copy the database again, from a source that still has what you need; a longer \
                 `--keep` leaves more time"
                    .to_owned()
            }
            Self::Catalog(_) => {
                "look at the controller's log; the request can be repeated".to_owned()
            }
            Self::Replay { .. } => {
                "this is a defect of Holdfast or a catalog changed by hand: keep the catalog and \
                 report it"
                    .to_owned()
            }
            Self::Invalid(_) | Self::NothingToUndo(_) => String::new(),
        }
    }
}
