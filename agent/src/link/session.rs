//! One session, from Hello to its end.

use std::{sync::Arc, time::Duration};

use holdfast_proto::{
    fleet::{EngineEvent, HostDelta, HostSnapshot},
    guard::GuardRefusal,
    link::{AgentMessage, ControllerMessage, PeerRefused},
    task::{FailureKind, TaskFailure},
    wire::{
        SessionRequest, SessionResponse, StartTask, agent_link_client::AgentLinkClient,
        session_response::Message,
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};
use tracing::{debug, info, warn};

use super::{SessionError, SharedParts};
use crate::observe::delta;

/// Messages that wait for the network. A slow controller slows the session down, not the agent.
const OUTBOX: usize = 64;
/// Until the Welcome says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Heartbeats without an answer after which the controller is taken for gone.
const MISSED: u32 = 3;

struct Session<'a> {
    parts: &'a SharedParts,
    outbox: mpsc::Sender<SessionRequest>,
    snapshots: watch::Receiver<Option<Arc<HostSnapshot>>>,
    /// What the controller has of this host.
    told: Option<Arc<HostSnapshot>>,
    heartbeat: Duration,
    sequence: u64,
    heard: Instant,
}

/// Holds a session until it ends, and says why it did.
pub(super) async fn hold(
    parts: &SharedParts,
    mut client: AgentLinkClient<Channel>,
    own_address: Option<String>,
) -> SessionError {
    let (outbox, waiting) = mpsc::channel(OUTBOX);
    // From here on this session hears the tasks; before the Hello, so that no event falls between.
    let mut told = parts.runtime.listen();
    let hello = AgentMessage::Hello(parts.facts.hello(&parts.runtime, own_address));
    if outbox.send(hello.into()).await.is_err() {
        return SessionError::Closed;
    }
    let mut inbound = match client.session(ReceiverStream::new(waiting)).await {
        Ok(response) => response.into_inner(),
        Err(status) => return SessionError::Ended(Box::new(status)),
    };
    let mut session = Session {
        parts,
        outbox,
        snapshots: parts.reports.subscribe(),
        told: None,
        heartbeat: HEARTBEAT,
        sequence: 0,
        heard: Instant::now(),
    };
    if let Err(error) = session.welcome(&mut inbound).await {
        return error;
    }
    // A check's outcome that this session takes and cannot send any more is lost with it; the next run tells.
    let mut checks = parts.check_reports.lock().await;
    // Whatever waits is told to each session anew.
    let mut untold = parts.untold.clone();
    untold.mark_changed();
    let mut beat = interval(session.heartbeat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let silent_at = session.heard + session.heartbeat * MISSED;
        let done = tokio::select! {
            message = inbound.message() => session.take(message),
            Some(told) = told.recv() => {
                let message = AgentMessage::Task { task_id: told.task_id, epoch: told.epoch, event: told.event };
                session.send(message).await
            }
            Ok(()) = session.snapshots.changed() => session.report().await,
            Some((check_id, outcome)) = checks.recv() => session.send(AgentMessage::Check { check_id, outcome }).await,
            refused = parts.refusals.next() => session.tell_refused(refused).await,
            Ok(()) = untold.changed() => {
                let waiting = untold.borrow_and_update().clone();
                session.tell_guard_refused(waiting).await
            }
            _ = beat.tick() => session.beat().await,
            () = sleep_until(silent_at) => Err(SessionError::Silent(session.heartbeat * MISSED)),
        };
        if let Err(error) = done {
            return error;
        }
    }
}

impl Session<'_> {
    async fn welcome(
        &mut self,
        inbound: &mut Streaming<SessionResponse>,
    ) -> Result<(), SessionError> {
        let answer = tokio::time::timeout(HEARTBEAT * MISSED, inbound.message()).await;
        let message = answer.map_err(|_| SessionError::Silent(HEARTBEAT * MISSED))?;
        self.take(message)?;
        info!(heartbeat = ?self.heartbeat, "the session with the controller stands");
        self.snapshots.mark_unchanged();
        self.report().await
    }

    /// Sends what changed since the controller was last told; everything the first time.
    async fn report(&mut self) -> Result<(), SessionError> {
        let Some(now) = self.snapshots.borrow_and_update().clone() else {
            return Ok(());
        };
        let events = self.parts.reports.take_events();
        let messages = news(self.told.as_deref(), &now, events);
        self.told = Some(now);
        for message in messages {
            self.send(message).await?;
        }
        Ok(())
    }

    /// What a session that breaks here did not tell is in this agent's own log.
    async fn tell_refused(&self, refused: Vec<PeerRefused>) -> Result<(), SessionError> {
        for refused in refused {
            self.send(AgentMessage::Refused(refused)).await?;
        }
        Ok(())
    }

    async fn tell_guard_refused(&self, waiting: Vec<GuardRefusal>) -> Result<(), SessionError> {
        if waiting.is_empty() {
            return Ok(());
        }
        self.send(AgentMessage::GuardRefused(waiting)).await
    }

    async fn beat(&mut self) -> Result<(), SessionError> {
        self.sequence += 1;
        let message = AgentMessage::Heartbeat {
            sequence: self.sequence,
            at: self.parts.clock.now(),
            rss_bytes: resident_bytes(),
        };
        self.send(message).await
    }

    /// Gives up when the controller takes nothing for as long as it may be silent.
    async fn send(&self, message: AgentMessage) -> Result<(), SessionError> {
        let patience = self.heartbeat * MISSED;
        match tokio::time::timeout(patience, self.outbox.send(message.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(SessionError::Closed),
            Err(_) => Err(SessionError::Silent(patience)),
        }
    }

    fn take(
        &mut self,
        message: Result<Option<SessionResponse>, tonic::Status>,
    ) -> Result<(), SessionError> {
        let message = message.map_err(|status| SessionError::Ended(Box::new(status)))?;
        let message = message.ok_or(SessionError::Closed)?;
        self.heard = Instant::now();
        if let Some(start) = unknown_verb(&message) {
            let (task_id, epoch) = (&start.task_id, start.epoch);
            self.parts.runtime.refuse(task_id, epoch, too_old());
            return Ok(());
        }
        match ControllerMessage::try_from(message) {
            Ok(message) => self.act(message),
            // From a newer controller, perhaps: what we do not understand we do not do.
            Err(error) => warn!(%error, "a message of the controller makes no sense"),
        }
        Ok(())
    }

    fn act(&mut self, message: ControllerMessage) {
        let parts = self.parts;
        match message {
            ControllerMessage::Welcome {
                heartbeat_interval, ..
            } => {
                self.heartbeat = heartbeat_interval.max(Duration::from_millis(100));
            }
            ControllerMessage::StartTask(task) => parts.runtime.start(task),
            ControllerMessage::CancelTask { task_id, epoch } => {
                parts.runtime.cancel(&task_id, epoch)
            }
            ControllerMessage::ForgetTask { task_id } => parts.runtime.forget(&task_id),
            ControllerMessage::Checks(checks) => {
                parts
                    .checks
                    .send_if_modified(|current| replace(current, checks));
            }
            ControllerMessage::Registered(instances) => {
                parts
                    .registered
                    .send_if_modified(|current| replace(current, instances));
            }
            ControllerMessage::Protections(protections) => {
                parts
                    .protections
                    .send_if_modified(|current| replace(current, Some(protections)));
            }
            ControllerMessage::RefusalsStored { until } => {
                parts.stored.send_replace(Some(until));
            }
            ControllerMessage::HeartbeatAck { sequence } => debug!(sequence, "heartbeat answered"),
        }
    }
}

/// A task whose verb this agent has never heard of arrives without any.
fn unknown_verb(message: &SessionResponse) -> Option<&StartTask> {
    match &message.message {
        Some(Message::StartTask(start))
            if start.spec.as_ref().is_some_and(|spec| spec.verb.is_none()) =>
        {
            Some(start)
        }
        _ => None,
    }
}

fn too_old() -> TaskFailure {
    TaskFailure {
        kind: FailureKind::Refused,
        message: format!(
            "holdfast-agent {} on this host is older than the controller and does not know the task",
            env!("CARGO_PKG_VERSION")
        ),
        advice: "upgrade holdfast-agent on this host, then try again".to_owned(),
        retryable: false,
    }
}

/// What brings a controller that was told `told` to `now`. A snapshot holds no events: those that
/// waited for a session follow it.
fn news(
    told: Option<&HostSnapshot>,
    now: &HostSnapshot,
    events: Vec<EngineEvent>,
) -> Vec<AgentMessage> {
    let mut messages = Vec::new();
    let change = match told {
        Some(before) => delta::between(before, now),
        None => {
            messages.push(AgentMessage::Snapshot(now.clone()));
            None
        }
    };
    if change.is_some() || !events.is_empty() {
        messages.push(AgentMessage::Delta(HostDelta {
            container_engine: now.container_engine.clone(),
            engine_error: now.engine_error.clone(),
            events,
            ..change.unwrap_or_default()
        }));
    }
    messages
}

fn replace<T: PartialEq>(current: &mut T, new: T) -> bool {
    let news = *current != new;
    *current = new;
    news
}

/// Of this process; 0 when the kernel does not tell.
fn resident_bytes() -> u64 {
    let page = rustix::param::page_size() as u64;
    std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok())
        .map_or(0, |pages| pages * page)
}

#[cfg(test)]
mod tests {
    use holdfast_proto::wire;

    use super::*;

    fn host(engine_error: &str) -> HostSnapshot {
        HostSnapshot {
            engine_error: engine_error.to_owned(),
            ..HostSnapshot::default()
        }
    }

    #[test]
    fn a_verb_of_a_newer_controller_is_told_from_one_that_is_known() {
        let start = |verb| SessionResponse {
            message: Some(Message::StartTask(StartTask {
                task_id: "7/stage/do/1".to_owned(),
                epoch: 3,
                spec: Some(wire::TaskSpec { verb }),
                ..StartTask::default()
            })),
        };
        let newer = start(None);
        let told = unknown_verb(&newer).map(|start| (start.task_id.as_str(), start.epoch));
        assert_eq!(told, Some(("7/stage/do/1", 3)));
        let known = wire::task_spec::Verb::ProbeInstance(wire::ProbeInstance::default());
        assert_eq!(unknown_verb(&start(Some(known))), None);
        assert_eq!(unknown_verb(&SessionResponse::default()), None);
        assert!(too_old().advice.contains("upgrade"));
    }

    fn died() -> Vec<EngineEvent> {
        vec![EngineEvent {
            at: chrono::DateTime::UNIX_EPOCH,
            kind: "container".to_owned(),
            action: "die".to_owned(),
            subject: "shop-db".to_owned(),
        }]
    }

    #[test]
    fn what_happened_without_a_session_follows_its_first_snapshot() {
        let now = host("no answer");
        let only_events = HostDelta {
            engine_error: "no answer".to_owned(),
            events: died(),
            ..HostDelta::default()
        };
        assert_eq!(
            news(None, &now, died()),
            [
                AgentMessage::Snapshot(now.clone()),
                AgentMessage::Delta(only_events.clone())
            ]
        );
        assert_eq!(
            news(None, &now, Vec::new()),
            [AgentMessage::Snapshot(now.clone())]
        );
        assert_eq!(
            news(Some(&now), &now, died()),
            [AgentMessage::Delta(only_events)]
        );
    }

    #[test]
    fn a_change_and_its_events_travel_together_and_nothing_new_does_not_travel() {
        let (before, now) = (host("no answer"), host(""));
        let change = HostDelta {
            events: died(),
            ..HostDelta::default()
        };
        assert_eq!(
            news(Some(&before), &now, died()),
            [AgentMessage::Delta(change)]
        );
        assert_eq!(news(Some(&now), &now, Vec::new()), []);
    }
}
