//! Policies: what they say, what a file would change, and which of them covers a database.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Time, objective::Scenario};
use crate::output::{
    Page, View,
    grid::{Grid, or_dash, plain, toned},
    paint::Tone,
    units,
};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyList {
    pub policies: Vec<Policy>,
    /// Databases that none covers.
    pub unprotected: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Policy {
    pub name: String,
    pub selects: String,
    pub protects: bool,
    pub reason: String,
    pub backup: String,
    pub time_zone: String,
    pub retention: String,
    pub drill: String,
    pub targets: Vec<Target>,
    pub checks: Vec<String>,
    pub stops: Vec<String>,
    pub starts: Vec<String>,
    /// Or volumes.
    pub databases: Vec<String>,
    /// It covers volumes, and no databases.
    pub volumes: bool,
    /// What runs with a volume is stopped while it is read.
    pub stop: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    pub scenario: Scenario,
    pub seconds: f64,
}

/// Which policy covers a database, why, and what is next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    pub database: String,
    pub policy: Option<Policy>,
    pub matches: Vec<PolicyMatch>,
    pub work: Vec<Work>,
}

/// What is drilled of a host as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostPlan {
    pub host: String,
    /// Where it is rebuilt.
    pub rebuilt_on: String,
    /// There is something to drill.
    pub has_backups: bool,
    pub work: Vec<Work>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyMatch {
    pub policy: String,
    pub selects: bool,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Work {
    pub work: String,
    pub schedule: String,
    pub state: WorkState,
    pub at: Option<Time>,
    pub why: String,
    pub last_started_at: Option<Time>,
    pub last_job: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkState {
    Next,
    Due,
    Running,
    Held,
    Never,
}

/// What applying a file would change, or why it cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyDiff {
    pub mistakes: Vec<Mistake>,
    pub changes: Vec<Change>,
    pub coverage: Vec<CoverageChange>,
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    pub line: u32,
    pub column: u32,
    pub key: String,
    pub message: String,
    pub advice: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    pub kind: ChangeKind,
    pub name: String,
    pub lines: Vec<String>,
    pub weakens: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    Added,
    Changed,
    Removed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CoverageChange {
    pub database: String,
    pub from_policy: String,
    pub to_policy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoliciesApplied {
    pub changes: Vec<Change>,
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    pub text: String,
    pub version: u64,
}

impl PolicyDiff {
    /// Those that take protection away.
    #[must_use]
    pub fn weakening(&self) -> Vec<&str> {
        let weaker = self.changes.iter().filter(|change| change.weakens);
        weaker.map(|change| change.name.as_str()).collect()
    }
}

impl Mistake {
    /// "fleet.yaml:4:5: policies[0].backup: …".
    #[must_use]
    pub fn line(&self, file: &str) -> String {
        let mut line = file.to_owned();
        if self.line > 0 {
            let _ = write!(line, ":{}:{}", self.line, self.column);
        }
        if !self.key.is_empty() {
            let _ = write!(line, ": {}", self.key);
        }
        let _ = write!(line, ": {}", self.message);
        if !self.advice.is_empty() {
            let _ = write!(line, "; {}", self.advice);
        }
        line
    }
}

impl View for PolicyList {
    fn text(&self, page: &Page) -> String {
        let head = ["POLICY", "SELECTS", "BACKUP", "KEEPS", "DRILL", "COVERS"];
        let mut grid = Grid::new(page, &head, "no policies");
        for policy in &self.policies {
            let selects = if policy.selects.is_empty() {
                "everything else"
            } else {
                &policy.selects
            };
            let mut cells = vec![toned(Tone::Strong, &policy.name), plain(selects)];
            if policy.protects {
                let stops = if policy.stop { ", stopped" } else { "" };
                let backup = format!("{} ({}){stops}", policy.backup, policy.time_zone);
                cells.push(plain(backup));
                cells.extend([plain(&policy.retention), or_dash(&policy.drill)]);
            } else {
                let why = format!("not protected: {}", policy.reason);
                cells.extend([toned(Tone::Warn, why), plain("-"), plain("-")]);
            }
            let number = policy.databases.len() as u64;
            let one = if policy.volumes { "volume" } else { "database" };
            cells.push(plain(units::plural(number, one)));
            grid.row(cells);
        }
        let mut out = grid.render();
        for database in &self.unprotected {
            let line = format!("{database} is not protected");
            let _ = writeln!(out, "{}", page.paint.tone(Tone::Bad, &line));
        }
        out
    }
}

impl View for Coverage {
    fn text(&self, page: &Page) -> String {
        let mut out = match &self.policy {
            Some(policy) if policy.protects => {
                format!("{} is covered by policy {}\n", self.database, policy.name)
            }
            Some(policy) => {
                let line = format!(
                    "{} is not protected: {} ({})",
                    self.database, policy.reason, policy.name
                );
                format!("{}\n", page.paint.tone(Tone::Bad, &line))
            }
            None => {
                let line = format!("{} is not protected: no policy covers it", self.database);
                format!("{}\n", page.paint.tone(Tone::Bad, &line))
            }
        };
        if let Some(policy) = self.policy.as_ref().filter(|policy| policy.protects) {
            let _ = writeln!(out, "keeps {}", policy.retention);
            if policy.stop {
                out.push_str("what runs with it is stopped while it is read\n");
            }
        }
        let _ = write!(out, "\n{}\n", schedules(&self.work, page));
        let mut grid = Grid::new(page, &["POLICY", "SELECTS IT", "WHY"], "no policies");
        for found in &self.matches {
            let selects = if found.selects { "yes" } else { "no" };
            grid.row(vec![
                plain(&found.policy),
                plain(selects),
                plain(&found.why),
            ]);
        }
        out.push_str(&grid.render());
        out
    }
}

impl View for HostPlan {
    fn text(&self, page: &Page) -> String {
        let Self {
            host, rebuilt_on, ..
        } = self;
        let rebuilt = self.work.iter().any(|work| work.work == "rebuild");
        let mut out = match (self.has_backups, rebuilt) {
            (false, _) => {
                let line = format!("{host} has no good backup: there is nothing to drill");
                format!("{}\n", page.paint.tone(Tone::Bad, &line))
            }
            (true, true) => format!("{host} as a whole; it is rebuilt on {rebuilt_on}\n"),
            (true, false) => format!("{host} as a whole; it is never rebuilt\n"),
        };
        let _ = write!(out, "\n{}", schedules(&self.work, page));
        out
    }
}

fn schedules(all: &[Work], page: &Page) -> String {
    let head = ["WORK", "SCHEDULE", "STATE", "WHEN", "WHY", "LAST"];
    let mut grid = Grid::new(page, &head, "nothing is done");
    for work in all {
        let last = match work.last_job {
            Some(job) => format!("{}, job {job}", units::ago(page.now, work.last_started_at)),
            None => units::ago(page.now, work.last_started_at),
        };
        let at = work.at.map(|at| units::ago(page.now, Some(at)));
        grid.row(vec![
            toned(Tone::Strong, &work.work),
            plain(&work.schedule),
            toned(work.state.tone(), work.state.word()),
            plain(at.unwrap_or_default()),
            plain(&work.why),
            plain(last),
        ]);
    }
    grid.render()
}

impl WorkState {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Due => "due",
            Self::Running => "running",
            Self::Held => "held",
            Self::Never => "never",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Next => Tone::Plain,
            Self::Running => Tone::Good,
            Self::Due => Tone::Warn,
            Self::Held | Self::Never => Tone::Bad,
        }
    }
}

impl View for PolicyDiff {
    fn text(&self, page: &Page) -> String {
        let mut out = changes(&self.changes, page);
        for change in &self.coverage {
            let CoverageChange {
                database,
                from_policy,
                to_policy,
            } = change;
            let or_none = |policy: &str| match policy {
                "" => "nothing".to_owned(),
                policy => policy.to_owned(),
            };
            let (from, to) = (or_none(from_policy), or_none(to_policy));
            let _ = writeln!(out, "{database}: covered by {from} -> {to}");
        }
        out
    }
}

impl View for PoliciesApplied {
    fn text(&self, page: &Page) -> String {
        let mut out = changes(&self.changes, page);
        if !self.changes.is_empty() {
            let _ = writeln!(out, "applied as version {}", self.version);
        }
        out
    }
}

impl View for Exported {
    fn text(&self, _: &Page) -> String {
        self.text.clone()
    }
}

fn changes(changes: &[Change], page: &Page) -> String {
    if changes.is_empty() {
        return "nothing changes\n".to_owned();
    }
    let mut out = String::new();
    for change in changes {
        let (sign, tone) = match change.kind {
            ChangeKind::Added => ("+", Tone::Good),
            ChangeKind::Changed => ("~", Tone::Plain),
            ChangeKind::Removed => ("-", Tone::Bad),
        };
        let less = if change.weakens {
            "  (protects less)"
        } else {
            ""
        };
        let head = format!("{sign} {}{less}", change.name);
        let tone = if change.weakens { Tone::Warn } else { tone };
        let _ = writeln!(out, "{}", page.paint.tone(tone, &head));
        for line in &change.lines {
            let _ = writeln!(out, "    {line}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::{
        output::{View as _, testing::page},
        view::samples::policy as samples,
    };

    #[test]
    fn a_diff_says_what_changes_and_what_protects_less() {
        let text = samples::diff().text(&page());
        assert_eq!(
            text,
            "~ shop  (protects less)\n    backup: hourly -> daily\nweb-1/shop-db/shop: covered by default -> shop\n"
        );
    }

    #[test]
    fn a_mistake_is_a_line_that_editors_understand() {
        let line = samples::diff().mistakes[0].line("fleet.yaml");
        assert_eq!(
            line,
            "fleet.yaml:4:13: policies[0].backup: \"dayly\" is no schedule; did you mean daily?"
        );
    }

    #[test]
    fn coverage_says_who_why_and_when() {
        let text = samples::coverage().text(&page());
        for said in [
            "is covered by policy shop",
            "daily (UTC)",
            "by schedule",
            "selects by name shop",
            "job 42",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
        let mut none = samples::coverage();
        none.policy = None;
        assert!(
            none.text(&page())
                .starts_with("web-1/shop-db/shop is not protected")
        );
    }

    #[test]
    fn a_host_s_plan_says_where_and_when_and_that_there_is_nothing_to_drill() {
        let text = samples::host_plan().text(&page());
        for said in ["it is rebuilt on lab-1", "quarterly (UTC)", "job 43"] {
            assert!(text.contains(said), "{said} in {text}");
        }
        let mut never = samples::host_plan();
        never.work.clear();
        assert!(never.text(&page()).contains("never rebuilt"));
        never.has_backups = false;
        let text = never.text(&page());
        assert!(text.contains("nothing to drill"), "{text}");
    }

    #[test]
    fn what_is_not_protected_stands_below_the_policies() {
        let text = samples::list().text(&page());
        assert!(
            text.ends_with("web-1/shop-db/scratch is not protected\n"),
            "{text}"
        );
    }
}
