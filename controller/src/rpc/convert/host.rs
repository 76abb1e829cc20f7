//! Hosts, to the wire.

use chrono::{DateTime, Utc};
use holdfast_proto::wire;

use super::time;
use crate::fleet::HostState;

pub fn host_row(state: &HostState, certificate_expires_at: Option<DateTime<Utc>>) -> wire::Host {
    let HostState {
        name,
        connected,
        enrolled_at,
        last_seen,
        reported_at: _,
        facts,
        agent_rss_bytes,
        clock_ahead: _,
        report,
        recent: _,
    } = state;
    let facts = facts.as_ref();
    let text = |of: fn(&crate::fleet::HostFacts) -> &String| facts.map(of).cloned();
    wire::Host {
        name: name.to_string(),
        connected: *connected,
        enrolled_at: enrolled_at.and_then(time),
        last_seen_at: last_seen.and_then(time),
        agent_version: text(|f| &f.agent_version).unwrap_or_default(),
        operating_system: text(|f| &f.operating_system).unwrap_or_default(),
        container_engine: report.container_engine.clone(),
        engine_error: report.engine_error.clone(),
        cpus: facts.map_or(0, |f| f.cpus),
        memory_bytes: facts.map_or(0, |f| f.memory_bytes),
        agent_rss_bytes: *agent_rss_bytes,
        certificate_expires_at: certificate_expires_at.and_then(time),
        peer_addresses: facts.map_or_else(Vec::new, |f| f.peer_addresses.clone()),
    }
}
