//! Times, sizes, rates and numbers as people read and type them; `chassis` has those that every process says.

use std::time::Duration;

use chrono::{DateTime, Utc};
pub use holdfast_chassis::units::{count, plural, signed, size};

/// What was typed is no quantity of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{typed:?} is not {wanted}")]
pub struct BadQuantity {
    typed: String,
    wanted: &'static str,
}

/// "3 m ago", "in 2 h"; "never" when unset.
#[must_use]
pub fn ago(now: DateTime<Utc>, then: Option<DateTime<Utc>>) -> String {
    let Some(then) = then else {
        return "never".to_owned();
    };
    let seconds = (now - then).num_seconds();
    let (value, unit) = coarse(seconds.unsigned_abs());
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("{value} {unit} ago"),
        _ => format!("in {value} {unit}"),
    }
}

/// "1 m 20 s", "2 h 5 m", "0.4 s".
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => pair(seconds / 60, "m", seconds % 60, "s"),
        3600..172_800 => pair(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// "85 MiB/s".
#[must_use]
pub fn rate(bytes_per_second: u64) -> String {
    format!("{}/s", size(bytes_per_second))
}

/// "50MB", "50 MiB/s", "1.5G", "800000": decimal without the `i`, binary with it; bytes.
///
/// # Errors
/// Anything else, and zero.
pub fn parse_bandwidth(text: &str) -> Result<u64, BadQuantity> {
    let wrong = || BadQuantity {
        typed: text.to_owned(),
        wanted: "an amount of bytes a second such as 50MB or 8MiB",
    };
    let trimmed = text.trim().trim_end_matches("/s").trim();
    let split = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "ki" | "kib" => 1024.0,
        "mi" | "mib" => 1_048_576.0,
        "gi" | "gib" => 1_073_741_824.0,
        _ => return Err(wrong()),
    };
    let value = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if !(1.0..=1e15).contains(&value) {
        return Err(wrong());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range, just looked"
    )]
    Ok(value as u64)
}

/// "10%" or "10": from 0 to 100.
///
/// # Errors
/// Anything else.
pub fn parse_percent(text: &str) -> Result<f64, BadQuantity> {
    text.trim()
        .trim_end_matches('%')
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|value| (0.0..=100.0).contains(value))
        .ok_or_else(|| BadQuantity {
            typed: text.to_owned(),
            wanted: "a percentage from 0% to 100%",
        })
}

/// "24h", "7d", "1m 30s".
///
/// # Errors
/// Anything else, and zero.
pub fn parse_span(text: &str) -> Result<Duration, BadQuantity> {
    humantime::parse_duration(text.trim())
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| BadQuantity {
            typed: text.to_owned(),
            wanted: "a length of time such as 30s, 5m, 24h or 7d",
        })
}

fn coarse(seconds: u64) -> (u64, &'static str) {
    match seconds {
        0..60 => (seconds, "s"),
        60..3600 => (seconds / 60, "m"),
        3600..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "d"),
    }
}

fn pair(high: u64, high_unit: &str, low: u64, low_unit: &str) -> String {
    if low == 0 {
        format!("{high} {high_unit}")
    } else {
        format!("{high} {high_unit} {low} {low_unit}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ago, parse_bandwidth, parse_percent, parse_span, span};
    use crate::output::testing::at;

    #[test]
    fn times_are_relative() {
        let now = at("2026-11-20T12:00:00Z");
        let of = |text: &str| ago(now, Some(at(text)));
        assert_eq!(of("2026-11-20T12:00:00Z"), "now");
        assert_eq!(of("2026-11-20T11:59:56Z"), "4 s ago");
        assert_eq!(of("2026-11-20T11:57:00Z"), "3 m ago");
        assert_eq!(of("2026-11-19T11:00:00Z"), "25 h ago");
        assert_eq!(of("2026-11-01T12:00:00Z"), "19 d ago");
        assert_eq!(of("2026-11-20T14:00:00Z"), "in 2 h");
        assert_eq!(ago(now, None), "never");
    }

    #[test]
    fn spans_read_well() {
        assert_eq!(span(Duration::from_millis(420)), "0.4 s");
        assert_eq!(span(Duration::from_secs(80)), "1 m 20 s");
        assert_eq!(span(Duration::from_secs(7200)), "2 h");
        assert_eq!(span(Duration::from_secs(200_000)), "2 d 7 h");
    }

    #[test]
    fn what_is_typed_is_understood_or_refused() {
        assert_eq!(parse_bandwidth("50MB"), Ok(50_000_000));
        assert_eq!(parse_bandwidth("8 MiB/s"), Ok(8_388_608));
        assert_eq!(parse_bandwidth("1.5g"), Ok(1_500_000_000));
        assert_eq!(parse_bandwidth("800000"), Ok(800_000));
        for wrong in ["", "fast", "0", "-1", "5XB", "MB", "1e3", "."] {
            assert!(parse_bandwidth(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_percent("10%"), Ok(10.0));
        assert_eq!(parse_percent("0.5"), Ok(0.5));
        for wrong in ["", "%", "101%", "-1", "NaN"] {
            assert!(parse_percent(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_span("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(
            parse_span("soon").map_err(|e| e.to_string()),
            Err("\"soon\" is not a length of time such as 30s, 5m, 24h or 7d".to_owned())
        );
        assert!(parse_span("0s").is_err());
    }
}
