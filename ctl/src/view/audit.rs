//! The audit log: who changed what, and whether the log is whole.

use serde::Serialize;

use super::{Time, job::moment};
use crate::{
    exit::Exit,
    output::{
        Page, View,
        grid::{Grid, plain, toned},
        paint::Tone,
        units,
    },
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    pub sequence: u64,
    pub at: Option<Time>,
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub outcome: String,
    pub detail: String,
    pub hash: String,
}

/// Newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditList {
    pub entries: Vec<AuditEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditVerdict {
    pub whole: bool,
    pub entries: u64,
    pub first_broken_sequence: Option<u64>,
    pub problem: String,
}

impl AuditVerdict {
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.whole {
            Exit::Ok
        } else {
            Exit::NotProven
        }
    }
}

impl View for AuditList {
    fn text(&self, page: &Page) -> String {
        let head = ["NO", "AT", "WHO", "ACTION", "SUBJECT", "OUTCOME", "DETAIL"];
        let mut grid = Grid::new(page, &head, "the audit log is empty").right(&[0]);
        for entry in &self.entries {
            let tone = if entry.outcome == "ok" {
                Tone::Plain
            } else {
                Tone::Bad
            };
            grid.row(vec![
                plain(entry.sequence),
                plain(entry.at.map(moment).unwrap_or_default()),
                plain(&entry.actor),
                toned(Tone::Strong, &entry.action),
                plain(&entry.subject),
                toned(tone, &entry.outcome),
                plain(&entry.detail),
            ]);
        }
        grid.render()
    }
}

impl View for AuditVerdict {
    fn text(&self, page: &Page) -> String {
        match self.first_broken_sequence {
            _ if self.whole => format!(
                "{}: {}, every hash follows from the one before\n",
                page.paint.tone(Tone::Good, "the audit log is whole"),
                units::plural(self.entries, "entry").replace("entrys", "entries")
            ),
            Some(sequence) => format!(
                "{} at entry {sequence}: {}\n",
                page.paint
                    .tone(Tone::Bad, "the audit log was tampered with"),
                self.problem
            ),
            None => format!(
                "{}: {}\n",
                page.paint.tone(Tone::Bad, "the audit log does not verify"),
                self.problem
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        exit::Exit,
        output::{View as _, testing::page},
        view::samples,
    };

    #[test]
    fn a_list_tells_who_did_what() {
        assert_eq!(
            samples::audit_list().text(&page()),
            "NO  AT                       WHO             ACTION       SUBJECT  OUTCOME  DETAIL\n \
             8  2026-11-20 11:59:00 UTC  10.0.0.7:51234  tls.refused           refused  certificate is revoked\n \
             7  2026-11-20 11:58:00 UTC  operator/alice  host.enrol   web-3    ok\n"
        );
    }

    #[test]
    fn a_broken_chain_is_said_and_coded() {
        let mut verdict = samples::audit_verdict();
        assert_eq!(verdict.exit(), Exit::NotProven);
        assert_eq!(
            verdict.text(&page()),
            "the audit log was tampered with at entry 5: hash does not match\n"
        );
        verdict.whole = true;
        verdict.first_broken_sequence = None;
        assert_eq!(
            verdict.text(&page()),
            "the audit log is whole: 8 entries, every hash follows from the one before\n"
        );
        assert_eq!(verdict.exit(), Exit::Ok);
    }
}
