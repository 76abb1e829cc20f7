//! `data-damaged`: the files of a server that does not answer are damaged (incident 2), or do not let it start.

use holdfast_proto::{
    names::InstanceName,
    task::{DataEvidence, DataTriage, DataVerdict},
};

use super::{Detector, Evidence, Facts, Kind, Seen, Severity, kind};

const KIND: Kind = kind!("HF0110", "data-damaged");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

/// What the agent is certain of in the files of a server that is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triaged {
    pub instance: InstanceName,
    pub found: DataTriage,
}

fn look(facts: &Facts) -> Vec<Seen> {
    facts.triages.iter().filter_map(tell).collect()
}

fn tell(triaged: &Triaged) -> Option<Seen> {
    let (subject, found) = (triaged.instance.to_string(), &triaged.found);
    let first = decisive(found).map_or("nobody can tell what", |one| one.what.as_str());
    let (severity, message) = match found.verdict {
        DataVerdict::Sound | DataVerdict::NeedsRecovery => return None,
        DataVerdict::Unknown => (
            Severity::Warning,
            format!("whether the data of {subject} are whole is not known: {first}"),
        ),
        DataVerdict::IndexBroken => (
            Severity::Critical,
            format!(
                "the data of {subject} are damaged, and nothing is lost: {first}; it can be built anew"
            ),
        ),
        DataVerdict::WalDamaged | DataVerdict::DataLost => (
            Severity::Critical,
            format!("the data of {subject} are damaged: {first}"),
        ),
    };
    let mut evidence = vec![
        Evidence::new("data directory", &found.path),
        Evidence::new("verdict", found.verdict.name()),
    ];
    evidence.extend(
        found
            .evidence
            .iter()
            .map(|one| Evidence::new(&one.code, &one.what)),
    );
    let mut advice = format!("ctl instance triage {subject}");
    if !found.next.is_empty() {
        advice = format!("{advice}; then: {}", found.next);
    }
    Some(Seen {
        kind: KIND,
        key: subject.clone(),
        severity,
        message,
        evidence,
        advice,
        subject,
    })
}

/// Of what is worst: what lies there says more than a line of the log, which has another time each time.
fn decisive(found: &DataTriage) -> Option<&DataEvidence> {
    let worst = || {
        let evidence = found.evidence.iter();
        evidence.filter(|one| one.verdict == found.verdict)
    };
    let mut seen = worst().filter(|one| !one.what.starts_with("the server said: "));
    seen.next().or_else(|| worst().next())
}
