//! Removing backups, and the space that they took, in two phases: what nobody needs is marked first,
//! and removed a day later at the earliest.

use std::time::Duration;

use rustic_core::{LimitOption, PruneOptions, jiff::Span};

use crate::{
    blobs::Kind, bridge::engine_id, error::RepositoryError, repository::Repository,
    snapshot::SnapshotId,
};

/// How long marked data stays. Never less than a day: what a backup that overlaps with a prune has
/// come to rely on comes back at the next prune, as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace(Duration);

/// What a prune did. Bytes and packs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Packs that were marked in this run, and will be removed when their grace is over.
    pub marked_packs: u64,
    /// Packs that were marked before, and whose grace is not over.
    pub waiting_packs: u64,
    /// Packs that had been marked long enough, and are gone.
    pub removed_packs: u64,
    /// Packs that had been marked and are needed again.
    pub recovered_packs: u64,
    pub stored_bytes_before: u64,
    pub stored_bytes_after: u64,
}

impl Grace {
    pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// At least so long; less than a day counts as a day.
    #[must_use]
    pub fn at_least(time: Duration) -> Self {
        Self(time.max(Self::DAY))
    }

    /// For tests and simulations, where nothing else writes: the engine's clock cannot be moved.
    #[doc(hidden)]
    #[must_use]
    pub fn none_because_nothing_else_writes() -> Self {
        Self(Duration::ZERO)
    }

    fn span(self) -> Span {
        Span::new().seconds(i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX / 2))
    }
}

impl Repository {
    /// Forgets snapshots. One that is gone already is a success. Their data stay until a prune.
    ///
    /// # Errors
    /// The storage failed, or refuses to remove (an agent's does).
    pub async fn forget(&self, snapshots: &[SnapshotId]) -> Result<(), RepositoryError> {
        let there = self.list(Kind::Snapshot).await?;
        let gone: Vec<_> = snapshots
            .iter()
            .filter(|id| there.iter().any(|listed| listed.id == id.object()))
            .copied()
            .collect();
        self.work("forget snapshots", move |_, opened| {
            let mut ids = Vec::new();
            for id in gone {
                ids.push(engine_id(id.object())?.into());
            }
            opened.delete_snapshots(&ids)?;
            Ok(())
        })
        .await
    }

    /// Marks what no snapshot needs, and removes what was marked long enough ago.
    ///
    /// `running` are the backups that are being written to this repository, by name. The caller must
    /// see to it that none begins until this returns.
    ///
    /// # Errors
    /// `BackupRunning` when there is one; the storage failed. Run it again: it goes on where it was.
    pub async fn prune(&self, running: &[String], grace: Grace) -> Result<Pruned, RepositoryError> {
        if !running.is_empty() {
            return Err(RepositoryError::BackupRunning {
                running: running.to_vec(),
                location: self.location(),
            });
        }
        let stored_bytes_before = self.stored_bytes().await?;
        let mut pruned = self
            .work("prune", move |_, opened| {
                let mut options = PruneOptions::default();
                options.keep_delete = grace.span();
                options.keep_pack = grace.span();
                options.instant_delete = false;
                // A part of the repository would be less than one pack of a small one: nothing would
                // ever be freed there.
                options.max_repack = LimitOption::Unlimited;
                let plan = opened.prune_plan(&options)?;
                let pruned = Pruned {
                    marked_packs: plan.stats.packs.unused + plan.stats.packs.repack,
                    waiting_packs: plan.stats.packs_to_delete.keep,
                    removed_packs: plan.stats.packs_to_delete.remove,
                    recovered_packs: plan.stats.packs_to_delete.recover,
                    ..Pruned::default()
                };
                opened.prune(&options, plan)?;
                Ok(pruned)
            })
            .await?;
        pruned.stored_bytes_before = stored_bytes_before;
        pruned.stored_bytes_after = self.stored_bytes().await?;
        Ok(pruned)
    }

    async fn stored_bytes(&self) -> Result<u64, RepositoryError> {
        let mut bytes = 0;
        for kind in Kind::ALL {
            bytes += self.list(kind).await?.iter().map(|l| l.size).sum::<u64>();
        }
        Ok(bytes)
    }
}
