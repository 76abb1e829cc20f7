//! Repositories: list, check, measure, prune, export the key.

use holdfast_proto::{WireError, names::HostName, wire};

use super::{CallError, Client, each, read::time, within};
use crate::view::{
    prune::{FreedSpace, Pruned},
    repository::{Repository, RepositoryCheck, RepositorySeries, RepositoryStats, ratio},
    retention::RetentionLine,
};

/// What opens every repository. `Debug` shows nothing.
pub struct RecoveryKey {
    pub password: String,
    pub repositories: Vec<Repository>,
}

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    pub async fn repositories(&mut self) -> Result<Vec<Repository>, CallError> {
        let request = wire::ListRepositoriesRequest {};
        let answer = within(self.within, self.inner.list_repositories(request)).await?;
        each(answer.repositories, Repository::try_from)
    }

    pub async fn check_repository(
        &mut self,
        host: &HostName,
        read_data_percent: f64,
    ) -> Result<RepositoryCheck, CallError> {
        let request = wire::CheckRepositoryRequest {
            host: host.to_string(),
            read_data_percent,
        };
        let answer = within(self.within, self.inner.check_repository(request)).await?;
        let wire::CheckRepositoryResponse { errors, warnings } = answer;
        Ok(RepositoryCheck {
            host: host.to_string(),
            sound: errors.is_empty(),
            errors,
            warnings,
        })
    }

    pub async fn repository_stats(
        &mut self,
        host: &HostName,
    ) -> Result<RepositoryStats, CallError> {
        let request = wire::GetRepositoryStatsRequest {
            host: host.to_string(),
        };
        let answer = within(self.within, self.inner.get_repository_stats(request)).await?;
        let wire::GetRepositoryStatsResponse {
            location,
            stored_bytes,
            objects,
            series,
        } = answer;
        let series: Vec<_> = series.into_iter().map(RepositorySeries::from).collect();
        let logical_bytes = series.iter().map(|series| series.logical_bytes).sum();
        Ok(RepositoryStats {
            host: host.to_string(),
            location,
            stored_bytes,
            logical_bytes,
            ratio: ratio(logical_bytes, stored_bytes),
            objects,
            series,
        })
    }

    /// The number of the job (none: a dry run), and what is due now.
    pub async fn prune_repository(
        &mut self,
        host: &HostName,
        dry_run: bool,
    ) -> Result<(Option<u64>, Vec<RetentionLine>), CallError> {
        let request = wire::PruneRepositoryRequest {
            host: host.to_string(),
            dry_run,
        };
        let answer = within(self.within, self.inner.prune_repository(request)).await?;
        let wire::PruneRepositoryResponse { job, lines } = answer;
        let job = Some(job).filter(|job| *job != 0);
        Ok((job, each(lines, RetentionLine::try_from)?))
    }

    pub async fn export_repository_key(&mut self) -> Result<RecoveryKey, CallError> {
        let request = wire::ExportRepositoryKeyRequest {};
        let answer = within(self.within, self.inner.export_repository_key(request)).await?;
        Ok(RecoveryKey {
            password: answer.recovery_password,
            repositories: each(answer.repositories, Repository::try_from)?,
        })
    }
}

impl TryFrom<wire::Repository> for Repository {
    type Error = WireError;

    fn try_from(repository: wire::Repository) -> Result<Self, WireError> {
        let wire::Repository {
            host,
            location,
            created_at,
            ready,
        } = repository;
        Ok(Self {
            host,
            location,
            created_at: time("Repository", "created_at", created_at)?,
            ready,
        })
    }
}

impl From<wire::RepositorySeries> for RepositorySeries {
    fn from(series: wire::RepositorySeries) -> Self {
        let wire::RepositorySeries {
            label,
            snapshots,
            logical_bytes,
            added_bytes,
        } = series;
        Self {
            label,
            snapshots,
            logical_bytes,
            added_bytes,
            ratio: ratio(logical_bytes, added_bytes),
        }
    }
}

impl From<wire::PruneReport> for Pruned {
    fn from(report: wire::PruneReport) -> Self {
        let wire::PruneReport {
            backups,
            unknown_snapshots,
            freed,
            missing_backups,
        } = report;
        Self {
            backups,
            unknown_snapshots,
            missing_backups,
            freed: freed.map(FreedSpace::from),
        }
    }
}

impl From<wire::FreedSpace> for FreedSpace {
    fn from(freed: wire::FreedSpace) -> Self {
        let wire::FreedSpace {
            marked_packs,
            waiting_packs,
            removed_packs,
            recovered_packs,
            bytes_before,
            bytes_after,
        } = freed;
        Self {
            marked_packs,
            waiting_packs,
            removed_packs,
            recovered_packs,
            bytes_before,
            bytes_after,
        }
    }
}
