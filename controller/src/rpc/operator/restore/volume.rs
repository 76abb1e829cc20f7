//! Of a volume: where it goes, and what would be stopped.

use holdfast_proto::names::VolumeName;

use super::{
    super::{RpcError, Services},
    Wanted,
};
use crate::{
    catalog::Backup,
    detect::HostFacts,
    job::{RestoreVolume, volume::servers_on},
};

/// A mistyped host or volume is told at once, with the nearest one.
pub fn restore(
    services: &Services,
    wanted: Wanted,
    backup: &Backup,
    source: VolumeName,
) -> Result<RestoreVolume, RpcError> {
    if wanted.target.is_some() {
        let message = format!("backup {} is one of a volume: name HOST/VOLUME", backup.id);
        return Err(RpcError::invalid(message));
    }
    if !wanted.tables.is_empty() {
        return Err(RpcError::invalid("a volume has no tables"));
    }
    if wanted.stop && !wanted.replace {
        let message = "only a volume that is replaced needs its containers stopped: --replace";
        return Err(RpcError::invalid(message));
    }
    if wanted.no_safety_backup {
        let message = "what is in a volume that is replaced is kept beside it, and not backed up: leave \
                       --no-safety-backup out";
        return Err(RpcError::invalid(message));
    }
    if wanted.no_hooks {
        let message = "hooks are of databases; what runs with a volume is stopped with --stop only";
        return Err(RpcError::invalid(message));
    }
    let home = wanted.volume.as_ref().unwrap_or(&source);
    let host = services.fleet.host(&home.host)?;
    let target = match wanted.volume {
        Some(target) => target,
        None if wanted.replace || !host.report.volumes.contains_key(&source.volume) => {
            source.clone()
        }
        // Beside the one that stands there.
        None => VolumeName {
            volume: format!("{}__restored_{}", source.volume, backup.id),
            ..source.clone()
        },
    };
    if wanted.replace {
        host.volume(&target.volume)?;
    }
    Ok(RestoreVolume {
        backup: backup.id,
        source,
        replace: wanted.replace,
        stop: wanted.stop,
        keep: wanted.keep,
        dry_run: wanted.dry_run,
        instances: servers_on(&HostFacts::from(&*host), &target),
        target,
    })
}
