//! What container engines told: containers that start and die, volumes that come and go.

use holdfast_proto::fleet;
use serde::Serialize;

use super::{Time, job::moment};
use crate::output::{
    Page, View,
    grid::{Grid, plain, toned},
    paint::Tone,
    units,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineEvent {
    pub host: String,
    pub at: Time,
    pub kind: String,
    pub action: String,
    pub subject: String,
}

/// Newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventList {
    pub events: Vec<EngineEvent>,
}

impl EngineEvent {
    #[must_use]
    pub fn of(host: String, event: fleet::EngineEvent) -> Self {
        let fleet::EngineEvent {
            at,
            kind,
            action,
            subject,
        } = event;
        Self {
            host,
            at,
            kind,
            action,
            subject,
        }
    }

    fn tone(&self) -> Tone {
        match self.action.as_str() {
            "die" | "kill" | "oom" => Tone::Bad,
            "start" => Tone::Good,
            _ => Tone::Plain,
        }
    }
}

impl View for EventList {
    fn text(&self, page: &Page) -> String {
        table(&self.events, page)
    }
}

pub(crate) fn table(events: &[EngineEvent], page: &Page) -> String {
    let mut grid = Grid::new(
        page,
        &["AT", "AGO", "HOST", "KIND", "EVENT", "WHAT"],
        "no events since the controller started",
    );
    for event in events {
        grid.row(vec![
            plain(moment(event.at)),
            plain(units::ago(page.now, Some(event.at))),
            toned(Tone::Strong, &event.host),
            plain(&event.kind),
            toned(event.tone(), &event.action),
            plain(&event.subject),
        ]);
    }
    grid.render()
}

#[cfg(test)]
mod tests {
    use super::EventList;
    use crate::{
        output::{View as _, testing::page},
        view::samples,
    };

    #[test]
    fn events_tell_when_where_and_what() {
        assert_eq!(
            samples::event_list().text(&page()),
            "AT                       AGO       HOST   KIND       EVENT  WHAT\n\
             2026-11-20 11:59:30 UTC  30 s ago  web-1  container  start  shop-db\n\
             2026-11-20 11:59:00 UTC  1 m ago   web-1  container  die    shop-db\n"
        );
        let none = EventList { events: Vec::new() };
        assert_eq!(
            none.text(&page()),
            "no events since the controller started\n"
        );
    }
}
