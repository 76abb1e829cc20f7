//! Who may touch what at the same time: pure. A job gets all of its locks at once or none.

use std::fmt;

use chrono::{DateTime, Utc};
use holdfast_proto::names::{DatabaseName, HostName, InstanceName};

use super::JobId;
use crate::catalog::BackupId;

/// Something that jobs must not disturb each other on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    Instance(InstanceName),
    Database(DatabaseName),
    Volume {
        host: HostName,
        volume: String,
    },
    /// A host's: backups share it, what removes from it has it alone.
    Repository(HostName),
    /// One image of a repository: what reads it shares it, so that retention keeps it.
    Backup(BackupId),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(name) => write!(f, "instance:{name}"),
            Self::Database(name) => write!(f, "database:{name}"),
            Self::Backup(id) => write!(f, "backup:{id}"),
            Self::Repository(host) => write!(f, "repository:{host}"),
            Self::Volume { host, volume } => write!(f, "volume:{host}/{volume}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceWish {
    pub resource: Resource,
    /// False: others may read it meanwhile, nobody may change it.
    pub exclusive: bool,
}

impl ResourceWish {
    #[must_use]
    pub fn shared(resource: Resource) -> Self {
        Self {
            resource,
            exclusive: false,
        }
    }

    #[must_use]
    pub fn exclusive(resource: Resource) -> Self {
        Self {
            resource,
            exclusive: true,
        }
    }
}

/// A row of the lock table: wanted, or held when granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockRow {
    pub job: JobId,
    /// As [`Resource`] displays it.
    pub resource: String,
    pub exclusive: bool,
    pub wanted_at: DateTime<Utc>,
    pub granted: bool,
}

/// Why the job must wait, or none when it may have all of its locks now.
///
/// A lock that an earlier job waits for counts as held: whoever came first is not overtaken for
/// ever by shared locks that keep coming.
#[must_use]
pub fn obstacle(job: JobId, rows: &[LockRow]) -> Option<String> {
    let mine = || rows.iter().filter(|row| row.job == job && !row.granted);
    let since = mine().map(|row| row.wanted_at).min()?;
    let earlier = |row: &&LockRow| row.granted || (row.wanted_at, row.job) < (since, job);
    let mut blocking: Vec<_> = rows
        .iter()
        .filter(|row| row.job != job)
        .filter(earlier)
        .filter_map(|other| {
            let wanted = mine().find(|row| row.resource == other.resource)?;
            (wanted.exclusive || other.exclusive).then_some(other)
        })
        .collect();
    // Who holds something says more than who waits for it too.
    blocking.sort_by_key(|row| (!row.granted, row.job, row.resource.clone()));
    let first = blocking.first()?;
    let verb = if first.granted { "uses" } else { "waits for" };
    Some(format!("job {} {verb} {}", first.job, first.resource))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(job: JobId, resource: &str, exclusive: bool, granted: bool) -> LockRow {
        LockRow {
            job,
            resource: resource.to_owned(),
            exclusive,
            wanted_at: DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(job.cast_signed()),
            granted,
        }
    }

    #[test]
    fn readers_share_and_a_writer_waits() {
        let rows = [
            row(1, "database:a", false, true),
            row(2, "database:a", false, false),
        ];
        assert_eq!(obstacle(2, &rows), None);
        let rows = [
            row(1, "database:a", false, true),
            row(2, "database:a", true, false),
        ];
        assert_eq!(obstacle(2, &rows), Some("job 1 uses database:a".to_owned()));
    }

    #[test]
    fn nobody_overtakes_a_waiting_writer() {
        let rows = [
            row(1, "database:a", false, true),
            row(2, "database:a", true, false),
            row(3, "database:a", false, false),
        ];
        assert_eq!(
            obstacle(3, &rows),
            Some("job 2 waits for database:a".to_owned())
        );
    }

    proptest! {
        // Granting in any order, as long as `obstacle` allows it: no two holders ever conflict,
        // and as long as somebody waits, somebody can be granted or somebody holds (no deadlock).
        #[test]
        fn holders_never_conflict_and_somebody_always_moves(
            wishes in proptest::collection::vec((1u64..8, 0u8..3, any::<bool>()), 1..20),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 1..40),
        ) {
            let mut rows: Vec<LockRow> = Vec::new();
            for (job, resource, exclusive) in wishes {
                let resource = format!("database:{resource}");
                if !rows.iter().any(|row| row.job == job && row.resource == resource) {
                    rows.push(row(job, &resource, exclusive, false));
                }
            }
            for pick in order {
                let waiting: Vec<JobId> = rows.iter().filter(|row| !row.granted).map(|row| row.job).collect();
                if waiting.is_empty() {
                    break;
                }
                let job = *pick.get(&waiting);
                if obstacle(job, &rows).is_none() {
                    rows.iter_mut().filter(|row| row.job == job).for_each(|row| row.granted = true);
                } else if rows.iter().all(|row| !row.granted) {
                    prop_assert!(waiting.iter().any(|job| obstacle(*job, &rows).is_none()));
                } else {
                    let holder = rows.iter().find(|row| row.granted).map(|row| row.job);
                    rows.retain(|row| Some(row.job) != holder);
                }
                for a in rows.iter().filter(|row| row.granted) {
                    for b in rows.iter().filter(|row| row.granted && row.job != a.job) {
                        prop_assert!(a.resource != b.resource || !(a.exclusive || b.exclusive));
                    }
                }
            }
        }
    }
}
