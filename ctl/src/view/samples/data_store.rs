//! What data lay on.

use super::text;
use crate::{
    output::testing::at,
    view::data_store::{Accepted, DataStore, Event, EventKind, History},
};

fn store(volume: &str, identifier: &str) -> DataStore {
    DataStore {
        engine: text("postgres"),
        container: text("shop-db"),
        image_digest: text("sha256:00"),
        path: text("/var/lib/postgresql/data"),
        host_path: format!("/var/lib/docker/volumes/{volume}/_data"),
        volume: text(volume),
        volume_created_at: Some(at("2026-11-01T08:00:00Z")),
        volume_driver: text("local"),
        inode: 4711,
        file_system: text("ext4 5f1c"),
        system_identifier: text(identifier),
    }
}

fn event(kind: EventKind, changes: &[&str], store: DataStore) -> Event {
    Event {
        at: Some(at("2026-11-20T11:57:00Z")),
        host: text("web-1"),
        service: text("shop/db"),
        instance: text("shop-db"),
        kind,
        changes: changes.iter().map(|change| text(change)).collect(),
        by: String::new(),
        reason: String::new(),
        store: Some(store),
    }
}

pub(crate) fn history() -> History {
    let mut word = event(EventKind::Accepted, &[], store("shop2_data", "76"));
    word.by = text("operator/ann");
    word.reason = text("moved on purpose");
    History {
        events: vec![
            word,
            event(
                EventKind::Swapped,
                &["volume shop_data → shop2_data"],
                store("shop2_data", "76"),
            ),
            event(EventKind::FirstSeen, &[], store("shop_data", "75")),
        ],
    }
}

pub(crate) fn accepted() -> Accepted {
    Accepted {
        event: event(
            EventKind::Accepted,
            &["service a → b"],
            store("shop_data", "75"),
        ),
    }
}
