//! `job-stuck`: the undo of a job failed; what it left half done is still there.

use super::{Detector, Facts, Kind, Seen, Severity, kind};
use crate::job::JobState;

const KIND: Kind = kind!("HF0601", "job-stuck");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(moment.facts),
};

pub fn look(facts: &Facts) -> Vec<Seen> {
    let jobs = facts.jobs.iter();
    jobs.filter(|job| job.state == JobState::Stuck)
        .map(|job| Seen {
            kind: KIND,
            evidence: vec![],
            key: job.id.to_string(),
            severity: Severity::Critical,
            subject: format!("job {}", job.id),
            message: format!("job {} ({}) is stuck: {}", job.id, job.title, job.reason),
            advice: format!(
                "`ctl job show {0}` tells what is left; `ctl job undo {0}` tries again",
                job.id
            ),
        })
        .collect()
}
