//! Findings: what detectors saw, worst first.

use serde::Serialize;

use super::Time;
use crate::output::{
    self, View,
    grid::{Grid, plain, toned},
    paint::Tone,
    units,
};

/// Ordered: what is worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Critical,
    Warning,
    Info,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub id: u64,
    pub code: String,
    pub kind: String,
    pub severity: Severity,
    pub subject: String,
    pub message: String,
    pub evidence: Vec<Evidence>,
    pub advice: String,
    pub opened_at: Option<Time>,
    pub closed_at: Option<Time>,
    /// Number of the incident that it belongs to.
    pub incident: Option<u64>,
}

/// One thing that it was told from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    pub what: String,
    pub value: String,
}

/// The page of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    pub code: String,
    pub kind: String,
    /// Markdown.
    pub page: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingList {
    pub findings: Vec<Finding>,
}

impl Severity {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Critical => Tone::Bad,
            Self::Warning => Tone::Warn,
            Self::Info => Tone::Plain,
        }
    }
}

impl FindingList {
    /// Open before closed, then worst first, then newest first.
    #[must_use]
    pub fn sorted(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| {
            (
                finding.closed_at.is_some(),
                finding.severity,
                std::cmp::Reverse(finding.opened_at),
                finding.id,
            )
        });
        Self { findings }
    }
}

impl View for FindingList {
    fn text(&self, page: &output::Page) -> String {
        table(&self.findings, page)
    }
}

impl View for Finding {
    fn text(&self, page: &output::Page) -> String {
        let severity = page.paint.tone(self.severity.tone(), self.severity.word());
        let mut text = format!("{severity} {} {}: {}\n", self.code, self.kind, self.message);
        let since = units::ago(page.now, self.opened_at);
        text.push_str(&match self.closed_at {
            None => format!("open since {since}\n"),
            Some(at) => format!(
                "opened {since}, closed {}\n",
                units::ago(page.now, Some(at))
            ),
        });
        for Evidence { what, value } in &self.evidence {
            text.push_str(&format!("  {what}: {value}\n"));
        }
        if !self.advice.is_empty() {
            text.push_str(&format!("next: {}\n", self.advice));
        }
        text.push_str(&format!("more: ctl finding explain {}\n", self.code));
        if let Some(incident) = self.incident {
            text.push_str(&format!(
                "belongs to incident {incident}: ctl incident show {incident}\n"
            ));
        }
        text
    }
}

impl View for Page {
    fn text(&self, _: &output::Page) -> String {
        self.page.clone()
    }
}

pub(crate) fn table(findings: &[Finding], page: &output::Page) -> String {
    let mut grid = Grid::new(
        page,
        &[
            "ID", "SEVERITY", "CODE", "KIND", "SUBJECT", "WHAT", "SINCE", "NEXT",
        ],
        "no open findings",
    )
    .right(&[0]);
    for finding in findings {
        let since = match finding.closed_at {
            Some(at) => format!("closed {}", units::ago(page.now, Some(at))),
            None => units::ago(page.now, finding.opened_at),
        };
        let tone = if finding.closed_at.is_some() {
            Tone::Dim
        } else {
            finding.severity.tone()
        };
        grid.row(vec![
            plain(finding.id),
            toned(tone, finding.severity.word()),
            plain(&finding.code),
            plain(&finding.kind),
            toned(Tone::Strong, &finding.subject),
            plain(&finding.message),
            plain(since),
            plain(&finding.advice),
        ]);
    }
    grid.render()
}

#[cfg(test)]
mod tests {
    use super::{FindingList, Severity};
    use crate::{
        output::{
            View as _,
            testing::{at, page},
        },
        view::samples,
    };

    #[test]
    fn the_worst_comes_first_with_what_to_do() {
        assert_eq!(
            samples::finding_list().text(&page()),
            "ID  SEVERITY  CODE    KIND          SUBJECT        WHAT               SINCE    NEXT\n\
             \u{20}2  critical  HF0403  disk-filling  web-1/shop-db  disk is 91 % full  3 m ago  ctl volume list web-1\n\
             \u{20}1  warning   HF0401  host-silent   web-2          no sign of life    9 m ago  systemctl status holdfast-agent\n"
        );
    }

    #[test]
    fn one_is_shown_with_what_it_was_told_from_and_where_more_is() {
        assert_eq!(
            samples::finding_list().findings[0].text(&page()),
            "critical HF0403 disk-filling: disk is 91 % full\n\
             open since 3 m ago\n\
             \u{20} since: yesterday\n\
             next: ctl volume list web-1\n\
             more: ctl finding explain HF0403\n"
        );
    }

    #[test]
    fn closed_ones_come_last() {
        let mut findings = samples::finding_list().findings;
        findings[0].closed_at = Some(at("2026-11-20T11:59:00Z"));
        let sorted = FindingList::sorted(findings);
        assert_eq!(sorted.findings[1].severity, Severity::Critical);
        assert!(sorted.text(&page()).contains("closed 1 m ago"));
    }
}
