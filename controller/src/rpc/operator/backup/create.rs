//! Back databases up: named ones, those of a compose project, or all. A job for each.

use std::{collections::BTreeSet, sync::Arc};

use holdfast_chassis::telemetry;
use holdfast_proto::{
    names::{DatabaseName, HostName, VolumeName},
    task::Selection,
    wire::{CreateBackupsRequest, CreateBackupsResponse, StartedBackup},
};
use tonic::Code;

use super::super::{
    RpcError, Services,
    caller::{Caller, Change},
};
use crate::{
    detect::HostFacts,
    fleet::nearest,
    job::{BackUpDatabase, BackUpVolume, JobSpec, volume::servers_on},
    policy::{Subject, subjects},
};

pub async fn create(
    services: Arc<Services>,
    caller: Caller,
    request: CreateBackupsRequest,
) -> Result<CreateBackupsResponse, RpcError> {
    let databases = match (
        request.all || !request.project.is_empty(),
        &request.databases[..],
    ) {
        (false, []) if request.volumes.is_empty() => {
            return Err(RpcError::invalid("no database and no volume is named"));
        }
        (false, named) => named_ones(&services, named)?,
        (true, []) => chosen(&services, &request).await?,
        (true, _) => {
            let message = "databases are named, and all are asked for: one of both";
            return Err(RpcError::invalid(message));
        }
    };
    let volumes = volumes(&services, &request)?;
    let selection = request.selection.map(Selection::try_from).transpose()?;
    let mut started = Vec::new();
    for backup in volumes {
        let name = backup.source.clone().into();
        let begun = start_volume(&services, &caller, backup).await;
        started.push(told(&started, name, begun)?);
    }
    for source in databases {
        let name = source.clone();
        let backup = BackUpDatabase {
            source,
            selection: selection.clone().unwrap_or_default(),
            jobs: request.jobs,
            bandwidth: request.bandwidth,
            is_safety: false,
        };
        let begun = start(&services, &caller, backup).await;
        started.push(told(&started, name, begun)?);
    }
    Ok(CreateBackupsResponse { started })
}

/// Once a job has begun, the answer names it, whatever becomes of those after it.
fn told(
    before: &[StartedBackup],
    database: DatabaseName,
    begun: Result<StartedBackup, RpcError>,
) -> Result<StartedBackup, RpcError> {
    match begun {
        Err(error) if !before.is_empty() => Ok(StartedBackup {
            database: Some(database.into()),
            job: 0,
            refused: error.message,
        }),
        begun => begun,
    }
}

/// A mistyped host or instance is told at once, before any job is made. Whether the database is there is
/// the preflight's to say: a report is some seconds old, and the database may be younger.
fn named_ones(
    services: &Services,
    named: &[holdfast_proto::wire::DatabaseName],
) -> Result<BTreeSet<DatabaseName>, RpcError> {
    let mut databases = BTreeSet::new();
    for name in named {
        let name = DatabaseName::try_from(name.clone())?;
        services.fleet.host(&name.host)?.instance(&name.instance)?;
        databases.insert(name);
    }
    Ok(databases)
}

/// A mistyped name is told at once. Servers that run in the containers are noted: nobody else works on them
/// while those are stopped.
fn volumes(
    services: &Services,
    request: &CreateBackupsRequest,
) -> Result<Vec<BackUpVolume>, RpcError> {
    let mut backups = Vec::new();
    let mut names = BTreeSet::new();
    for name in &request.volumes {
        names.insert(VolumeName::try_from(name.clone())?);
    }
    for source in names {
        let host = services.fleet.host(&source.host)?;
        host.volume(&source.volume)?;
        backups.push(BackUpVolume {
            instances: servers_on(&HostFacts::from(&*host), &source),
            stop: request.stop,
            source,
            only_files: false,
        });
    }
    Ok(backups)
}

async fn start_volume(
    services: &Services,
    caller: &Caller,
    backup: BackUpVolume,
) -> Result<StartedBackup, RpcError> {
    let database = DatabaseName::from(backup.source.clone());
    let change = Change {
        action: "job.backup",
        subject: database.to_string(),
        detail: if backup.stop {
            "volume, stopping its containers".to_owned()
        } else {
            "volume".to_owned()
        },
    };
    let work = async {
        let (by, traceparent) = (caller.actor(), telemetry::current_traceparent());
        let spec = JobSpec::BackUpVolume(backup);
        Ok(services.jobs.submit(spec, &by, &traceparent).await?)
    };
    let job = caller.change(services, change, work).await?;
    Ok(StartedBackup {
        database: Some(database.into()),
        job,
        refused: String::new(),
    })
}

/// Those that are reported now, and those whose server is down: their jobs say so.
async fn chosen(
    services: &Services,
    request: &CreateBackupsRequest,
) -> Result<BTreeSet<DatabaseName>, RpcError> {
    let (project, host) = (&request.project, &request.host);
    if !host.is_empty() {
        services.fleet.host(&host.parse::<HostName>()?)?;
    }
    let hosts = HostFacts::of_fleet(&services.fleet);
    let known = services.catalog.known_databases().await?;
    let mut all: Vec<Subject> = subjects(&hosts);
    all.extend(known.into_iter().map(|known| known.subject));
    // Of volumes somebody may have to stop what runs: they are named.
    all.retain(|subject| !subject.is_volume());
    let fits = |subject: &&Subject| {
        (host.is_empty() || subject.database.host.as_str() == host)
            && (project.is_empty() || subject.project == *project)
    };
    let databases: BTreeSet<_> = all
        .iter()
        .filter(fits)
        .map(|s| s.database.clone())
        .collect();
    if databases.is_empty() {
        return Err(none(request, &all));
    }
    Ok(databases)
}

fn none(request: &CreateBackupsRequest, all: &[Subject]) -> RpcError {
    let projects = all.iter().map(|s| &s.project).filter(|p| !p.is_empty());
    let near = nearest(&request.project, projects).filter(|near| *near != request.project);
    let advice = match near {
        Some(near) => format!("did you mean project {near}?"),
        None => "`ctl database list` shows what there is".to_owned(),
    };
    let message = if request.project.is_empty() {
        "there is no database".to_owned()
    } else {
        format!("no database is of a compose project {:?}", request.project)
    };
    RpcError::new(Code::NotFound, message, advice)
}

async fn start(
    services: &Services,
    caller: &Caller,
    backup: BackUpDatabase,
) -> Result<StartedBackup, RpcError> {
    let database = backup.source.clone();
    let change = Change {
        action: "job.backup",
        subject: database.to_string(),
        detail: match backup.kind() {
            crate::catalog::BackupKind::Full => String::new(),
            kind => kind.to_string(),
        },
    };
    let work = async {
        let (by, traceparent) = (caller.actor(), telemetry::current_traceparent());
        let spec = JobSpec::BackUpDatabase(backup);
        Ok(services.jobs.submit(spec, &by, &traceparent).await?)
    };
    let job = caller.change(services, change, work).await?;
    Ok(StartedBackup {
        database: Some(database.into()),
        job,
        refused: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn what_has_begun_is_told_whatever_comes_after_it() {
        let name: DatabaseName = "web-1/shop-db/shop".parse().expect("a name");
        let failed = || Err(RpcError::new(Code::Unavailable, "the catalog is away", ""));
        assert!(told(&[], name.clone(), failed()).is_err());
        let first = StartedBackup {
            job: 7,
            ..StartedBackup::default()
        };
        let second = told(&[first], name, failed()).expect("told");
        assert_eq!(
            (second.job, second.refused.as_str()),
            (0, "the catalog is away")
        );
    }
}
