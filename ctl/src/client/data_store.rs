//! What data lie on: history, and an operator's word that it is right.

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
use crate::view::data_store::{DataStore, Event, EventKind};

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    /// Newest first.
    pub async fn instance_history(&mut self, name: &InstanceName) -> Result<Vec<Event>, CallError> {
        let request = wire::GetInstanceHistoryRequest {
            host: name.host.to_string(),
            instance: name.instance.clone(),
        };
        let answer = within(self.within, self.inner.get_instance_history(request)).await?;
        each(answer.events, Event::try_from)
    }

    /// Newest first.
    pub async fn volume_history(
        &mut self,
        host: &HostName,
        volume: String,
    ) -> Result<Vec<Event>, CallError> {
        let request = wire::GetVolumeHistoryRequest {
            host: host.to_string(),
            volume,
        };
        let answer = within(self.within, self.inner.get_volume_history(request)).await?;
        each(answer.events, Event::try_from)
    }

    pub async fn accept_instance(
        &mut self,
        name: &InstanceName,
        reason: String,
    ) -> Result<Event, CallError> {
        let request = wire::AcceptInstanceRequest {
            host: name.host.to_string(),
            instance: name.instance.clone(),
            reason,
        };
        let answer = within(self.within, self.inner.accept_instance(request)).await?;
        let event = required("AcceptInstanceResponse", "event", answer.event)?;
        Ok(Event::try_from(event)?)
    }
}

impl TryFrom<wire::DataStoreEvent> for Event {
    type Error = WireError;

    fn try_from(event: wire::DataStoreEvent) -> Result<Self, WireError> {
        use wire::DataStoreEventKind as Kind;
        let wire::DataStoreEvent {
            at,
            host,
            service,
            instance,
            kind,
            changes,
            by,
            reason,
            store,
        } = event;
        Ok(Self {
            at: time("DataStoreEvent", "at", at)?,
            host,
            service,
            instance,
            kind: variant("DataStoreEvent", "kind", kind, |kind| match kind {
                Kind::Unspecified => None,
                Kind::FirstSeen => Some(EventKind::FirstSeen),
                Kind::Changed => Some(EventKind::Changed),
                Kind::Swapped => Some(EventKind::Swapped),
                Kind::Returned => Some(EventKind::Returned),
                Kind::Accepted => Some(EventKind::Accepted),
            })?,
            changes,
            by,
            reason,
            store: store.map(DataStore::try_from).transpose()?,
        })
    }
}

impl TryFrom<wire::DataStore> for DataStore {
    type Error = WireError;

    fn try_from(store: wire::DataStore) -> Result<Self, WireError> {
        let wire::DataStore {
            engine,
            container,
            image_digest,
            path,
            host_path,
            volume,
            volume_created_at,
            volume_driver,
            inode,
            file_system,
            system_identifier,
        } = store;
        let engine = variant("DataStore", "engine", engine, |engine: wire::Engine| {
            Engine::try_from(engine).ok()
        })?;
        Ok(Self {
            engine: engine.as_str().to_owned(),
            container,
            image_digest,
            path,
            host_path,
            volume,
            volume_created_at: time("DataStore", "volume_created_at", volume_created_at)?,
            volume_driver,
            inode,
            file_system,
            system_identifier,
        })
    }
}
