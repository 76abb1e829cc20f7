//! The rungs of a rebuild: what those of its parts say of the host. Pure.

use std::time::Duration;

use holdfast_chassis::units;
use holdfast_proto::drill::{DrilledPart, Rung, RungName, RungOutcome};

use super::RebuildHost;
use crate::job::drilling::rungs::{Found, rung, time};

/// What the host's own rungs are: what has no backup, what came back, and how long that took.
#[must_use]
pub fn of_host(
    request: &RebuildHost,
    databases: &[DrilledPart],
    volumes: &[DrilledPart],
    took: Option<Duration>,
    target: Option<Duration>,
    broke_off: &str,
) -> Vec<Rung> {
    let mut rungs = vec![rung(RungName::Covered, covered(request))];
    if !databases.is_empty() {
        rungs.push(rung(RungName::Databases, all(databases, "database")));
    }
    if !volumes.is_empty() {
        rungs.push(rung(RungName::Volumes, all(volumes, "volume")));
    }
    if databases.is_empty() && volumes.is_empty() {
        let nothing = Found::CouldNot("nothing of it has a good backup".to_owned());
        rungs.push(rung(RungName::Databases, nothing));
    }
    let measured = match took {
        Some(took) => time(took, target),
        None => unreached(broke_off),
    };
    rungs.push(rung(RungName::Time, measured));
    rungs
}

fn covered(request: &RebuildHost) -> Found {
    let lost = request.without.iter();
    let lost: Vec<_> = lost
        .map(|one| format!("{}: {}", one.subject, one.why))
        .collect();
    if !lost.is_empty() {
        return Found::Failed(lost);
    }
    let backups = units::plural(request.backups().len() as u64, "backup");
    let names: Vec<_> = request.left_out.iter().map(ToString::to_string).collect();
    Found::Passed(if names.is_empty() {
        backups
    } else {
        format!("{backups}; left out by a policy: {}", names.join(", "))
    })
}

fn all(parts: &[DrilledPart], what: &str) -> Found {
    let told = |part: &DrilledPart| format!("{}: {}", part.subject, part.detail);
    let failed = parts
        .iter()
        .filter(|part| part.outcome == RungOutcome::Failed);
    let failed: Vec<_> = failed.map(told).collect();
    if !failed.is_empty() {
        return Found::Failed(failed);
    }
    let unknown = parts
        .iter()
        .find(|part| part.outcome == RungOutcome::CouldNotRun);
    match unknown {
        Some(part) => Found::CouldNot(told(part)),
        None => Found::Passed(units::plural(parts.len() as u64, what)),
    }
}

fn unreached(broke_off: &str) -> Found {
    Found::CouldNot(match broke_off {
        "" => "the rebuild did not come so far".to_owned(),
        why => why.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use holdfast_proto::drill::Verdict;

    use super::*;
    use crate::job::{drilling::rungs::judge, rebuild_host::Without};

    #[test]
    fn a_rebuild_that_leaves_something_behind_is_not_green() {
        let mut request = RebuildHost {
            source: "web-1".parse().unwrap(),
            host: "web-2".parse().unwrap(),
            servers: vec![],
            volumes: vec![],
            without: vec![],
            left_out: vec!["web-1/db/tmp".parse().unwrap()],
        };
        let part = DrilledPart {
            subject: "web-1/db/shop".to_owned(),
            backup: 1,
            kind: "full".to_owned(),
            taken_at: chrono::DateTime::UNIX_EPOCH,
            snapshot: String::new(),
            bytes: 1,
            outcome: RungOutcome::Passed,
            detail: String::new(),
            server: None,
            rungs: vec![],
            times: holdfast_proto::drill::DrillTimes::default(),
        };
        let minute = Some(Duration::from_secs(60));
        let of = |request: &RebuildHost, parts: &[DrilledPart]| {
            judge(&of_host(request, parts, &[], minute, None, "")).verdict
        };
        let parts = [part.clone()];
        assert_eq!(of(&request, &parts), Verdict::Proven);
        assert_eq!(of(&request, &[]), Verdict::CouldNotRun);
        request.without.push(Without {
            subject: "web-1/db/crm".to_owned(),
            why: "there is no backup of it".to_owned(),
        });
        assert_eq!(of(&request, &parts), Verdict::Incomplete);
        let broken = DrilledPart {
            outcome: RungOutcome::Failed,
            ..part
        };
        assert_eq!(of(&request, &[parts[0].clone(), broken]), Verdict::Damaged);
    }
}
