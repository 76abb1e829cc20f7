//! Which backups a host is rebuilt from, and what has none. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use holdfast_proto::names::{DatabaseName, HostName, VolumeName};

use super::{ChosenDatabase, ChosenServer, ChosenVolume, RebuildHost, Without};
use crate::{
    catalog::{Backup, BackupKind, Catalog, CatalogError},
    detect::HostFacts,
    policy::{DEFAULT, Known, Plan, Policy, PolicySet, Subject, cover, subjects},
};

/// What a host has, as far as anybody knows: also one that is gone.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub source: &'a HostName,
    /// None: as the policies say.
    pub on: Option<&'a HostName>,
    pub set: &'a PolicySet,
    /// Of all hosts.
    pub known: &'a [Known],
    /// Of all hosts; those that are gone are not among them.
    pub backups: &'a [Backup],
    pub now: DateTime<Utc>,
}

/// As things stand now. `reported`: the host as it was reported last, when there is one.
///
/// # Errors
/// When the catalog fails.
pub async fn newest(
    catalog: &Catalog,
    source: &HostName,
    reported: Option<&HostFacts>,
    on: Option<&HostName>,
) -> Result<RebuildHost, CatalogError> {
    let applied = catalog.policies().await?;
    let known = catalog.known_databases().await?;
    let backups = catalog.backups(false).await?;
    let mut known = known;
    // What was reported a second ago is not written down yet.
    let noted: BTreeSet<_> = known
        .iter()
        .map(|one| one.subject.database.clone())
        .collect();
    let now = catalog.clock.now();
    let reported = reported.map(std::slice::from_ref).unwrap_or_default();
    let more = subjects(reported)
        .into_iter()
        .filter(|subject| !noted.contains(&subject.database));
    known.extend(more.map(|subject| Known {
        subject,
        since: now,
    }));
    Ok(choose(&Inputs {
        source,
        on,
        set: &applied.set,
        known: &known,
        backups: &backups,
        now,
    }))
}

/// The newest good backup of everything.
#[must_use]
pub fn choose(inputs: &Inputs<'_>) -> RebuildHost {
    let mut rebuild = RebuildHost {
        source: inputs.source.clone(),
        host: inputs.place(),
        servers: Vec::new(),
        volumes: Vec::new(),
        without: Vec::new(),
        left_out: Vec::new(),
    };
    let mut servers: BTreeMap<String, Vec<(DateTime<Utc>, ChosenDatabase)>> = BTreeMap::new();
    for (name, policy) in inputs.databases() {
        if is_left_out(policy) {
            rebuild.left_out.push(name);
            continue;
        }
        match inputs.newest(&name, BackupKind::Full) {
            Ok(backup) => {
                let chosen = ChosenDatabase {
                    database: name.clone(),
                    backup: backup.id,
                };
                let server = servers.entry(name.instance).or_default();
                server.push((backup.taken_at, chosen));
            }
            Err(why) => rebuild.without.push(Without {
                subject: name.to_string(),
                why,
            }),
        }
    }
    for (instance, mut databases) in servers {
        // The server is made from the image of the newest.
        databases.sort_by_key(|(taken_at, _)| std::cmp::Reverse(*taken_at));
        rebuild.servers.push(ChosenServer {
            instance,
            databases: databases.into_iter().map(|(_, chosen)| chosen).collect(),
        });
    }
    for (volume, policy) in inputs.volumes() {
        if is_left_out(policy) {
            rebuild.left_out.push(volume.into());
            continue;
        }
        match inputs.newest(&volume.clone().into(), BackupKind::Volume) {
            Ok(backup) => rebuild.volumes.push(ChosenVolume {
                volume,
                backup: backup.id,
            }),
            Err(why) => rebuild.without.push(Without {
                subject: volume.to_string(),
                why,
            }),
        }
    }
    rebuild
}

impl<'a> Inputs<'a> {
    /// What the host has, each with the policy that covers it.
    fn known(&self) -> impl Iterator<Item = (&'a Subject, Option<&'a Policy>)> {
        let subjects = self.known.iter().map(|known| &known.subject);
        let own = subjects.filter(|subject| subject.database.host == *self.source);
        own.map(|subject| (subject, cover(self.set, subject).policy))
    }

    /// By name. Of a host that nobody knows any more: those with backups.
    fn databases(&self) -> BTreeMap<DatabaseName, Option<&'a Policy>> {
        let known = self.known().filter(|(subject, _)| !subject.is_volume());
        let mut databases: BTreeMap<_, _> = known
            .map(|(subject, policy)| (subject.database.clone(), policy))
            .collect();
        if databases.is_empty() {
            let own = self.backups.iter();
            let own = own.filter(|one| one.database.host == *self.source);
            let full = own.filter(|one| one.kind == BackupKind::Full);
            databases.extend(full.map(|one| (one.database.clone(), None)));
        }
        databases
    }

    /// Those with a backup, and those that somebody has named and that hold no server's data: these come back with
    /// the databases.
    fn volumes(&self) -> BTreeMap<VolumeName, Option<&'a Policy>> {
        let backed_up = self.backups.iter();
        let backed_up = backed_up.filter(|one| one.kind == BackupKind::Volume);
        let mut volumes: BTreeMap<_, _> = backed_up
            .filter_map(|one| one.database.volume())
            .filter(|volume| volume.host == *self.source)
            .map(|volume| (volume, None))
            .collect();
        let named = self.known().filter(|(subject, _)| subject.holds.is_empty());
        volumes.extend(
            named.filter_map(|(subject, policy)| Some((subject.database.volume()?, policy))),
        );
        volumes
    }

    fn newest(&self, of: &DatabaseName, kind: BackupKind) -> Result<&'a Backup, String> {
        let own = self.backups.iter().filter(|one| one.database == *of);
        let of_kind: Vec<&Backup> = own.filter(|one| one.kind == kind).collect();
        let good = of_kind
            .iter()
            .filter(|one| one.state.is_good() && one.taken_at <= self.now);
        let Some(newest) = good.max_by_key(|one| (one.taken_at, one.id)) else {
            return Err(match of_kind.len() {
                0 => "there is no backup of it".to_owned(),
                _ => "there is no good backup of it".to_owned(),
            });
        };
        Ok(newest)
    }

    fn place(&self) -> HostName {
        let plans = || self.databases().into_values().flatten();
        let wished = || place(self.set, self.source, plans().filter_map(Policy::plan));
        self.on.cloned().unwrap_or_else(wished)
    }
}

/// Where a host is rebuilt: as the file says of it, else as the policies of its databases (in the order of their names)
/// say of their drills, the first that says so; else there itself.
pub fn place<'a>(
    set: &PolicySet,
    source: &HostName,
    plans: impl IntoIterator<Item = &'a Plan>,
) -> HostName {
    let rebuild = set.hosts.of(source).rebuild.as_ref();
    let said = rebuild.and_then(|rebuild| rebuild.on.clone());
    let wished = || {
        let mut drills = plans.into_iter().filter_map(|plan| plan.drill.as_ref());
        drills.find_map(|drill| drill.host.clone())
    };
    said.or_else(wished).unwrap_or_else(|| source.clone())
}

/// Somebody has decided so, and says why.
fn is_left_out(policy: Option<&Policy>) -> bool {
    policy.is_some_and(|policy| policy.plan().is_none() && policy.name != DEFAULT)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use holdfast_proto::fleet::Engine;

    use super::*;
    use crate::{catalog::BackupState, policy::file::read};

    fn now() -> DateTime<Utc> {
        "2026-11-20T06:00:00Z".parse().unwrap()
    }

    fn backup(id: u64, of: &str, kind: BackupKind, hours_ago: i64) -> Backup {
        let database = match kind {
            BackupKind::Volume => of.parse::<VolumeName>().unwrap().into(),
            _ => of.parse().unwrap(),
        };
        let taken_at = now() - TimeDelta::hours(hours_ago);
        Backup {
            id,
            database,
            engine: (kind != BackupKind::Volume).then_some(Engine::Postgres),
            kind,
            state: BackupState::Stored,
            pinned: false,
            taken_at,
            stored_at: taken_at,
            proven_at: None,
            logical_bytes: 1,
            stored_bytes: 1,
            snapshot_id: id.to_string(),
            job: None,
            marked_at: None,
            removed_at: None,
            deletion: None,
        }
    }

    fn known(name: &str) -> Known {
        Known {
            subject: Subject {
                database: name.parse().unwrap(),
                engine: Some(Engine::Postgres),
                project: String::new(),
                labels: BTreeMap::new(),
                holds: vec![],
            },
            since: now(),
        }
    }

    fn volume(name: &str, holds: &[&str]) -> Known {
        let mut known = known("web-1/db/any");
        known.subject.database = name.parse::<VolumeName>().unwrap().into();
        known.subject.engine = None;
        known.subject.holds = holds.iter().map(|&name| name.to_owned()).collect();
        known
    }

    fn chosen(known: &[Known], backups: &[Backup], file: &str) -> RebuildHost {
        choose(&Inputs {
            source: &"web-1".parse().unwrap(),
            on: None,
            set: &read(file).unwrap(),
            known,
            backups,
            now: now(),
        })
    }

    fn of_first(rebuild: &RebuildHost) -> Vec<(String, u64)> {
        let databases = rebuild.servers.iter().flat_map(|server| &server.databases);
        databases
            .map(|one| (one.database.to_string(), one.backup))
            .collect()
    }

    #[test]
    fn the_newest_good_full_backup_of_each_database_is_chosen_and_nothing_else() {
        let shop = "web-1/db/shop";
        let mut damaged = backup(4, shop, BackupKind::Full, 1);
        damaged.state = BackupState::Damaged;
        let all = [
            backup(1, shop, BackupKind::Full, 9),
            backup(2, shop, BackupKind::Full, 5),
            backup(3, shop, BackupKind::BeforeReplace, 1),
            damaged,
            backup(5, shop, BackupKind::Full, -2),
            backup(6, shop, BackupKind::SchemaOnly, 1),
            backup(7, "web-1/db/crm", BackupKind::Full, 3),
            backup(8, "web-2/db/shop", BackupKind::Full, 1),
        ];
        let rebuild = chosen(&[known(shop), known("web-1/db/crm")], &all, "");
        let expected = [("web-1/db/crm".to_owned(), 7), (shop.to_owned(), 2)];
        assert_eq!(of_first(&rebuild), expected, "the newest first");
        assert_eq!(rebuild.servers.len(), 1);
        assert_eq!(
            (rebuild.without, rebuild.host),
            (vec![], "web-1".parse().unwrap())
        );
    }

    #[test]
    fn what_has_no_good_backup_is_named_unless_a_policy_leaves_it_out() {
        let file = "policies: [{name: scratch, select: {name: tmp}, protect: false, reason: none}]\n\
                    default: {drill: {schedule: monthly, host: lab-1}}";
        let all = [known("web-1/db/shop"), known("web-1/db/tmp")];
        let rebuild = chosen(&all, &[], file);
        assert_eq!(rebuild.without.len(), 1);
        assert_eq!(rebuild.without[0].subject, "web-1/db/shop");
        assert_eq!(rebuild.left_out, ["web-1/db/tmp".parse().unwrap()]);
        assert_eq!(rebuild.host, "lab-1".parse().unwrap());
    }

    #[test]
    fn volumes_come_back_unless_they_are_a_server_s_own_or_a_policy_leaves_them_out() {
        let known = [
            volume("web-1/uploads", &[]),
            volume("web-1/cache", &[]),
            volume("web-1/scratch", &[]),
            volume("web-1/db-data", &["db"]),
        ];
        let all = [
            backup(1, "web-1/uploads", BackupKind::Volume, 4),
            backup(2, "web-1/gone_by_now", BackupKind::Volume, 4),
        ];
        let file =
            "policies: [{name: tmp, select: {volume: scratch}, protect: false, reason: none}]";
        let rebuild = chosen(&known, &all, file);
        let back = rebuild.volumes.iter();
        let back: Vec<_> = back.map(|one| one.volume.volume.as_str()).collect();
        assert_eq!(back, ["gone_by_now", "uploads"]);
        let missing = rebuild.without.iter();
        let missing: Vec<_> = missing.map(|one| one.subject.as_str()).collect();
        assert_eq!(missing, ["web-1/cache"]);
        assert_eq!(rebuild.left_out.len(), 1, "{rebuild:?}");
    }

    #[test]
    fn a_host_that_nobody_knows_any_more_comes_back_from_what_it_left() {
        let all = [backup(1, "web-1/db/shop", BackupKind::Full, 4)];
        assert_eq!(of_first(&chosen(&[], &all, "")).len(), 1);
    }
}
