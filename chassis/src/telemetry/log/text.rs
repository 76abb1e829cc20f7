//! A line for people: `time LEVEL target: message key=value span{key=value} trace_id=…`.

use std::fmt::Write as _;

use chrono::SecondsFormat;
use serde_json::Value;
use tracing::Level;

use super::Line;

pub(super) fn line(line: &Line<'_>, colour: bool) -> String {
    let mut text = String::with_capacity(160);
    let at = line.at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let (on, off) = if colour {
        (level_colour(line.level), "\u{1b}[0m")
    } else {
        ("", "")
    };
    // Writing into a String cannot fail.
    let _ = write!(text, "{at} {on}{:<5}{off} {}:", line.level, line.target);
    if let Some(message) = line.fields.message() {
        text.push(' ');
        text.push_str(&escaped(message));
    }
    for (name, value) in line.fields.others() {
        let _ = write!(text, " {name}={}", shown(value));
    }
    for (name, fields) in &line.spans {
        let fields: Vec<_> = fields
            .others()
            .map(|(name, value)| format!("{name}={}", shown(value)))
            .collect();
        let _ = write!(text, " {name}{{{}}}", fields.join(" "));
    }
    if let Some(trace_id) = &line.trace_id {
        let _ = write!(text, " trace_id={trace_id}");
    }
    text.push('\n');
    text
}

fn level_colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG => "\u{1b}[34m",
        Level::TRACE => "\u{1b}[35m",
    }
}

/// A word as it is, anything else in quotes.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if is_word(text) => text.clone(),
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| !c.is_whitespace() && !c.is_control() && c != '"')
}

/// Names and messages of others must not move the cursor or begin a line that looks like ours.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            safe.extend(c.escape_debug());
        } else {
            safe.push(c);
        }
    }
    safe
}
