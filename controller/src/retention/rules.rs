//! The rules of a policy, and which backups each of them keeps.

use std::{collections::HashSet, fmt, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{Facts, Period, Reason};
use crate::catalog::BackupId;

/// How many of what are kept; 0 of everything: nothing is ever removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    pub last: u32,
    pub hourly: u32,
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
    pub yearly: u32,
    /// All of this time before the newest good one.
    #[serde(default, with = "humantime_span")]
    pub within: Option<Duration>,
    /// Where days, weeks, months and years begin.
    pub zone: Tz,
}

impl Rules {
    /// Rules that let nothing go.
    #[must_use]
    pub fn none(zone: Tz) -> Self {
        Self {
            last: 0,
            hourly: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            yearly: 0,
            within: None,
            zone,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::none(self.zone)
    }

    fn number(&self, period: Period) -> u32 {
        match period {
            Period::Hour => self.hourly,
            Period::Day => self.daily,
            Period::Week => self.weekly,
            Period::Month => self.monthly,
            Period::Year => self.yearly,
        }
    }
}

/// 7 days, 4 weeks, 12 months, in UTC.
impl Default for Rules {
    fn default() -> Self {
        Self {
            daily: 7,
            weekly: 4,
            monthly: 12,
            ..Self::none(Tz::UTC)
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.last > 0 {
            parts.push(format!("last {}", self.last));
        }
        for period in Period::ALL {
            match self.number(period) {
                0 => {}
                number => parts.push(format!("{} {number}", period.rule())),
            }
        }
        if let Some(within) = self.within {
            parts.push(format!("within {}", humantime::format_duration(within)));
        }
        match parts.split_last() {
            None => f.write_str("no rule"),
            Some((only, [])) => f.write_str(only),
            Some((last, others)) => write!(f, "{} and {last}", others.join(", ")),
        }
    }
}

/// What each rule keeps of good backups, given newest first.
pub(super) fn kept(newest_first: &[&Facts], rules: &Rules) -> Vec<(BackupId, Reason)> {
    let mut kept = Vec::new();
    for (place, facts) in (1..=rules.last).zip(newest_first) {
        let of = rules.last;
        kept.push((facts.backup, Reason::Last { place, of }));
    }
    for period in Period::ALL {
        kept.extend(newest_of_each(newest_first, rules, period));
    }
    if let (Some(within), Some(newest)) = (rules.within, newest_first.first()) {
        let since = before(newest.taken_at, within);
        let rule = humantime::format_duration(within).to_string();
        let young = newest_first.iter().filter(|facts| facts.taken_at >= since);
        kept.extend(young.map(|facts| (facts.backup, Reason::Within { rule: rule.clone() })));
    }
    kept
}

fn newest_of_each(
    newest_first: &[&Facts],
    rules: &Rules,
    period: Period,
) -> Vec<(BackupId, Reason)> {
    let (mut seen, of) = (HashSet::new(), rules.number(period));
    let newest = newest_first.iter().filter_map(|facts| {
        let label = period.label(facts.taken_at, rules.zone);
        let of_period = label.to_string();
        seen.insert(label).then_some((facts.backup, of_period))
    });
    (1..=of)
        .zip(newest)
        .map(|(place, (backup, of_period))| {
            let reason = Reason::Newest {
                period,
                of_period,
                place,
                of,
            };
            (backup, reason)
        })
        .collect()
}

/// A span that reaches before all times keeps everything.
fn before(moment: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    let span = TimeDelta::from_std(span).ok();
    span.and_then(|span| moment.checked_sub_signed(span))
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

mod humantime_span {
    //! As text: "14days".

    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => to.collect_str(&humantime::format_duration(*span)),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text: Option<String> = Deserialize::deserialize(from)?;
        let parse = |text: String| humantime::parse_duration(&text).map_err(D::Error::custom);
        text.map(parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_in_one_line() {
        assert_eq!(
            Rules::default().to_string(),
            "daily 7, weekly 4 and monthly 12"
        );
        let last = Rules {
            last: 3,
            ..Rules::none(Tz::UTC)
        };
        assert_eq!(last.to_string(), "last 3");
        let within = Rules {
            within: Some(Duration::from_hours(336)),
            ..last
        };
        assert_eq!(within.to_string(), "last 3 and within 14days");
        assert_eq!(Rules::none(Tz::UTC).to_string(), "no rule");
    }

    #[test]
    fn rules_come_back_from_the_catalog() {
        let rules = Rules {
            within: Some(Duration::from_hours(336)),
            zone: chrono_tz::Europe::Berlin,
            ..Rules::default()
        };
        let stored = serde_json::to_value(&rules).unwrap();
        assert_eq!(stored["zone"], "Europe/Berlin");
        assert_eq!(stored["within"], "14days");
        assert_eq!(serde_json::from_value::<Rules>(stored).unwrap(), rules);
    }
}
