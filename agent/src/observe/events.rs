//! The engine's stream of events: opened, read, and opened again where it broke off.

use std::collections::HashMap;

use bollard::{
    models::EventMessage,
    query_parameters::{EventsOptions, EventsOptionsBuilder},
};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use holdfast_proto::fleet::EngineEvent;
use tokio::sync::mpsc;

use crate::container::{ContainerEngine, EngineError, client::EngineKind};

/// What is worth waking up for; health checks run commands all the time, and those are not.
const ACTIONS: [&str; 16] = [
    "create",
    "start",
    "die",
    "stop",
    "kill",
    "oom",
    "pause",
    "unpause",
    "rename",
    "update",
    "destroy",
    "remove",
    "restart",
    "health_status",
    "mount",
    "unmount",
];

/// What the stream tells the observer.
#[derive(Debug)]
pub enum Signal {
    /// The stream is open: whatever happens from here on will be told.
    Opened,
    Event {
        event: EngineEvent,
        touched: Touched,
    },
    Lost(EngineError),
}

/// What has to be looked at again because of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// Id of a container.
    Container(String),
    Volumes,
    Nothing,
}

/// How far the stream has been read, in nanoseconds; survives its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Position(i64);

/// Reads the stream once, to its end, from where the last reading stopped.
///
/// # Errors
/// When the engine cannot be asked or the stream broke; nothing is lost by reading again.
pub async fn follow(
    engine: &ContainerEngine,
    position: &mut Position,
    signals: &mpsc::Sender<Signal>,
) -> Result<(), EngineError> {
    let connected = engine.connected().await?;
    let mut stream = connected.docker.events(Some(options(
        *position,
        connected.kind == EngineKind::Docker,
    )));
    // The request goes out with the first poll; what happened since `since` is told by it.
    let _ = signals.send(Signal::Opened).await;
    while let Some(message) = stream.next().await {
        let message =
            message.map_err(|e| connected.explain("reading the events of the engine", "", e))?;
        let nanos = message.time_nano.unwrap_or_default();
        if nanos <= position.0 && nanos != 0 {
            continue;
        }
        position.0 = position.0.max(nanos);
        if let Some(signal) = read(message)
            && signals.send(signal).await.is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

impl Position {
    /// Nothing before this moment matters.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(now.timestamp_nanos_opt().unwrap_or_default())
    }
}

fn options(position: Position, can_filter: bool) -> EventsOptions {
    let types = ["container", "volume"].map(str::to_owned).to_vec();
    let mut filters = HashMap::from([("type".to_owned(), types)]);
    if can_filter {
        filters.insert("event".to_owned(), ACTIONS.map(str::to_owned).to_vec());
    }
    let since = format!(
        "{}.{:09}",
        position.0 / 1_000_000_000,
        position.0 % 1_000_000_000
    );
    EventsOptionsBuilder::default()
        .since(&since)
        .filters(&filters)
        .build()
}

fn read(message: EventMessage) -> Option<Signal> {
    let action = message.action?;
    let word = action.split(':').next().unwrap_or(&action);
    if !ACTIONS.contains(&word) {
        return None;
    }
    let kind = message.typ?.to_string();
    let actor = message.actor.unwrap_or_default();
    let id = actor.id.unwrap_or_default();
    let name = actor.attributes.and_then(|mut a| a.remove("name"));
    let touched = match (kind.as_str(), word) {
        ("container", _) => Touched::Container(id.clone()),
        ("volume", "create" | "destroy" | "remove") => Touched::Volumes,
        _ => Touched::Nothing,
    };
    let at = message
        .time_nano
        .map(DateTime::from_timestamp_nanos)
        .unwrap_or_default();
    Some(Signal::Event {
        event: EngineEvent {
            at,
            kind,
            action,
            subject: name.filter(|n| !n.is_empty()).unwrap_or(id),
        },
        touched,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(value: serde_json::Value) -> EventMessage {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_event_names_what_it_happened_to_and_what_to_look_at() {
        let start = message(serde_json::json!({
            "Type": "container", "Action": "start", "timeNano": 1_795_220_182_102_767_406_i64,
            "Actor": {"ID": "abc", "Attributes": {"name": "shop-db"}},
        }));
        let Some(Signal::Event { event, touched }) = read(start) else {
            panic!("not an event")
        };
        assert_eq!(
            (event.subject.as_str(), event.action.as_str()),
            ("shop-db", "start")
        );
        assert_eq!(touched, Touched::Container("abc".to_owned()));
    }

    #[test]
    fn commands_of_health_checks_are_no_news_but_their_verdict_is() {
        let of = |action: &str| {
            read(message(serde_json::json!({
                "Type": "container", "Action": action, "Actor": {"ID": "abc"},
            })))
        };
        assert!(of("exec_start: /bin/sh -c true").is_none());
        assert!(of("health_status: healthy").is_some());
    }
}
