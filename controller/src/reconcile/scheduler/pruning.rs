//! Which repositories are to be pruned: once a day, where a backup's time is over or an earlier prune left
//! something. What is decided is pure.

use std::{collections::BTreeSet, fmt};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::names::HostName;

use super::Scheduler;
use crate::{
    catalog::{CatalogError, Pruning},
    retention::removal::GRACE,
};

/// Of one repository.
const EVERY: TimeDelta = TimeDelta::hours(24);

/// As the job names who asked for it.
const REQUESTED_BY: &str = "schedule";

/// Why a repository is pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The grace of a backup is over.
    BackupsGo,
    /// Backups are removed, and nobody knows whether their snapshots are.
    Unfinished,
    /// The grace of these packs is over.
    PacksGo { packs: u64 },
}

impl Scheduler {
    /// `going`: hosts with a backup whose time is over.
    pub(super) async fn prune(
        &self,
        going: &BTreeSet<HostName>,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        for pruning in self.catalog.prunings().await? {
            let host = &pruning.host;
            let Some(why) = due(&pruning, going.contains(host), now) else {
                continue;
            };
            // Claimed in the catalog: whoever else believes to lead comes too late.
            if !self.catalog.claim_prune(host, EVERY, now).await? {
                continue;
            }
            match self.start.prune(host, REQUESTED_BY).await {
                Ok(job) => tracing::info!(%host, %why, job, "pruning started by schedule"),
                Err(error) => tracing::warn!(%host, %error, "pruning could not be started"),
            }
        }
        Ok(())
    }
}

/// None: nothing is to be done, one runs, or there was one today. A moment of the future (a clock went back) is
/// none that counts.
fn due(pruning: &Pruning, backups_go: bool, now: DateTime<Utc>) -> Option<Why> {
    let started_today = |at: DateTime<Utc>| (now - at).abs() < EVERY;
    if pruning.running || pruning.started_at.is_some_and(started_today) {
        return None;
    }
    let grace_is_over = |at: DateTime<Utc>| (now - at).abs() > GRACE;
    if backups_go {
        Some(Why::BackupsGo)
    } else if pruning.unfinished {
        Some(Why::Unfinished)
    } else if pruning.marked_packs > 0 && pruning.pruned_at.is_none_or(grace_is_over) {
        Some(Why::PacksGo {
            packs: pruning.marked_packs,
        })
    } else {
        None
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackupsGo => f.write_str("the time of backups is over"),
            Self::Unfinished => f.write_str("snapshots of removed backups may be left"),
            Self::PacksGo { packs } => write!(f, "{packs} packs were marked a day ago"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::hours(hours)
    }

    fn idle() -> Pruning {
        Pruning {
            host: "web-1".parse().unwrap(),
            started_at: None,
            pruned_at: None,
            marked_packs: 0,
            unfinished: false,
            running: false,
        }
    }

    #[test]
    fn nothing_is_pruned_for_nothing_and_each_need_is_one() {
        assert_eq!(due(&idle(), false, at(0)), None);
        assert_eq!(due(&idle(), true, at(0)), Some(Why::BackupsGo));
        let unfinished = Pruning {
            unfinished: true,
            ..idle()
        };
        assert_eq!(due(&unfinished, false, at(0)), Some(Why::Unfinished));
    }

    #[test]
    fn marked_packs_wait_for_the_end_of_their_grace() {
        let marked = Pruning {
            pruned_at: Some(at(0)),
            marked_packs: 3,
            ..idle()
        };
        assert_eq!(due(&marked, false, at(24)), None);
        let over = Some(Why::PacksGo { packs: 3 });
        assert_eq!(due(&marked, false, at(25)), over);
        // The clock went back by a month.
        assert_eq!(due(&marked, false, at(-700)), over);
    }

    #[test]
    fn never_beside_another_and_never_twice_a_day() {
        let running = Pruning {
            running: true,
            ..idle()
        };
        assert_eq!(due(&running, true, at(0)), None);
        let started = Pruning {
            started_at: Some(at(0)),
            ..idle()
        };
        assert_eq!(due(&started, true, at(23)), None);
        assert_eq!(due(&started, true, at(24)), Some(Why::BackupsGo));
        assert_eq!(due(&started, true, at(-23)), None);
        assert_eq!(due(&started, true, at(-24)), Some(Why::BackupsGo));
    }
}
