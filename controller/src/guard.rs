//! What guards are told: which data have a fresh proven backup, and what operators have let pass.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_proto::{
    guard::{Allowance, CountedDatabase, Protection},
    names::{DatabaseName, HostName, VolumeName},
};

use crate::{
    catalog::{Allowed, Catalog, CatalogError},
    data_store,
    policy::{Known, Plan, PolicySet, cover},
};

type Time = DateTime<Utc>;

/// A backup is fresh for so long, or for as long as its policy's target for losses is, when that is shorter.
const FRESH_FOR: Duration = Duration::from_hours(24);
/// Databases that a server has of itself count when somebody cares for them, or they are larger than an empty one.
const OF_THE_SERVER: [&str; 3] = ["postgres", "mysql", "sys"];
const EMPTY_BYTES: u64 = 16 << 20;

/// What the catalog knows, at one moment.
#[derive(Debug, Clone)]
pub struct Gathered {
    pub stores: Vec<data_store::Known>,
    /// By id of the store: since when its data have been there.
    pub since: BTreeMap<u64, Time>,
    /// When the newest proven backup of each was made.
    pub proven: BTreeMap<DatabaseName, Time>,
    pub policies: PolicySet,
    /// Databases and volumes that are there.
    pub subjects: BTreeMap<DatabaseName, Known>,
    /// Those that are not over.
    pub allowed: Vec<Allowed>,
}

/// Reads everything once.
///
/// # Errors
/// When the catalog fails.
pub async fn gather(catalog: &Catalog) -> Result<Gathered, CatalogError> {
    let subjects = catalog.known_databases().await?.into_iter();
    let subjects = subjects.map(|known| (known.subject.database.clone(), known));
    Ok(Gathered {
        stores: catalog.data_stores().await?,
        since: catalog.data_since().await?,
        proven: catalog.newest_proven_backups().await?,
        policies: catalog.policies().await?.set,
        subjects: subjects.collect(),
        allowed: catalog.allowances().await?,
    })
}

/// For the guard of each host, by place. What is not named here is not known to be backed up, and stays.
#[must_use]
pub fn protections(gathered: &Gathered, now: Time) -> BTreeMap<HostName, Vec<Protection>> {
    let mut places: BTreeMap<(&HostName, String), Place> = BTreeMap::new();
    for store in &gathered.stores {
        if let Some(swapped) = &store.swapped {
            // Nobody knows which of the two a backup of a database is of.
            for of in [&store.accepted, &swapped.store] {
                if let Some(place) = of.place() {
                    places
                        .entry((&store.host, place))
                        .or_default()
                        .came(swapped.at);
                }
            }
            continue;
        }
        let Some(place) = store.accepted.place() else {
            continue;
        };
        let since = gathered.since.get(&store.id).copied().unwrap_or(now);
        let place = places.entry((&store.host, place)).or_default();
        place.came(since);
        // Those that people made come first.
        let mut databases: Vec<_> = store.contents.databases.iter().collect();
        databases.sort_by_key(|(name, _)| is_of_the_server(name));
        for (name, bytes) in databases {
            let database = DatabaseName {
                host: store.host.clone(),
                instance: store.instance.clone(),
                database: name.clone(),
            };
            if gathered.counts(&database, *bytes, store) {
                place
                    .databases
                    .push(gathered.database(database, store, since, now));
            }
        }
    }
    for name in gathered.proven.keys() {
        if let Some(volume) = name.volume() {
            places.entry((&name.host, volume.volume)).or_default();
        }
    }
    for allowed in &gathered.allowed {
        let place = places.entry((&allowed.host, allowed.place.clone()));
        place.or_default().allowance = Some(allowed.allowance.clone());
    }
    let mut all: BTreeMap<HostName, Vec<Protection>> = BTreeMap::new();
    for ((host, name), place) in places {
        let whole = gathered.volume(host, &name, place.since, now);
        let protection = place.protection(name, whole);
        all.entry(host.clone()).or_default().push(protection);
    }
    all
}

#[derive(Debug, Default)]
struct Place {
    /// As far as services are known that have data there.
    since: Option<Time>,
    databases: Vec<Database>,
    allowance: Option<Allowance>,
}

#[derive(Debug)]
struct Database {
    counted: CountedDatabase,
    backup: Option<Fresh>,
}

/// A proven backup, and until when it is fresh.
#[derive(Debug, Clone, Copy)]
struct Fresh {
    taken_at: Time,
    until: Time,
}

impl Place {
    /// Data of a service are there since then.
    fn came(&mut self, since: Time) {
        self.since = self.since.max(Some(since));
    }

    /// `whole`: of the volume with everything in it.
    fn protection(self, place: String, whole: Option<Fresh>) -> Protection {
        let each: Option<Vec<Fresh>> = self.databases.iter().map(|one| one.backup).collect();
        let each = each.filter(|each| !each.is_empty()).unwrap_or_default();
        let of_databases = each.iter().copied().reduce(|a, b| Fresh {
            taken_at: a.taken_at.min(b.taken_at),
            until: a.until.min(b.until),
        });
        let best = of_databases
            .into_iter()
            .chain(whole)
            .max_by_key(|one| one.until);
        Protection {
            place,
            databases: self.databases.into_iter().map(|one| one.counted).collect(),
            proven_at: best.map(|best| best.taken_at),
            fresh_until: best.map(|best| best.until),
            allowance: self.allowance,
        }
    }
}

impl Gathered {
    /// Whether its loss would be one.
    fn counts(&self, database: &DatabaseName, bytes: u64, store: &data_store::Known) -> bool {
        !is_of_the_server(&database.database)
            || bytes > EMPTY_BYTES
            || self.plan(database).is_some()
            || self.newest(database, None).is_some()
            || users(&database.database, store).is_some()
    }

    fn database(
        &self,
        name: DatabaseName,
        store: &data_store::Known,
        since: Time,
        now: Time,
    ) -> Database {
        let backup = self.fresh(&name, Some(since), now);
        Database {
            counted: CountedDatabase {
                users: users(&name.database, store),
                name: name.database,
                proven_at: backup.map(|backup| backup.taken_at),
                fresh_until: backup.map(|backup| backup.until),
            },
            backup,
        }
    }

    fn volume(&self, host: &HostName, name: &str, since: Option<Time>, now: Time) -> Option<Fresh> {
        let volume = VolumeName {
            host: host.clone(),
            volume: name.to_owned(),
        };
        let series = volume.into();
        // A volume that comes back under its name is seen for the first time again.
        let seen = self.subjects.get(&series).map(|known| known.since);
        // Nobody knows since when its data are there: no backup is known to be one of them.
        let since = since.max(seen)?;
        self.fresh(&series, Some(since), now)
    }

    fn fresh(&self, of: &DatabaseName, since: Option<Time>, now: Time) -> Option<Fresh> {
        // What is dated in the future is of no known age.
        let taken_at = self.newest(of, since).filter(|taken_at| *taken_at <= now)?;
        let target = self.plan(of).and_then(|plan| plan.targets.rpo);
        let fresh_for = target.map_or(FRESH_FOR, |target| target.min(FRESH_FOR));
        Some(Fresh {
            taken_at,
            until: taken_at + fresh_for,
        })
    }

    fn newest(&self, of: &DatabaseName, since: Option<Time>) -> Option<Time> {
        let newest = self.proven.get(of).copied();
        newest.filter(|newest| since.is_none_or(|since| *newest >= since))
    }

    fn plan(&self, of: &DatabaseName) -> Option<&Plan> {
        let known = self.subjects.get(of)?;
        cover(&self.policies, &known.subject).policy?.plan()
    }
}

fn is_of_the_server(name: &str) -> bool {
    OF_THE_SERVER.contains(&name)
}

/// What the check named "users" counted last, else any other one.
fn users(database: &str, store: &data_store::Known) -> Option<u64> {
    let own = |check: &str| store.contents.counts.get(&format!("{database} {check}"));
    let begins = format!("{database} ");
    let mut all = store.contents.counts.iter();
    let any = || {
        all.find(|(name, _)| name.starts_with(&begins))
            .map(|(_, count)| count)
    };
    own("users")
        .or_else(any)
        .and_then(|count| u64::try_from(*count).ok())
}
