//! Drills: a job is made of the request; what they found is listed and shown, signed.

use std::sync::Arc;

use holdfast_chassis::telemetry;
use holdfast_proto::{
    drill::DrillKind,
    names::{DatabaseName, HostName},
    wire::{
        GetDrillRequest, GetDrillResponse, ListDrillsRequest, ListDrillsResponse, RunDrillRequest,
        RunDrillResponse,
    },
};
use tonic::Code;

use super::{
    RpcError, Services,
    caller::{Caller, Change},
};
use crate::{
    backup_name::{self, BackupName},
    catalog::{Backup, Drill, DrillsOf},
    job::{
        DrillBackup, DrillVolume, JobSpec, ReadRepository, drill_backup::plan, hosts::Hosts as _,
        rebuild_host::choose,
    },
    rpc::convert::{drill_kind, drill_row, time, wire_kind},
};

pub async fn submit(
    services: Arc<Services>,
    caller: Caller,
    request: RunDrillRequest,
) -> Result<RunDrillResponse, RpcError> {
    let RunDrillRequest {
        kind,
        backup,
        source,
        host,
        image,
    } = request;
    let kind = drill_kind(kind)?;
    let kind = kind.ok_or_else(|| RpcError::invalid("a drill needs a kind".to_owned()))?;
    let host: Option<HostName> = match host.as_str() {
        "" => None,
        named => Some(named.parse()?),
    };
    match kind {
        DrillKind::Backup => of_backup(&services, &caller, &backup, host, image).await,
        DrillKind::Rebuild => of_host(&services, &caller, source.parse()?, host).await,
        DrillKind::Offsite => of_repository(&services, &caller, source.parse()?).await,
    }
}

/// Chosen now: the job has the numbers of its backups.
async fn of_host(
    services: &Services,
    caller: &Caller,
    source: HostName,
    on: Option<HostName>,
) -> Result<RunDrillResponse, RpcError> {
    let reported = services.fleet.facts(&source);
    let chosen = choose::newest(&services.catalog, &source, reported.as_ref(), on.as_ref());
    let rebuild = chosen.await?;
    let nothing_known = rebuild.backups().is_empty() && rebuild.without.is_empty();
    if nothing_known {
        // A mistyped host is told at once, with the nearest one.
        services.fleet.host(&source)?;
    }
    services.fleet.host(&rebuild.host)?;
    let (host, backups) = (rebuild.host.clone(), rebuild.backups().len() as u64);
    let change = Change {
        action: "job.drill",
        subject: source.to_string(),
        detail: format!("rebuild on {host}"),
    };
    let work = async {
        let (by, traceparent) = (caller.actor(), telemetry::current_traceparent());
        let spec = JobSpec::RebuildHost(rebuild);
        Ok(services.jobs.submit(spec, &by, &traceparent).await?)
    };
    let job = caller.change(services, change, work).await?;
    Ok(RunDrillResponse {
        job,
        kind: wire_kind(DrillKind::Rebuild).into(),
        subject: source.into(),
        backup: 0,
        taken_at: None,
        host: host.into(),
        backups,
    })
}

async fn of_repository(
    services: &Services,
    caller: &Caller,
    host: HostName,
) -> Result<RunDrillResponse, RpcError> {
    services.repositories.house(&host).await?;
    let backups = services.catalog.backups(false).await?;
    let own = backups
        .iter()
        .filter(|one| one.database.host == host)
        .count();
    let change = Change {
        action: "job.drill",
        subject: host.to_string(),
        detail: "off-site".to_owned(),
    };
    let spec = JobSpec::ReadRepository(ReadRepository { host: host.clone() });
    let work = async {
        let (by, traceparent) = (caller.actor(), telemetry::current_traceparent());
        Ok(services.jobs.submit(spec, &by, &traceparent).await?)
    };
    let job = caller.change(services, change, work).await?;
    Ok(RunDrillResponse {
        job,
        kind: wire_kind(DrillKind::Offsite).into(),
        subject: host.into(),
        backup: 0,
        taken_at: None,
        host: String::new(),
        backups: own as u64,
    })
}

async fn of_backup(
    services: &Services,
    caller: &Caller,
    backup: &str,
    host: Option<HostName>,
    image: String,
) -> Result<RunDrillResponse, RpcError> {
    let name: BackupName = backup.parse()?;
    let change = Change {
        action: "job.drill",
        subject: match &name {
            BackupName::Of(database, _) => database.to_string(),
            BackupName::Id(id) => format!("the database of backup {id}"),
        },
        detail: format!("backup {name}"),
    };
    let work = start(services, caller, &name, host, image);
    let (job, backup, host) = caller.change(services, change, work).await?;
    Ok(RunDrillResponse {
        job,
        kind: wire_kind(DrillKind::Backup).into(),
        subject: backup.database.to_string(),
        backup: backup.id,
        taken_at: time(backup.taken_at),
        host: host.into(),
        backups: 1,
    })
}

/// A mistyped host is told at once, with the nearest one.
async fn start(
    services: &Services,
    caller: &Caller,
    name: &BackupName,
    host: Option<HostName>,
    image: String,
) -> Result<(u64, Backup, HostName), RpcError> {
    let backup = backup_name::find(&services.catalog, name).await?;
    let plan = plan::of(&services.catalog, &backup.database).await?;
    let host = host.unwrap_or_else(|| plan::host(plan.as_ref(), &backup.database));
    services.fleet.host(&host)?;
    let spec = match backup.database.volume() {
        Some(_) if !image.is_empty() => {
            let message = format!(
                "backup {} is one of a volume: no image runs with it",
                backup.id
            );
            return Err(RpcError::invalid(message));
        }
        Some(source) => JobSpec::DrillVolume(DrillVolume {
            backup: backup.id,
            source,
            host: host.clone(),
        }),
        None => JobSpec::DrillBackup(DrillBackup {
            backup: backup.id,
            source: backup.database.clone(),
            host: host.clone(),
            image,
        }),
    };
    let (by, traceparent) = (caller.actor(), telemetry::current_traceparent());
    let job = services.jobs.submit(spec, &by, &traceparent).await?;
    Ok((job, backup, host))
}

pub async fn list(
    services: Arc<Services>,
    _: Caller,
    request: ListDrillsRequest,
) -> Result<ListDrillsResponse, RpcError> {
    let ListDrillsRequest {
        database,
        host,
        kind,
    } = request;
    let of = DrillsOf {
        database: database.map(DatabaseName::try_from).transpose()?,
        host: match host.as_str() {
            "" => None,
            named => Some(named.parse()?),
        },
        kind: drill_kind(kind)?,
    };
    let drills = services.catalog.drills(&of).await?;
    Ok(ListDrillsResponse {
        drills: drills.into_iter().map(drill_row).collect(),
    })
}

/// What is signed is the text as it was stored when the drill ended.
pub async fn get(
    services: Arc<Services>,
    _: Caller,
    request: GetDrillRequest,
) -> Result<GetDrillResponse, RpcError> {
    let drill = wanted(&services, &request).await?;
    let statement = services.catalog.drill_report(drill.id).await?;
    let (signature, certificate_pem) = match &statement {
        Some(text) => services.registrar.sign_statement(text.as_bytes())?,
        None => Default::default(),
    };
    Ok(GetDrillResponse {
        drill: Some(drill_row(drill)),
        statement: statement.unwrap_or_default(),
        signature,
        certificate_pem,
    })
}

async fn wanted(services: &Services, request: &GetDrillRequest) -> Result<Drill, RpcError> {
    let GetDrillRequest { id, job } = *request;
    let (found, what) = if id == 0 {
        (
            services.catalog.drill_of_job(job).await?,
            format!("job {job} has made no drill"),
        )
    } else {
        (
            services.catalog.drill(id).await?,
            format!("there is no drill {id}"),
        )
    };
    found.ok_or_else(|| RpcError::new(Code::NotFound, what, "`ctl drill list` shows the drills"))
}
