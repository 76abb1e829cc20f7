//! What a host may do with which repository: a pure judgement, and the question behind it.

use async_trait::async_trait;
use holdfast_proto::names::HostName;
use holdfast_repository::{Kind, Name};
use tonic::Status;

use crate::{
    catalog::{Catalog, CatalogError},
    job::JobId,
};

/// Knows which job lets a host read another's repository.
#[async_trait]
pub trait Readers: Send + Sync + std::fmt::Debug {
    /// # Errors
    /// When the catalog fails.
    async fn may_read(
        &self,
        host: &HostName,
        repository: &HostName,
        job: JobId,
    ) -> Result<bool, CatalogError>;
}

/// Whose repository a host asks for, and for which job; 0: none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub repository: HostName,
    pub job: JobId,
}

/// Why a host is not let to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotYours {
    #[error("{host} asked for the repository of {repository} without a job that lets it")]
    NoJob {
        host: HostName,
        repository: HostName,
    },
    #[error(
        "{host} asked for the repository of {repository} for job {job}, which does not let it, or is over"
    )]
    NotThisJob {
        host: HostName,
        repository: HostName,
        job: JobId,
    },
    #[error("{host} asked for {kind} of a repository: only the controller has to do with them")]
    ControllersOwn { host: HostName, kind: Kind },
    #[error("{host} would overwrite {name} of its repository: what is there stays as it is")]
    Overwrite { host: HostName, name: Name },
    #[error("{host} wrote {name} with a content that has another SHA-256: nothing was stored")]
    Forged { host: HostName, name: Name },
}

/// # Errors
/// Why the host may not read it. `let_in` is what [`Readers`] says of a job.
pub fn judge_read(host: &HostName, asked: &Asked, let_in: bool) -> Result<(), NotYours> {
    let Asked { repository, job } = asked.clone();
    if repository == *host || let_in {
        return Ok(());
    }
    let host = host.clone();
    Err(match job {
        0 => NotYours::NoJob { host, repository },
        job => NotYours::NotThisJob {
            host,
            repository,
            job,
        },
    })
}

/// What the controller made and keeps for itself: a host opens its repository with the key it is given.
///
/// # Errors
/// When it is that.
pub fn judge_kind(host: &HostName, kind: Kind, write: bool) -> Result<(), NotYours> {
    match kind {
        Kind::Snapshot | Kind::Index | Kind::Pack => Ok(()),
        Kind::Config if !write => Ok(()),
        Kind::Config | Kind::Key => Err(NotYours::ControllersOwn {
            host: host.clone(),
            kind,
        }),
    }
}

#[async_trait]
impl Readers for Catalog {
    async fn may_read(
        &self,
        host: &HostName,
        repository: &HostName,
        job: JobId,
    ) -> Result<bool, CatalogError> {
        Self::may_read(self, job, host, repository).await
    }
}

impl From<NotYours> for Status {
    fn from(wrong: NotYours) -> Self {
        let text = wrong.to_string();
        match wrong {
            NotYours::Overwrite { .. } => Self::already_exists(text),
            NotYours::Forged { .. } => Self::invalid_argument(text),
            NotYours::NoJob { .. }
            | NotYours::NotThisJob { .. }
            | NotYours::ControllersOwn { .. } => Self::permission_denied(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    fn asked(repository: &str, job: JobId) -> Asked {
        Asked {
            repository: host(repository),
            job,
        }
    }

    #[test]
    fn ones_own_is_read_and_anothers_only_with_its_job() {
        let one = host("web-1");
        assert_eq!(judge_read(&one, &asked("web-1", 0), false), Ok(()));
        assert_eq!(judge_read(&one, &asked("web-2", 7), true), Ok(()));
        let none = judge_read(&one, &asked("web-2", 0), false).unwrap_err();
        assert!(matches!(none, NotYours::NoJob { .. }));
        let over = judge_read(&one, &asked("web-2", 7), false).unwrap_err();
        assert!(matches!(over, NotYours::NotThisJob { job: 7, .. }));
    }

    #[test]
    fn settings_and_passwords_are_the_controllers() {
        let one = host("web-1");
        for (kind, read, write) in [
            (Kind::Config, true, false),
            (Kind::Key, false, false),
            (Kind::Snapshot, true, true),
            (Kind::Index, true, true),
            (Kind::Pack, true, true),
        ] {
            assert_eq!(judge_kind(&one, kind, false).is_ok(), read, "{kind}");
            assert_eq!(judge_kind(&one, kind, true).is_ok(), write, "{kind}");
        }
    }
}
