//! Calendar periods in a time zone: what makes two backups be of one day, week or month.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDateTime, Offset, Timelike, Utc};
use chrono_tz::Tz;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    Hour,
    Day,
    /// From Monday (ISO 8601).
    Week,
    Month,
    Year,
}

/// Names one period: equal for two moments of the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    text: String,
    /// Tells the two hours of the night in which clocks go back.
    offset_seconds: i32,
}

impl Period {
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// As the rule is called.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The period that the moment is in, by the clocks on the walls there.
    #[must_use]
    pub fn label(self, at: DateTime<Utc>, zone: Tz) -> Label {
        let there = at.with_timezone(&zone);
        let local = there.naive_local();
        Label {
            text: self.text(local),
            offset_seconds: match self {
                Self::Hour => there.offset().fix().local_minus_utc(),
                Self::Day | Self::Week | Self::Month | Self::Year => 0,
            },
        }
    }

    fn text(self, local: NaiveDateTime) -> String {
        let date = local.date();
        match self {
            Self::Hour => format!("{date} {:02}h", local.hour()),
            Self::Day => date.to_string(),
            Self::Week => {
                let week = date.iso_week();
                format!("{}-W{:02}", week.year(), week.week())
            }
            Self::Month => format!("{}-{:02}", date.year(), date.month()),
            Self::Year => date.year().to_string(),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: Tz = chrono_tz::Europe::Berlin;

    fn label(period: Period, at: &str, zone: Tz) -> Label {
        period.label(at.parse().unwrap(), zone)
    }

    #[test]
    fn a_day_begins_at_midnight_of_its_zone() {
        let before = label(Period::Day, "2026-07-01T21:59:59Z", BERLIN);
        let after = label(Period::Day, "2026-07-01T22:00:00Z", BERLIN);
        assert_eq!(
            [before.to_string(), after.to_string()],
            ["2026-07-01", "2026-07-02"]
        );
        // In winter it begins an hour later.
        let winter = label(Period::Day, "2026-12-01T22:30:00Z", BERLIN);
        assert_eq!(winter.to_string(), "2026-12-01");
    }

    #[test]
    fn a_week_is_of_the_year_that_has_its_thursday() {
        let week = |at| label(Period::Week, at, Tz::UTC).to_string();
        assert_eq!(week("2026-12-31T12:00:00Z"), "2026-W53");
        assert_eq!(week("2027-01-03T23:59:59Z"), "2026-W53");
        assert_eq!(week("2027-01-04T00:00:00Z"), "2027-W01");
    }

    #[test]
    fn the_hour_that_comes_twice_is_two_hours_and_one_day() {
        let (first, second) = ("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z");
        let hours = [first, second].map(|at| label(Period::Hour, at, BERLIN));
        assert_eq!(hours[0].to_string(), hours[1].to_string());
        assert_ne!(hours[0], hours[1]);
        let days = [first, second].map(|at| label(Period::Day, at, BERLIN));
        assert_eq!(days[0], days[1]);
    }

    #[test]
    fn months_and_years_turn_with_the_zone() {
        let at = "2026-12-31T23:30:00Z";
        assert_eq!(label(Period::Month, at, BERLIN).to_string(), "2027-01");
        assert_eq!(label(Period::Year, at, BERLIN).to_string(), "2027");
        assert_eq!(label(Period::Year, at, Tz::UTC).to_string(), "2026");
    }
}
