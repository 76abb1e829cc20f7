//! What an agent sees on its host, from and to the wire.

use super::{Fault, Field, enums, messages};
use crate::fleet::{
    Archiver, Container, ContainerHealth, ContainerState, DataPlace, Database, Engine, EngineEvent,
    HostDelta, HostSnapshot, Instance, InstanceHealth, LongQuery, MariadbHealth, Mount, MountKind,
    PortBinding, ReplicationSlot, ReplicationSource, Untold, Volume,
};

messages! {
    Container {
        id, name, image, image_digest, state, health, project, service, ports, mounts, created_at,
        started_at, exit_code, labels, config_hash, working_directory, restart_count,
    }
    PortBinding { container_port, protocol, host_ip, host_port }
    Mount { kind, source, destination, read_only, host_path }
    Volume { name, driver, labels, created_at, mountpoint, anonymous, used_by, device }
    Instance { name, engine, container, reached_by, down_reason, health, registered, data }
    DataPlace { path, host_path, inode, file_system, born_at, system_identifier }
    InstanceHealth {
        version, version_num, system_identifier, in_recovery, started_at, connections_used,
        connections_max, long_queries, longest_query_seconds, archiver, slots, transaction_id_age,
        checksums_on, checksum_failures, disk_total_bytes, disk_free_bytes, data_directory,
        databases, mariadb, untold,
    }
    MariadbHealth { read_only, binary_log_on, sources }
    ReplicationSource { name, address, receiving, applying, lag_seconds, last_error }
    Untold { part, reason }
    LongQuery { pid, database, user, seconds, statement }
    Archiver { on, archived, failed, last_archived_at, last_failed_at, last_failed_wal }
    ReplicationSlot { name, kind, active, lag_bytes }
    Database { name, owner, size_bytes, encoding, collation, allows_connections, is_template }
    HostSnapshot { containers, volumes, instances, container_engine, engine_error }
    HostDelta {
        containers, removed_containers, volumes, removed_volumes, instances, removed_instances,
        container_engine, engine_error, events,
    }
    EngineEvent { at, kind, action, subject }
}

enums! {
    ContainerState { Created, Running, Paused, Restarting, Removing, Exited, Dead }
    ContainerHealth { None, Starting, Healthy, Unhealthy }
    MountKind { Volume, Bind, Tmpfs, Other }
    Engine { Postgres, Mariadb, Mysql }
}

/// An engine that a sender may not name: zero is unset here.
impl Field<i32> for Option<Engine> {
    fn read(wire: i32) -> Result<Self, Fault> {
        if wire == 0 {
            return Ok(None);
        }
        Engine::read(wire).map(Some)
    }

    fn write(self) -> i32 {
        self.map_or(0, Engine::write)
    }
}
