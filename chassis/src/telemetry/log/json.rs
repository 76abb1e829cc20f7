//! A line for machines: one JSON object.

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::{Line, fields::Fields};

pub(super) fn line(line: &Line<'_>) -> String {
    let mut object = json!({
        "at": line.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        "level": line.level.as_str(),
        "target": line.target,
        "message": line.fields.message().unwrap_or_default(),
        "fields": map(line.fields),
    });
    if !line.spans.is_empty() {
        object["spans"] = line.spans.iter().map(span).collect();
    }
    if let Some(trace_id) = &line.trace_id {
        object["trace_id"] = trace_id.as_str().into();
    }
    format!("{object}\n")
}

fn span((name, fields): &(&'static str, Fields)) -> Value {
    let mut object = map(fields);
    object.insert("name".to_owned(), (*name).into());
    Value::Object(object)
}

fn map(fields: &Fields) -> Map<String, Value> {
    fields
        .others()
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}
