//! Drills: a job is made of the request; what they found is listed and shown, signed.

use std::sync::Arc;

use holdfast_chassis::telemetry;
use holdfast_proto::{
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
    catalog::{Backup, Drill},
    job::{DrillBackup, DrillVolume, JobSpec, drill_backup::plan},
    rpc::convert::{drill_row, time},
};

pub async fn submit(
    services: Arc<Services>,
    caller: Caller,
    request: RunDrillRequest,
) -> Result<RunDrillResponse, RpcError> {
    let RunDrillRequest {
        backup,
        host,
        image,
    } = request;
    let name: BackupName = backup.parse()?;
    let host: Option<HostName> = match host.as_str() {
        "" => None,
        named => Some(named.parse()?),
    };
    let change = Change {
        action: "job.drill",
        subject: match &name {
            BackupName::Of(database, _) => database.to_string(),
            BackupName::Id(id) => format!("the database of backup {id}"),
        },
        detail: format!("backup {name}"),
    };
    let work = start(&services, &caller, &name, host, image);
    let (job, backup, host) = caller.change(&services, change, work).await?;
    Ok(RunDrillResponse {
        job,
        backup: backup.id,
        source: Some(backup.database.into()),
        host: host.into(),
        taken_at: time(backup.taken_at),
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
    let of = request.database.map(DatabaseName::try_from).transpose()?;
    let drills = services.catalog.drills(of.as_ref()).await?;
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
