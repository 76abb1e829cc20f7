//! What is after a deployment as it was before, and what is not.

use holdfast_proto::check::CheckVerdict;

use super::{DeployedCount, DeployedData, DeployedVolume, Deployment};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Same,
    /// Worth a look; nothing is wrong.
    New,
    CouldNotCheck,
    Wrong,
}

/// One thing that must be as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// "web-1 db /var/lib/postgresql/data", "web-1/shop-db/shop users".
    pub subject: String,
    pub verdict: Verdict,
    pub message: String,
}

/// Every volume, server and count of either moment has its line. Whether a count is right was judged by its
/// limits when it was asked for.
#[must_use]
pub fn compare(before: &Deployment, now: &Deployment) -> Vec<Line> {
    let mut lines: Vec<Line> = before
        .volumes
        .iter()
        .map(|was| volume(was, &now.volumes))
        .collect();
    let is_new =
        |volume: &&DeployedVolume| !before.volumes.iter().any(|was| same_place(was, volume));
    lines.extend(now.volumes.iter().filter(is_new).map(|volume| Line {
        subject: place(volume),
        verdict: Verdict::New,
        message: format!("{}, not there before", volume.name),
    }));
    lines.extend(before.data.iter().map(|was| data(was, &now.data)));
    let gone = |was: &&DeployedCount| !now.counts.iter().any(|is| same_check(was, is));
    lines.extend(before.counts.iter().filter(gone).map(|was| Line {
        subject: format!("{} {}", was.database, was.check),
        verdict: Verdict::CouldNotCheck,
        message: "its database is not reported, or the check was taken away".to_owned(),
    }));
    lines.extend(now.counts.iter().map(|is| {
        let was = before.counts.iter().find(|was| same_check(was, is));
        count(was, is)
    }));
    lines
}

fn same_place(one: &DeployedVolume, other: &DeployedVolume) -> bool {
    (&one.host, &one.service, &one.path) == (&other.host, &other.service, &other.path)
}

fn same_check(one: &DeployedCount, other: &DeployedCount) -> bool {
    (&one.database, &one.check) == (&other.database, &other.check)
}

fn place(volume: &DeployedVolume) -> String {
    format!("{} {} {}", volume.host, volume.service, volume.path)
}

fn volume(was: &DeployedVolume, now: &[DeployedVolume]) -> Line {
    let here: Vec<_> = now.iter().filter(|is| same_place(was, is)).collect();
    let named = here.iter().find(|is| is.name == was.name);
    let anew = named.and_then(|is| match (was.created_at, is.created_at) {
        (Some(then), Some(made)) if then != made => Some(made),
        _ => None,
    });
    let (verdict, message) = match (named, anew, here.first()) {
        (Some(_), None, _) => (Verdict::Same, was.name.clone()),
        (Some(_), Some(made), _) => (
            Verdict::Wrong,
            format!(
                "{} was made anew at {}: what was in it is gone",
                was.name,
                made.format("%F %H:%M:%S UTC")
            ),
        ),
        (None, _, Some(is)) => (
            Verdict::Wrong,
            format!("was {}, is {}: another volume", was.name, is.name),
        ),
        (None, _, None) => (
            Verdict::Wrong,
            format!("was {}, and nothing is mounted there any more", was.name),
        ),
    };
    Line {
        subject: place(was),
        verdict,
        message,
    }
}

fn data(was: &DeployedData, now: &[DeployedData]) -> Line {
    let is = now.iter().find(|is| is.instance == was.instance);
    let told = |text: &str| !text.is_empty();
    let (verdict, message) = match is {
        None => (
            Verdict::Wrong,
            "the server is not there any more".to_owned(),
        ),
        Some(is) if !told(&is.system_identifier) => (
            Verdict::CouldNotCheck,
            "the server does not answer".to_owned(),
        ),
        Some(_) if !told(&was.system_identifier) => (
            Verdict::CouldNotCheck,
            "the server did not answer before: which data it had is not known".to_owned(),
        ),
        Some(is) if is.system_identifier != was.system_identifier => (
            Verdict::Wrong,
            format!(
                "was {}, is {}: other data",
                was.system_identifier, is.system_identifier
            ),
        ),
        Some(_) => (Verdict::Same, "the same data".to_owned()),
    };
    Line {
        subject: was.instance.to_string(),
        verdict,
        message,
    }
}

fn count(was: Option<&DeployedCount>, is: &DeployedCount) -> Line {
    let number = |count: Option<i64>| count.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
    let change = match was {
        Some(was) => format!(
            "{} → {}",
            number(was.outcome.count),
            number(is.outcome.count)
        ),
        None => number(is.outcome.count),
    };
    let (verdict, message) = match is.verdict {
        CheckVerdict::Ok => (Verdict::Same, change),
        CheckVerdict::Suspicious => (
            Verdict::Wrong,
            format!("{change}: {}", is.reasons.join("; ")),
        ),
        CheckVerdict::CouldNotRun => (Verdict::CouldNotCheck, is.reasons.join("; ")),
    };
    Line {
        subject: format!("{} {}", is.database, is.check),
        verdict,
        message,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use holdfast_proto::check::CheckOutcome;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn shop() -> Deployment {
        let outcome = CheckOutcome {
            at: at("2026-11-20T06:00:00Z"),
            count: Some(14),
            newest: None,
            error: String::new(),
        };
        Deployment {
            project: "shop".to_owned(),
            host: None,
            at: at("2026-11-20T06:00:00Z"),
            volumes: vec![DeployedVolume {
                host: "web-1".parse().unwrap(),
                service: "db".to_owned(),
                path: "/data".to_owned(),
                name: "shop_data".to_owned(),
                created_at: Some(at("2026-01-01T00:00:00Z")),
            }],
            data: vec![DeployedData {
                instance: "web-1/shop-db".parse().unwrap(),
                system_identifier: "71".to_owned(),
            }],
            counts: vec![DeployedCount {
                database: "web-1/shop-db/shop".parse().unwrap(),
                check: "users".to_owned(),
                outcome,
                verdict: CheckVerdict::Ok,
                reasons: vec![],
            }],
        }
    }

    fn after(change: impl Fn(&mut Deployment)) -> Vec<(Verdict, String)> {
        let mut now = shop();
        change(&mut now);
        let lines = compare(&shop(), &now);
        lines
            .into_iter()
            .map(|line| (line.verdict, line.message))
            .collect()
    }

    #[test]
    fn nothing_changed_is_all_the_same() {
        let lines = after(|_| ());
        assert!(lines.iter().all(|(verdict, _)| *verdict == Verdict::Same));
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2].1, "14 → 14");
    }

    #[test]
    fn another_volume_the_same_name_made_anew_and_none_at_all_are_wrong() {
        let lines = after(|now| now.volumes[0].name = "manual_data".to_owned());
        let said = "was shop_data, is manual_data: another volume";
        assert_eq!(lines[0], (Verdict::Wrong, said.to_owned()));
        let lines = after(|now| now.volumes[0].created_at = Some(at("2026-11-20T06:05:00Z")));
        assert_eq!(lines[0].0, Verdict::Wrong);
        assert!(lines[0].1.contains("made anew at 2026-11-20 06:05:00 UTC"));
        let lines = after(|now| now.volumes.clear());
        assert_eq!(lines[0].0, Verdict::Wrong);
        // Nobody tells when a directory was made.
        let lines = after(|now| now.volumes[0].created_at = None);
        assert_eq!(lines[0].0, Verdict::Same);
        let lines = after(|now| {
            let mut more = now.volumes[0].clone();
            more.path = "/uploads".to_owned();
            now.volumes.push(more);
        });
        assert_eq!((lines[0].0, lines[1].0), (Verdict::Same, Verdict::New));
    }

    #[test]
    fn other_data_is_wrong_and_a_silent_server_is_not_good() {
        let lines = after(|now| now.data[0].system_identifier = "72".to_owned());
        assert_eq!(
            lines[1],
            (Verdict::Wrong, "was 71, is 72: other data".to_owned())
        );
        let lines = after(|now| now.data[0].system_identifier.clear());
        assert_eq!(lines[1].0, Verdict::CouldNotCheck);
        let lines = after(|now| now.data.clear());
        assert_eq!(lines[1].0, Verdict::Wrong);
    }

    #[test]
    fn a_count_outside_its_limits_is_wrong_and_one_that_is_not_known_is_not_good() {
        let lines = after(|now| {
            now.counts[0].outcome.count = Some(1);
            now.counts[0].verdict = CheckVerdict::Suspicious;
            now.counts[0].reasons = vec!["1 is below the minimum of 10".to_owned()];
        });
        let said = "14 → 1: 1 is below the minimum of 10";
        assert_eq!(lines[2], (Verdict::Wrong, said.to_owned()));
        let lines = after(|now| now.counts[0].verdict = CheckVerdict::CouldNotRun);
        assert_eq!(lines[2].0, Verdict::CouldNotCheck);
        let lines = after(|now| now.counts.clear());
        assert_eq!(lines[2].0, Verdict::CouldNotCheck);
    }
}
