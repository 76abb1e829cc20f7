//! Lines of the audit log, to the wire.

use holdfast_proto::wire;

use super::time;
use crate::audit::{Entry, NewEntry};

impl From<Entry> for wire::AuditEntry {
    fn from(entry: Entry) -> Self {
        let Entry {
            sequence,
            content,
            previous: _,
            hash,
        } = entry;
        let NewEntry {
            at,
            actor,
            action,
            subject,
            outcome,
            detail,
        } = content;
        Self {
            sequence,
            at: time(at),
            actor,
            action,
            subject,
            outcome: outcome.as_str().to_owned(),
            detail,
            hash: hash.to_string(),
        }
    }
}
