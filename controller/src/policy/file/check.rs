//! User-count checks that a policy gives to every database that it covers.

use std::time::Duration;

use holdfast_proto::check::CheckLimits;

use super::{fields::Fields, mistake::Mistakes};
use crate::policy::PolicyCheck;

const EVERY: Duration = Duration::from_mins(5);
const TIMEOUT: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_secs(5);

pub fn checks(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Vec<PolicyCheck> {
    let mut checks: Vec<PolicyCheck> = Vec::new();
    for fields in fields.list(mistakes) {
        let Some(check) = check(&fields, mistakes) else {
            continue;
        };
        if checks.iter().any(|other| other.name == check.name) {
            let said = format!("a check {:?} is there already", check.name);
            mistakes.add(&fields, said, "give it another name");
        }
        checks.push(check);
    }
    checks
}

fn check(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<PolicyCheck> {
    let known = [
        "name", "count", "newest", "min", "max", "max_drop", "max_age", "every", "timeout",
    ];
    let section = fields.section(&known, mistakes)?;
    let name = section
        .required("name", mistakes)
        .and_then(|f| f.text(mistakes));
    let count = section
        .required("count", mistakes)
        .and_then(|f| f.text(mistakes));
    let newest = section.get("newest").and_then(|f| f.text(mistakes));
    let limits = CheckLimits {
        min: section.get("min").and_then(|f| f.whole(mistakes)),
        max: section.get("max").and_then(|f| f.whole(mistakes)),
        max_drop_percent: section.get("max_drop").and_then(|f| f.percent(mistakes)),
        max_age: section.get("max_age").and_then(|f| f.span(mistakes)),
    };
    if limits.max_age.is_some() && newest.is_none() {
        let said = "an age is limited, but no statement asks for the newest row".to_owned();
        mistakes.add(fields, said, "add newest");
    }
    if let (Some(min), Some(max)) = (limits.min, limits.max)
        && min > max
    {
        mistakes.add(
            fields,
            format!("the minimum of {min} is above the maximum of {max}"),
            "",
        );
    }
    let every = section
        .get("every")
        .and_then(|f| f.span(mistakes))
        .unwrap_or(EVERY);
    if every < SHORTEST {
        mistakes.add(fields, "runs too often".to_owned(), "at most every 5s");
    }
    Some(PolicyCheck {
        name: name?,
        count: count?,
        newest: newest.unwrap_or_default(),
        limits,
        every,
        timeout: section
            .get("timeout")
            .and_then(|f| f.span(mistakes))
            .unwrap_or(TIMEOUT),
    })
}
