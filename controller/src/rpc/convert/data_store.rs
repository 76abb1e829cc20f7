//! What data lie on, to the wire.

use holdfast_proto::wire;

use super::time;
use crate::data_store::{DataStore, Event, EventKind};

impl From<Event> for wire::DataStoreEvent {
    fn from(event: Event) -> Self {
        let Event {
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
        Self {
            at: time(at),
            host: host.to_string(),
            service,
            instance,
            kind: wire::DataStoreEventKind::from(kind).into(),
            changes,
            by,
            reason,
            store: store.map(Into::into),
        }
    }
}

impl From<EventKind> for wire::DataStoreEventKind {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::FirstSeen => Self::FirstSeen,
            EventKind::Changed => Self::Changed,
            EventKind::Swapped => Self::Swapped,
            EventKind::Returned => Self::Returned,
            EventKind::Accepted => Self::Accepted,
        }
    }
}

impl From<DataStore> for wire::DataStore {
    fn from(store: DataStore) -> Self {
        let DataStore {
            engine,
            container,
            image_digest,
            path,
            host_path,
            volume,
            inode,
            born_at: _,
            file_system,
            system_identifier,
        } = store;
        let created_at = volume.as_ref().and_then(|volume| volume.created_at);
        let (volume, driver) = volume.map_or_else(Default::default, |one| (one.name, one.driver));
        Self {
            engine: wire::Engine::from(engine).into(),
            container,
            image_digest,
            path,
            host_path,
            volume,
            volume_created_at: created_at.and_then(time),
            volume_driver: driver,
            inode,
            file_system,
            system_identifier,
        }
    }
}
