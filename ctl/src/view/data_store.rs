//! What the data of instances lay on, from when to when.

use serde::Serialize;

use super::{Time, job::moment};
use crate::output::{
    Page, View,
    grid::{Grid, plain, toned},
    paint::Tone,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    FirstSeen,
    Changed,
    Swapped,
    Returned,
    Accepted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataStore {
    pub engine: String,
    pub container: String,
    pub image_digest: String,
    pub path: String,
    pub host_path: String,
    pub volume: String,
    pub volume_created_at: Option<Time>,
    pub volume_driver: String,
    pub inode: u64,
    pub file_system: String,
    pub system_identifier: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    pub at: Option<Time>,
    pub host: String,
    pub service: String,
    pub instance: String,
    pub kind: EventKind,
    pub changes: Vec<String>,
    pub by: String,
    pub reason: String,
    pub store: Option<DataStore>,
}

/// Newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    pub events: Vec<Event>,
}

/// What an operator has said is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accepted {
    pub event: Event,
}

impl EventKind {
    fn word(self) -> &'static str {
        match self {
            Self::FirstSeen => "first seen",
            Self::Changed => "changed",
            Self::Swapped => "swapped",
            Self::Returned => "returned",
            Self::Accepted => "accepted",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Swapped => Tone::Bad,
            Self::Returned | Self::Accepted => Tone::Good,
            Self::FirstSeen | Self::Changed => Tone::Plain,
        }
    }
}

impl Event {
    /// What happened, in a cell.
    fn told(&self) -> String {
        let mut lines = self.changes.clone();
        if let Some(store) = self.store.as_ref().filter(|_| lines.is_empty()) {
            lines.push(store.place());
        }
        if !self.by.is_empty() {
            lines.push(format!("by {}: {}", self.by, self.reason));
        }
        lines.join("\n")
    }
}

impl DataStore {
    fn place(&self) -> String {
        let place = match (self.volume.as_str(), self.host_path.as_str()) {
            ("", "") => "in the container itself".to_owned(),
            ("", path) => format!("in {path}"),
            (volume, _) => format!("on volume {volume}"),
        };
        match self.system_identifier.as_str() {
            "" => place,
            identifier => format!("{place}, system identifier {identifier}"),
        }
    }
}

impl View for History {
    fn text(&self, page: &Page) -> String {
        let mut grid = Grid::new(
            page,
            &["AT", "INSTANCE", "SERVICE", "WHAT", "HOW"],
            "no database was ever seen there",
        );
        for event in &self.events {
            grid.row(vec![
                plain(event.at.map(moment).unwrap_or_default()),
                toned(Tone::Strong, format!("{}/{}", event.host, event.instance)),
                plain(&event.service),
                toned(event.kind.tone(), event.kind.word()),
                plain(event.told()),
            ]);
        }
        grid.render()
    }
}

impl View for Accepted {
    fn text(&self, page: &Page) -> String {
        let Event {
            host,
            instance,
            store,
            ..
        } = &self.event;
        let accepted = page.paint.tone(Tone::Good, "accepted");
        match store {
            Some(store) => format!(
                "{accepted}: the data of {host}/{instance} lie {} and shall\n",
                store.place()
            ),
            None => format!("{accepted}: nothing is expected of {host}/{instance} any more\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        output::{View as _, testing::page},
        view::samples,
    };

    #[test]
    fn a_swap_is_told_with_what_changed_and_the_word_with_its_reason() {
        let text = samples::data_store::history().text(&page());
        for told in [
            "swapped",
            "volume shop_data → shop2_data",
            "by operator/ann: moved on purpose",
            "first seen",
            "on volume shop_data, system identifier 75",
        ] {
            assert!(text.contains(told), "{told}\n{text}");
        }
    }

    #[test]
    fn what_is_accepted_is_said() {
        let mut accepted = samples::data_store::accepted();
        assert_eq!(
            accepted.text(&page()),
            "accepted: the data of web-1/shop-db lie on volume shop_data, system identifier 75 and shall\n"
        );
        accepted.event.store = None;
        assert_eq!(
            accepted.text(&page()),
            "accepted: nothing is expected of web-1/shop-db any more\n"
        );
    }
}
