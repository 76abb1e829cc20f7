//! Hosts, what runs on them, and what was found.

use holdfast_proto::{
    WireError,
    fleet::Engine,
    names::{HostName, InstanceName},
    wire,
};

use super::{
    CallError, Client, each,
    read::{required, time, variant},
    within,
};
use crate::view::{
    container::Container,
    event::EngineEvent,
    finding::Finding,
    host::{EnrolledHost, Host, RemovedHost},
    instance::{AddedInstance, Instance},
    job::Job,
    status::{Counted, Status, Summary},
    volume::{Protected, ProtectedBy, Volume, VolumeSize},
};

/// A server outside containers, to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInstance {
    pub name: InstanceName,
    pub engine: Engine,
    pub address: String,
    pub port: u16,
    pub user: String,
    pub database: String,
    pub tls_mode: String,
}

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    pub async fn status(&mut self) -> Result<Status, CallError> {
        let answer = within(
            self.within,
            self.inner.get_status(wire::GetStatusRequest {}),
        )
        .await?;
        let wire::GetStatusResponse {
            hosts,
            instances,
            findings,
            jobs,
            containers,
            volumes,
            databases,
            now,
            unprotected,
            unprotected_by_choice,
            volumes_without_policy,
        } = answer;
        let hosts = each(hosts, Host::try_from)?;
        let instances = each(instances, Instance::try_from)?;
        let findings = each(findings, Finding::try_from)?;
        let jobs = each(jobs, Job::try_from)?;
        let counted = Counted {
            containers,
            volumes,
            databases,
            unprotected,
            unprotected_by_choice,
            volumes_without_policy,
        };
        Ok(Status {
            summary: Summary::of(&hosts, &instances, &findings, &jobs, counted),
            findings: crate::view::finding::FindingList::sorted(findings).findings,
            now: time("GetStatusResponse", "now", now)?,
            hosts,
            instances,
            jobs,
        })
    }

    pub async fn hosts(&mut self) -> Result<Vec<Host>, CallError> {
        let answer = within(
            self.within,
            self.inner.list_hosts(wire::ListHostsRequest {}),
        )
        .await?;
        each(answer.hosts, Host::try_from)
    }

    pub async fn enrol_host(
        &mut self,
        name: &HostName,
        controller_address: String,
    ) -> Result<EnrolledHost, CallError> {
        let request = wire::EnrolHostRequest {
            name: name.to_string(),
            controller_address,
        };
        let answer = within(self.within, self.inner.enrol_host(request)).await?;
        Ok(EnrolledHost {
            name: name.to_string(),
            command: answer.command,
            expires_at: time("EnrolHostResponse", "expires_at", answer.expires_at)?,
        })
    }

    pub async fn remove_host(&mut self, name: &HostName) -> Result<RemovedHost, CallError> {
        let request = wire::RemoveHostRequest {
            name: name.to_string(),
        };
        let answer = within(self.within, self.inner.remove_host(request)).await?;
        Ok(RemovedHost {
            name: name.to_string(),
            revoked_certificates: answer.revoked_certificates,
            was_connected: answer.was_connected,
        })
    }

    /// An empty host means all of them.
    pub async fn containers(&mut self, host: String) -> Result<Vec<Container>, CallError> {
        let request = wire::ListContainersRequest { host };
        let answer = within(self.within, self.inner.list_containers(request)).await?;
        each(answer.containers, Container::try_from)
    }

    /// The newest of each host, newest first. An empty host means all of them.
    pub async fn engine_events(
        &mut self,
        host: String,
        limit: u32,
    ) -> Result<Vec<EngineEvent>, CallError> {
        let request = wire::ListEngineEventsRequest { host, limit };
        let answer = within(self.within, self.inner.list_engine_events(request)).await?;
        each(answer.events, EngineEvent::try_from)
    }

    /// An empty host means all of them.
    pub async fn volumes(&mut self, host: String) -> Result<Vec<Volume>, CallError> {
        let request = wire::ListVolumesRequest { host };
        let answer = within(self.within, self.inner.list_volumes(request)).await?;
        each(answer.volumes, Volume::try_from)
    }

    pub async fn measure_volume(
        &mut self,
        host: &HostName,
        volume: String,
    ) -> Result<VolumeSize, CallError> {
        let request = wire::MeasureVolumeRequest {
            host: host.to_string(),
            volume: volume.clone(),
        };
        let answer = within(self.within, self.inner.measure_volume(request)).await?;
        Ok(VolumeSize {
            host: host.to_string(),
            volume,
            bytes: answer.bytes,
            files: answer.files,
        })
    }

    /// An empty host means all of them.
    pub async fn instances(&mut self, host: String) -> Result<Vec<Instance>, CallError> {
        let request = wire::ListInstancesRequest { host };
        let answer = within(self.within, self.inner.list_instances(request)).await?;
        each(answer.instances, Instance::try_from)
    }

    pub async fn add_instance(&mut self, new: NewInstance) -> Result<AddedInstance, CallError> {
        let host = new.name.host.to_string();
        let request = wire::AddInstanceRequest {
            host: host.clone(),
            name: new.name.instance.clone(),
            engine: wire::Engine::from(new.engine).into(),
            address: new.address,
            port: new.port.into(),
            user: new.user,
            database: new.database,
            tls_mode: new.tls_mode,
        };
        let answer = within(self.within, self.inner.add_instance(request)).await?;
        Ok(AddedInstance {
            host,
            name: new.name.instance,
            up: answer.up,
            down_reason: answer.down_reason,
            password_hint: answer.password_hint,
        })
    }

    pub async fn remove_instance(&mut self, name: &InstanceName) -> Result<(), CallError> {
        let request = wire::RemoveInstanceRequest {
            host: name.host.to_string(),
            name: name.instance.clone(),
        };
        within(self.within, self.inner.remove_instance(request)).await?;
        Ok(())
    }
}

impl TryFrom<wire::Host> for Host {
    type Error = WireError;

    fn try_from(host: wire::Host) -> Result<Self, WireError> {
        let wire::Host {
            name,
            connected,
            enrolled_at,
            last_seen_at,
            agent_version,
            operating_system,
            container_engine,
            engine_error,
            cpus,
            memory_bytes,
            agent_rss_bytes,
            certificate_expires_at,
            peer_addresses,
        } = host;
        Ok(Self {
            name,
            connected,
            enrolled_at: time("Host", "enrolled_at", enrolled_at)?,
            last_seen_at: time("Host", "last_seen_at", last_seen_at)?,
            agent_version,
            operating_system,
            container_engine,
            engine_error,
            cpus,
            memory_bytes,
            agent_rss_bytes,
            certificate_expires_at: time("Host", "certificate_expires_at", certificate_expires_at)?,
            peer_addresses,
        })
    }
}

impl TryFrom<wire::HostContainer> for Container {
    type Error = WireError;

    fn try_from(message: wire::HostContainer) -> Result<Self, WireError> {
        let wire::HostContainer { host, container } = message;
        let container = required("HostContainer", "container", container)?;
        Ok(Self::of(host, container.try_into()?))
    }
}

impl TryFrom<wire::HostEvent> for EngineEvent {
    type Error = WireError;

    fn try_from(message: wire::HostEvent) -> Result<Self, WireError> {
        let wire::HostEvent { host, event } = message;
        let event = required("HostEvent", "event", event)?;
        Ok(Self::of(host, event.try_into()?))
    }
}

impl TryFrom<wire::HostVolume> for Volume {
    type Error = WireError;

    fn try_from(message: wire::HostVolume) -> Result<Self, WireError> {
        let wire::HostVolume {
            host,
            volume,
            care,
            policy,
            holds,
            last_backup_at,
        } = message;
        let volume = required("HostVolume", "volume", volume)?;
        let protected = Protected {
            by: variant("HostVolume", "care", care, |care| match care {
                wire::VolumeCare::Unspecified => None,
                wire::VolumeCare::Policy => Some(ProtectedBy::Policy),
                wire::VolumeCare::NotProtected => Some(ProtectedBy::NotProtected),
                wire::VolumeCare::Databases => Some(ProtectedBy::Databases),
                wire::VolumeCare::Nobody => Some(ProtectedBy::Nobody),
                wire::VolumeCare::NotAsked => Some(ProtectedBy::NotAsked),
            })?,
            policy,
            holds,
            last_backup_at: time("HostVolume", "last_backup_at", last_backup_at)?,
        };
        Ok(Self::of(host, volume.try_into()?, protected))
    }
}

impl TryFrom<wire::HostInstance> for Instance {
    type Error = WireError;

    fn try_from(message: wire::HostInstance) -> Result<Self, WireError> {
        let wire::HostInstance {
            host,
            instance,
            reported_at,
        } = message;
        let instance = required("HostInstance", "instance", instance)?;
        let reported_at = time("HostInstance", "reported_at", reported_at)?;
        Ok(Self::of(host, instance.try_into()?, reported_at))
    }
}
