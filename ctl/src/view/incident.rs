//! Incidents: what belongs together, what happened, how it ended.

use serde::Serialize;

use super::{
    Time,
    finding::{Finding, Severity},
    job::moment,
};
use crate::output::{
    Page, View,
    grid::{Grid, plain, toned},
    paint::Tone,
    units,
};

/// Lines of the timeline that `show` ends with.
const LAST_LINES: usize = 10;

/// Ordered: what needs somebody comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Open,
    /// Nothing is found any more; nobody has closed it.
    Resolved,
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incident {
    pub id: u64,
    pub state: State,
    pub code: String,
    pub kind: String,
    pub severity: Severity,
    pub subject: String,
    pub title: String,
    pub advice: String,
    pub opened_at: Option<Time>,
    pub opened_by: String,
    pub assigned_to: String,
    pub resolved_at: Option<Time>,
    pub closed_at: Option<Time>,
    pub closed_by: String,
    pub cause: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub at: Option<Time>,
    pub kind: String,
    pub by: String,
    pub text: String,
    pub reference: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncidentList {
    pub incidents: Vec<Incident>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncidentDetail {
    pub incident: Incident,
    pub findings: Vec<Finding>,
    pub timeline: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeline {
    pub incident: u64,
    pub timeline: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncidentReport {
    pub incident: u64,
    pub markdown: String,
}

/// What a command made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncidentChanged {
    /// "opened", "noted", "assigned", "closed".
    pub change: &'static str,
    pub incident: Incident,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Closed => "closed",
        }
    }
}

impl Incident {
    fn tone(&self) -> Tone {
        match self.state {
            State::Open => self.severity.tone(),
            State::Resolved => Tone::Good,
            State::Closed => Tone::Dim,
        }
    }

    fn had_by(&self) -> &str {
        if self.assigned_to.is_empty() {
            "nobody"
        } else {
            &self.assigned_to
        }
    }

    /// The command after this one.
    fn next(&self) -> Option<String> {
        let id = self.id;
        match self.state {
            State::Open if self.advice.is_empty() => {
                Some(format!("ctl finding explain {}", self.code))
            }
            State::Open => Some(self.advice.clone()),
            State::Resolved => Some(format!("ctl incident close {id} --cause \"…\"")),
            State::Closed => Some(format!("ctl incident report {id}")),
        }
    }
}

impl IncidentList {
    /// Open before resolved before closed, then worst first, then newest first.
    #[must_use]
    pub fn sorted(mut incidents: Vec<Incident>) -> Self {
        incidents.sort_by_key(|incident| {
            (
                incident.state,
                incident.severity,
                std::cmp::Reverse(incident.opened_at),
                std::cmp::Reverse(incident.id),
            )
        });
        Self { incidents }
    }
}

impl IncidentChanged {
    #[must_use]
    pub fn of(change: &'static str, incident: Incident) -> Self {
        Self { change, incident }
    }
}

impl View for IncidentList {
    fn text(&self, page: &Page) -> String {
        let head = [
            "ID", "STATE", "SEVERITY", "KIND", "SUBJECT", "WHAT", "SINCE", "WHO",
        ];
        let mut grid = Grid::new(page, &head, "no open incidents").right(&[0]);
        for incident in &self.incidents {
            let since = match incident.state {
                State::Open => units::ago(page.now, incident.opened_at),
                State::Resolved => {
                    format!("resolved {}", units::ago(page.now, incident.resolved_at))
                }
                State::Closed => format!("closed {}", units::ago(page.now, incident.closed_at)),
            };
            grid.row(vec![
                plain(incident.id),
                toned(incident.tone(), incident.state.word()),
                plain(incident.severity.word()),
                plain(&incident.kind),
                toned(Tone::Strong, &incident.subject),
                plain(&incident.title),
                plain(since),
                plain(incident.had_by()),
            ]);
        }
        grid.render()
    }
}

impl View for IncidentDetail {
    fn text(&self, page: &Page) -> String {
        let incident = &self.incident;
        let state = page.paint.tone(incident.tone(), incident.state.word());
        let mut text = format!(
            "incident {}, {state}, {}: {}\n",
            incident.id,
            incident.severity.word(),
            incident.title
        );
        let opened = units::ago(page.now, incident.opened_at);
        text.push_str(&match incident.opened_by.as_str() {
            "" => format!("opened {opened}; {} has it\n", incident.had_by()),
            by => format!("opened {opened} by {by}; {} has it\n", incident.had_by()),
        });
        if incident.resolved_at.is_some() {
            let resolved = units::ago(page.now, incident.resolved_at);
            text.push_str(&format!("resolved {resolved}: nothing is found any more\n"));
        }
        if incident.closed_at.is_some() {
            let closed = units::ago(page.now, incident.closed_at);
            text.push_str(&match incident.closed_by.as_str() {
                "" => format!("closed {closed} by itself\n"),
                by => format!("closed {closed} by {by}: {}\n", incident.cause),
            });
        }
        text.push('\n');
        for finding in &self.findings {
            let word = page
                .paint
                .tone(finding.severity.tone(), finding.severity.word());
            let over = match finding.closed_at {
                Some(at) => format!(" (over {})", units::ago(page.now, Some(at))),
                None => String::new(),
            };
            text.push_str(&format!(
                "{word} {} {}: {}{over}\n",
                finding.code, finding.kind, finding.message
            ));
        }
        text.push('\n');
        let skipped = self.timeline.len().saturating_sub(LAST_LINES);
        text.push_str(&lines(&self.timeline[skipped..], page));
        if skipped > 0 {
            text.push_str(&format!(
                "{skipped} more before: ctl incident timeline {}\n",
                incident.id
            ));
        }
        if let Some(next) = incident.next() {
            text.push_str(&format!("next: {next}\n"));
        }
        text
    }
}

impl View for Timeline {
    fn text(&self, page: &Page) -> String {
        lines(&self.timeline, page)
    }
}

impl View for IncidentReport {
    fn text(&self, _: &Page) -> String {
        self.markdown.clone()
    }
}

impl View for IncidentChanged {
    fn text(&self, page: &Page) -> String {
        let incident = &self.incident;
        let done = page.paint.tone(Tone::Good, self.change);
        let mut text = format!("{done}: incident {}, {}\n", incident.id, incident.title);
        match self.change {
            "assigned" => text.push_str(&format!("{} has it\n", incident.had_by())),
            "closed" => text.push_str(&format!("next: ctl incident report {}\n", incident.id)),
            "opened" => text.push_str(&format!("next: ctl incident show {}\n", incident.id)),
            _ => {}
        }
        text
    }
}

fn lines(lines: &[Line], page: &Page) -> String {
    let mut grid = Grid::new(
        page,
        &["WHEN", "WHAT", "", "WHO", "MORE"],
        "nothing happened",
    );
    for line in lines {
        let tone = match line.kind.as_str() {
            "finding" | "reopened" | "refused" => Tone::Bad,
            "over" | "resolved" | "closed" => Tone::Good,
            _ => Tone::Plain,
        };
        let more = match line.reference.split_once(' ') {
            Some((noun, id)) => format!("ctl {noun} show {id}"),
            None => String::new(),
        };
        grid.row(vec![
            plain(line.at.map(moment).unwrap_or_default()),
            toned(tone, &line.kind),
            plain(&line.text),
            plain(&line.by),
            plain(more),
        ]);
    }
    grid.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{output::testing::page, view::samples::incident};

    #[test]
    fn what_needs_somebody_comes_first() {
        let sorted = IncidentList::sorted(incident::list().incidents);
        let states: Vec<_> = sorted.incidents.iter().map(|one| one.state).collect();
        assert_eq!(states, [State::Open, State::Resolved, State::Closed]);
        let text = sorted.text(&page());
        assert!(text.contains("resolved 1 m ago"), "{text}");
        assert!(text.contains("nobody"), "{text}");
    }

    #[test]
    fn one_shows_what_is_found_what_happened_last_and_what_is_next() {
        let mut shown = incident::detail();
        let text = shown.text(&page());
        assert!(
            text.starts_with("incident 3, open, critical: web-1/shop-db came up on other data"),
            "{text}"
        );
        assert!(
            text.contains("critical HF0301 check-suspicious: users 14 → 1 (over 1 m ago)"),
            "{text}"
        );
        assert!(text.contains("ctl job show 7"), "{text}");
        assert!(
            text.ends_with("next: ctl instance history web-1/shop-db\n"),
            "{text}"
        );
        assert!(!text.contains("more before"), "{text}");
        let line = shown.timeline[0].clone();
        shown.timeline.resize(LAST_LINES + 2, line);
        let text = shown.text(&page());
        assert!(
            text.contains("2 more before: ctl incident timeline 3"),
            "{text}"
        );
    }

    #[test]
    fn how_it_ended_is_told() {
        let mut shown = incident::detail();
        shown.incident = incident::list().incidents.remove(0);
        assert_eq!(shown.incident.state, State::Closed);
        let text = shown.text(&page());
        assert!(
            text.contains("by operator/ann: the directory was renamed"),
            "{text}"
        );
        assert!(text.ends_with("next: ctl incident report 1\n"), "{text}");
    }

    #[test]
    fn a_change_says_what_is_next() {
        let of = |change| IncidentChanged::of(change, incident::detail().incident).text(&page());
        assert!(of("closed").ends_with("next: ctl incident report 3\n"));
        assert!(of("opened").ends_with("next: ctl incident show 3\n"));
        assert!(of("assigned").ends_with("ann has it\n"));
    }
}
