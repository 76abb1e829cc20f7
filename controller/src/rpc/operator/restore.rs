//! Restore a backup into a database or a volume: a job is made of the request.

mod volume;

use std::{sync::Arc, time::Duration};

use holdfast_chassis::telemetry;
use holdfast_proto::{
    names::{DatabaseName, VolumeName},
    wire::{RestoreDatabaseRequest, RestoreDatabaseResponse},
};

use super::{
    RpcError, Services,
    caller::{Caller, Change},
};
use crate::{
    backup_name::{self, BackupName},
    catalog::{Backup, BackupId},
    job::{
        JobSpec, RestoreDatabase,
        drill_backup::plan,
        landing::{LONGEST_NAME, dependents::Dependents},
    },
    rpc::convert::{positive, time},
};

/// As it was asked for; which backup is meant is the catalog's to say.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    backup: BackupName,
    /// None: where the backup was taken.
    target: Option<DatabaseName>,
    replace: bool,
    keep: Duration,
    dry_run: bool,
    jobs: u32,
    tables: Vec<String>,
    volume: Option<VolumeName>,
    stop: bool,
    no_safety_backup: bool,
    no_hooks: bool,
}

pub async fn submit(
    services: Arc<Services>,
    caller: Caller,
    request: RestoreDatabaseRequest,
) -> Result<RestoreDatabaseResponse, RpcError> {
    let wanted = read(request, services.jobs.settings().keep)?;
    let change = Change {
        action: "job.restore",
        subject: wanted.subject(),
        detail: wanted.detail(),
    };
    let work = start(&services, &caller, wanted);
    let (job, backup, target) = caller.change(&services, change, work).await?;
    Ok(RestoreDatabaseResponse {
        job,
        backup: backup.id,
        source: Some(backup.database.into()),
        target: Some(target.into()),
        taken_at: time(backup.taken_at),
    })
}

/// A mistyped host or instance is told at once, with the nearest one.
async fn start(
    services: &Services,
    caller: &Caller,
    wanted: Wanted,
) -> Result<(u64, Backup, DatabaseName), RpcError> {
    let backup = backup_name::find(&services.catalog, &wanted.backup).await?;
    if let Some(source) = backup.database.volume() {
        let restore = volume::restore(services, wanted, &backup, source)?;
        let target = restore.target.clone().into();
        let (by, traceparent) = (caller.actor(), telemetry::current_traceparent());
        let spec = JobSpec::RestoreVolume(restore);
        let job = services.jobs.submit(spec, &by, &traceparent).await?;
        return Ok((job, backup, target));
    }
    if wanted.volume.is_some() || wanted.stop {
        let message = format!("backup {} is one of a database, not of a volume", backup.id);
        return Err(RpcError::invalid(message));
    }
    let with_hooks = wanted.replace && !wanted.no_hooks;
    let mut restore = wanted.of(&backup);
    let target = restore.target.clone();
    services
        .fleet
        .host(&target.host)?
        .instance(&target.instance)?;
    if with_hooks {
        restore.dependents = dependents(services, &target).await?;
    }
    let (by, traceparent) = (caller.actor(), telemetry::current_traceparent());
    let spec = JobSpec::RestoreDatabase(restore);
    let job = services.jobs.submit(spec, &by, &traceparent).await?;
    Ok((job, backup, target))
}

/// What the target's policy stops while something takes its place.
pub(super) async fn dependents(
    services: &Services,
    target: &DatabaseName,
) -> Result<Dependents, RpcError> {
    let host = services.fleet.host(&target.host)?;
    let instance = host.instance(&target.instance)?;
    let plan = plan::of(&services.catalog, target).await?;
    Ok(plan.map_or_else(Dependents::default, |plan| {
        Dependents::among(
            &plan.hooks,
            target.host.as_str(),
            &instance.container,
            host.report.containers.values(),
        )
    }))
}

fn read(request: RestoreDatabaseRequest, default_keep: Duration) -> Result<Wanted, RpcError> {
    let RestoreDatabaseRequest {
        backup,
        target,
        replace,
        keep,
        dry_run,
        jobs,
        tables,
        target_volume,
        stop,
        no_safety_backup,
        no_hooks,
    } = request;
    Ok(Wanted {
        backup: backup.parse()?,
        target: target.map(DatabaseName::try_from).transpose()?,
        replace,
        keep: keep.map_or(Ok(default_keep), |keep| positive(keep, "keep"))?,
        dry_run,
        jobs,
        tables,
        volume: target_volume.map(VolumeName::try_from).transpose()?,
        stop,
        no_safety_backup,
        no_hooks,
    })
}

impl Wanted {
    fn of(self, backup: &Backup) -> RestoreDatabase {
        let mut place = backup.database.clone();
        if !self.tables.is_empty() {
            place.database = beside(&place.database, backup.id);
        }
        RestoreDatabase {
            backup: backup.id,
            source: backup.database.clone(),
            target: self.target.unwrap_or(place),
            replace: self.replace,
            keep: self.keep,
            dry_run: self.dry_run,
            jobs: self.jobs,
            tables: self.tables,
            no_safety_backup: self.no_safety_backup,
            dependents: Dependents::default(),
        }
    }

    /// The database that changes, as far as the request names it.
    fn subject(&self) -> String {
        if let Some(volume) = &self.volume {
            return volume.to_string();
        }
        match (&self.target, &self.backup) {
            (Some(target), _) => target.to_string(),
            (None, BackupName::Of(database, _)) => database.to_string(),
            (None, BackupName::Id(id)) => format!("the database of backup {id}"),
        }
    }

    fn detail(&self) -> String {
        let flags = [
            (self.replace, ", replacing"),
            (self.no_safety_backup, ", without a safety backup"),
            (self.no_hooks, ", without hooks"),
            (self.dry_run, ", dry run"),
        ];
        let said = flags.into_iter().filter(|(set, _)| *set);
        let said: String = said.map(|(_, text)| text).collect();
        format!("from backup {}{said}", self.backup)
    }
}

/// Some tables come back beside the database that is alive: `shop__tables_17`, cut so that it fits.
fn beside(database: &str, backup: BackupId) -> String {
    let suffix = format!("__tables_{backup}");
    let room = LONGEST_NAME.saturating_sub(suffix.len());
    let cut = database.floor_char_boundary(room.min(database.len()));
    format!("{}{suffix}", &database[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::landing::marked::looks_marked;

    const SETTING: Duration = Duration::from_hours(72);

    fn wanted(change: impl FnOnce(&mut RestoreDatabaseRequest)) -> Result<Wanted, RpcError> {
        let mut request = RestoreDatabaseRequest {
            backup: "web-1/shop-db/shop@latest".to_owned(),
            ..RestoreDatabaseRequest::default()
        };
        change(&mut request);
        read(request, SETTING)
    }

    #[test]
    fn without_a_wish_the_setting_says_how_long_a_replaced_database_is_kept() {
        assert_eq!(wanted(|_| {}).unwrap().keep, SETTING);
        let hour = Duration::from_hours(1);
        let wish = holdfast_proto::time::to_duration(hour);
        let kept = wanted(|request| request.keep = Some(wish)).unwrap();
        assert_eq!(kept.keep, hour);
        let nothing = holdfast_proto::time::to_duration(Duration::ZERO);
        assert!(wanted(|request| request.keep = Some(nothing)).is_err());
    }

    #[test]
    fn the_audit_names_what_changes_and_from_what() {
        let replacing = wanted(|request| request.replace = true).unwrap();
        assert_eq!(replacing.subject(), "web-1/shop-db/shop");
        let detail = "from backup web-1/shop-db/shop@latest, replacing";
        assert_eq!(replacing.detail(), detail);
        let by_number = wanted(|request| request.backup = "17".to_owned()).unwrap();
        assert_eq!(by_number.subject(), "the database of backup 17");
        let elsewhere = wanted(|request| {
            let target: DatabaseName = "web-2/shop-db/test".parse().unwrap();
            request.target = Some(target.into());
            request.dry_run = true;
        });
        let elsewhere = elsewhere.unwrap();
        assert_eq!(elsewhere.subject(), "web-2/shop-db/test");
        assert!(elsewhere.detail().ends_with(", dry run"));
    }

    #[test]
    fn some_tables_come_back_beside_the_database_under_a_name_that_no_job_drops() {
        assert_eq!(beside("shop", 17), "shop__tables_17");
        let long = beside(&"ü".repeat(40), 17);
        assert_eq!(long.len(), LONGEST_NAME);
        let odd = beside(&"ü".repeat(40), 170);
        assert_eq!(odd.len(), LONGEST_NAME - 1);
        assert!(!looks_marked("shop__tables_17"));
    }

    #[test]
    fn what_names_no_backup_is_refused() {
        assert!(wanted(|request| request.backup = String::new()).is_err());
        assert!(wanted(|request| request.backup = "shop".to_owned()).is_err());
    }
}
