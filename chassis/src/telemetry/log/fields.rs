//! The fields of an event or span, in the order they were given.

use std::{error::Error, fmt};

use serde_json::Value;
use tracing::field::{Field, Visit};

use crate::telemetry::Chain;

const MESSAGE: &str = "message";
const LOG_TARGET: &str = "log.target";

#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    pub(super) fn message(&self) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| *name == MESSAGE)
            .and_then(|(_, value)| value.as_str())
    }

    /// All but the message and what only serves traces or the bridge from `log`.
    pub(super) fn others(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0
            .iter()
            .filter(|(name, _)| {
                *name != MESSAGE && !name.starts_with("otel.") && !name.starts_with("log.")
            })
            .map(|(name, value)| (*name, value))
    }

    pub(super) fn take_log_target(&mut self) -> Option<String> {
        let place = self.0.iter().position(|(name, _)| *name == LOG_TARGET)?;
        match self.0.remove(place) {
            (_, Value::String(target)) => Some(target),
            _ => None,
        }
    }

    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    /// With all its causes.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, Chain(value).to_string().into());
    }
}
