//! One session from its hello to its end: what the agent says goes where it belongs.

use std::{sync::Arc, time::Duration};

use holdfast_chassis::tls::PeerInfo;
use holdfast_proto::{
    check::CheckOutcome,
    guard::GuardRefusal,
    link::{AgentMessage, ControllerMessage},
    names::HostName,
    wire::SessionRequest,
};
use tokio::sync::mpsc;
use tonic::Streaming;

use super::LinkService;
use crate::{
    catalog::Catalog,
    check::{RecordError, record},
    dispatch::sessions::{EndReason, Session},
    fleet::Fleet,
};

/// Intervals without a word after which an agent counts as gone.
const SILENT_AFTER: u32 = 3;
/// Check reports that wait to be stored; more are dropped, the next run says more than they would.
const REPORTS: usize = 64;
/// The same for what its guard has refused.
const REFUSALS: usize = 2;

/// Runs until the session is over, whoever ends it, and marks the host as away then.
pub async fn run(
    service: LinkService,
    peer: PeerInfo,
    session: Arc<Session>,
    mut inbound: Streaming<SessionRequest>,
) {
    let (reports, stored) = mpsc::channel(REPORTS);
    let host = session.host().clone();
    tokio::spawn(keep_reports(
        service.catalog.clone(),
        service.fleet.clone(),
        host.clone(),
        stored,
    ));
    let (refusals, waiting) = mpsc::channel(REFUSALS);
    let (catalog, told) = (service.catalog.clone(), Arc::clone(&session));
    tokio::spawn(keep_refusals(catalog, told, waiting));
    let silence = service.heartbeat_interval * SILENT_AFTER;
    let heard = Heard {
        service: &service,
        session: &session,
        reports,
        refusals,
    };
    let reason = tokio::select! {
        biased;
        reason = session.ended() => reason,
        () = service.stop.cancelled() => EndReason::Shutdown,
        refused = service.registrar.until_not_admitted(&peer) => {
            tracing::info!(%host, %refused, "an agent is not let in any more");
            EndReason::Revoked
        }
        reason = heard.listen(&mut inbound, silence) => reason,
    };
    session.end(reason);
    let away = || service.fleet.disconnected(&host);
    service.sessions.detach(&session, away);
    tracing::info!(%host, %reason, "session over");
}

/// Where the words of an agent go.
struct Heard<'a> {
    service: &'a LinkService,
    session: &'a Session,
    reports: mpsc::Sender<(u64, CheckOutcome)>,
    refusals: mpsc::Sender<Vec<GuardRefusal>>,
}

impl Heard<'_> {
    async fn listen(
        &self,
        inbound: &mut Streaming<SessionRequest>,
        silence: Duration,
    ) -> EndReason {
        let host = self.session.host();
        loop {
            let message = match tokio::time::timeout(silence, inbound.message()).await {
                Err(_) => return EndReason::Silent,
                Ok(Ok(None)) => return EndReason::Lost,
                Ok(Err(status)) => {
                    tracing::debug!(%host, %status, "the session broke");
                    return EndReason::Lost;
                }
                Ok(Ok(Some(message))) => message,
            };
            match AgentMessage::try_from(message) {
                Ok(AgentMessage::Hello(_)) => {
                    tracing::warn!(%host, "the agent said hello in the middle of a session");
                    return EndReason::Nonsense;
                }
                Ok(message) => self.take(message),
                Err(error) => {
                    tracing::warn!(%host, %error, "the agent said what makes no sense");
                    return EndReason::Nonsense;
                }
            }
        }
    }

    fn take(&self, message: AgentMessage) {
        let (fleet, host) = (&self.service.fleet, self.session.host());
        let now = self.service.clock.now();
        match message {
            AgentMessage::Hello(_) => {}
            AgentMessage::Snapshot(snapshot) => fleet.snapshot(host, snapshot, now),
            AgentMessage::Delta(delta) => fleet.delta(host, delta, now),
            AgentMessage::Heartbeat {
                sequence,
                at,
                rss_bytes,
            } => {
                fleet.heartbeat(host, at, rss_bytes, now);
                let ack = ControllerMessage::HeartbeatAck { sequence };
                self.session.push(ack);
            }
            AgentMessage::Task {
                task_id,
                epoch,
                event,
            } => {
                let sessions = &self.service.sessions;
                sessions.event(self.session, &task_id, epoch, event);
            }
            AgentMessage::Check { check_id, outcome } => {
                if self.reports.try_send((check_id, outcome)).is_err() {
                    tracing::warn!(%host, check_id, "a check report was dropped: the catalog is slow");
                }
            }
            // Told again until it is stored: what finds no room now comes once more.
            AgentMessage::GuardRefused(refused) => drop(self.refusals.try_send(refused)),
            AgentMessage::Refused(refused) => self.service.registrar.peer_refused(host, &refused),
        }
    }
}

/// Beside the session, so that a slow catalog does not make an agent look silent. What was counted is looked at at
/// once: a moment later its server may be another one.
async fn keep_reports(
    catalog: Catalog,
    fleet: Fleet,
    host: HostName,
    mut reports: mpsc::Receiver<(u64, CheckOutcome)>,
) {
    while let Some((id, outcome)) = reports.recv().await {
        if let Err(error) = record(&catalog, &host, id, outcome).await {
            let is_theirs = matches!(error, RecordError::NotTheirs { .. } | RecordError::Empty(_));
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                %host, check_id = id, refused = is_theirs,
                "a check report was not stored"
            );
        }
        fleet.ring();
    }
}

/// Beside the session as well. The agent hears what is stored, and tells the rest again.
async fn keep_refusals(
    catalog: Catalog,
    session: Arc<Session>,
    mut waiting: mpsc::Receiver<Vec<GuardRefusal>>,
) {
    let host = session.host();
    while let Some(refusals) = waiting.recv().await {
        match catalog.add_guard_refusals(host, &refusals).await {
            Ok(()) => {
                if let Some(last) = refusals.last() {
                    session.push(ControllerMessage::RefusalsStored { until: last.at });
                }
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                %host,
                "what a guard has refused was not stored"
            ),
        }
    }
}
