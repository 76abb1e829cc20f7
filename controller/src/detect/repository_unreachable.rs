//! `repository-unreachable`: nothing can be backed up to it, nor restored from it.

use super::{Detector, Evidence, Kind, Ours, Seen, Severity, Unreachable, kind};

const KIND: Kind = kind!("HF0604", "repository-unreachable");
pub const DETECTOR: Detector = Detector {
    kinds: &[KIND],
    look: |moment| look(&moment.facts.ours),
};

fn look(ours: &Ours) -> Vec<Seen> {
    match ours.unreachable.as_slice() {
        // It is their storage.
        [first, rest @ ..] if !rest.is_empty() && rest.len() + 1 >= ours.repositories => {
            vec![all(first, rest.len() + 1)]
        }
        some => some.iter().map(one).collect(),
    }
}

fn all(first: &Unreachable, count: usize) -> Seen {
    Seen {
        kind: KIND,
        key: "all".to_owned(),
        severity: Severity::Critical,
        subject: "the repositories".to_owned(),
        message: format!(
            "none of the {count} repositories can be read since {} UTC: nothing is backed up, nothing can be restored",
            first.since.format("%F %H:%M")
        ),
        evidence: evidence(first),
        advice: format!(
            "see whether their storage is there and its credentials hold, then: ctl repository check {}",
            first.host
        ),
    }
}

fn one(unreachable: &Unreachable) -> Seen {
    let Unreachable { host, since, .. } = unreachable;
    Seen {
        kind: KIND,
        key: host.to_string(),
        severity: Severity::Critical,
        subject: host.to_string(),
        message: format!(
            "the repository of {host} cannot be read since {} UTC: nothing of it is backed up, nothing can be restored",
            since.format("%F %H:%M")
        ),
        evidence: evidence(unreachable),
        advice: format!("see what is there: ctl repository check {host}"),
    }
}

fn evidence(unreachable: &Unreachable) -> Vec<Evidence> {
    vec![
        Evidence::new("where", &unreachable.location),
        Evidence::new("what was said", &unreachable.error),
    ]
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn ours(repositories: usize, unreachable: usize) -> Ours {
        let one = |number: usize| Unreachable {
            host: format!("web-{number}").parse().unwrap(),
            location: format!("s3://backups/web-{number}"),
            since: DateTime::UNIX_EPOCH,
            error: "no answer".to_owned(),
        };
        Ours {
            repositories,
            unreachable: (1..=unreachable).map(one).collect(),
            ..Ours::default()
        }
    }

    fn subjects(ours: &Ours) -> Vec<String> {
        look(ours).into_iter().map(|seen| seen.subject).collect()
    }

    #[test]
    fn each_is_told_or_all_of_them_at_once() {
        assert_eq!(subjects(&ours(3, 0)), [""; 0]);
        assert_eq!(subjects(&ours(3, 2)), ["web-1", "web-2"]);
        assert_eq!(subjects(&ours(3, 3)), ["the repositories"]);
        assert_eq!(subjects(&ours(1, 1)), ["web-1"]);
        let told = &look(&ours(3, 3))[0];
        assert!(
            told.message.starts_with("none of the 3 repositories"),
            "{}",
            told.message
        );
        assert_eq!(told.evidence[1].value, "no answer");
    }
}
