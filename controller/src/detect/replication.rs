//! `replication-stopped`: a MariaDB or MySQL that replicates from another does not, or lags far behind.

use holdfast_proto::fleet::ReplicationSource;

use super::{Detector, Evidence, Facts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0205", "replication-stopped");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

const LAG_SECONDS: u64 = 600;

fn look(facts: &Facts) -> Vec<Seen> {
    let servers = facts.healthy().filter_map(|(_, subject, health)| {
        let sources = &health.mariadb.as_ref()?.sources;
        Some((subject, sources))
    });
    servers
        .flat_map(|(subject, sources)| {
            let seen = sources.iter().filter_map(|source| judge(&subject, source));
            seen.collect::<Vec<_>>()
        })
        .collect()
}

fn judge(subject: &str, source: &ReplicationSource) -> Option<Seen> {
    let lags = source.lag_seconds.is_some_and(|lag| lag >= LAG_SECONDS);
    let (severity, what) = match (source.receiving, source.applying) {
        (true, true) if lags => (Severity::Warning, "lags ten minutes or more behind"),
        (true, true) => return None,
        (false, _) => (Severity::Critical, "fetches nothing any more from"),
        (true, false) => (Severity::Critical, "applies nothing any more of"),
    };
    let mut evidence = Vec::new();
    if !source.last_error.is_empty() {
        evidence.push(Evidence::new("last error", &source.last_error));
    }
    Some(Seen {
        kind: KIND,
        key: format!("{subject}:{}", source.name),
        severity,
        message: format!("{subject} {what} {}", source.address),
        evidence,
        advice:
            "SHOW REPLICA STATUS on that server says why; with the cause removed: START REPLICA"
                .to_owned(),
        subject: subject.to_owned(),
    })
}
