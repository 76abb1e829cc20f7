//! Compose files read as an operator would: what in them would lose a database one day.
//!
//! Nothing here asks a server or a registry: a file and its `.env` are all there is. What cannot be told from them is
//! a problem of its own.

mod database;
mod file;
mod patch;
mod rule;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

pub use self::file::Unreadable;
use self::{database::Database, file::File, patch::Edit};

/// What an operator should know about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub file: String,
    /// In the order of the lines.
    pub problems: Vec<Problem>,
    /// A unified diff; empty: there is nothing that a change of the file mends.
    pub patch: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Stable.
    pub code: &'static str,
    pub severity: Severity,
    /// In the file, from 1.
    pub line: usize,
    /// Service or volume; empty: the file as a whole.
    pub subject: String,
    pub message: String,
    /// What to do.
    pub advice: String,
    /// The patch does it.
    pub patched: bool,
    #[serde(skip)]
    edits: Vec<Edit>,
}

/// The later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It would be better so.
    Advice,
    /// Nobody can tell from the file.
    Unknown,
    /// One command more, and data are gone.
    Warning,
    /// Data are lost, or seem so, in the ordinary life of the service.
    Error,
}

/// Everything that rules look at.
#[derive(Debug)]
struct Compose<'a> {
    lines: Vec<&'a str>,
    file: File,
    /// As compose names the project: by the file, else by the environment or the directory.
    project: String,
    project_is_fixed: bool,
    databases: Vec<Database>,
    environment: &'a BTreeMap<String, String>,
}

/// Where a file lies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The name of the directory, without its path.
    pub directory: String,
    /// What the file's variables stand for.
    pub variables: BTreeMap<String, String>,
    /// The `.env` beside it names the project; what is only typed or exported may be another tomorrow.
    pub project_is_fixed: bool,
}

/// # Errors
/// When it is no compose file.
pub fn check(path: &Path, text: &str, around: &Surroundings) -> Result<Report, Unreadable> {
    let mut problems = problems(text, around)?;
    let (mut mended, mut kept) = (text.to_owned(), Vec::new());
    for (at, problem) in problems.iter().enumerate() {
        if problem.edits.is_empty() {
            continue;
        }
        let trial: Vec<usize> = kept.iter().copied().chain([at]).collect();
        let edits = trial.iter().flat_map(|at| &problems[*at].edits);
        let text = patch::apply(text, &edits.collect::<Vec<_>>());
        if mends(&problems, &trial, &text, around) {
            (mended, kept) = (text, trial);
        }
    }
    for at in kept {
        problems[at].patched = true;
    }
    let patch = patch::unified(path, text, &mended);
    Ok(Report {
        file: path.display().to_string(),
        problems,
        patch,
    })
}

/// In the order of the lines.
fn problems(text: &str, around: &Surroundings) -> Result<Vec<Problem>, Unreadable> {
    let file = File::parse(text)?;
    let environment = &around.variables;
    let written = file.name.as_ref().map(|name| &name.text);
    let named = written.and_then(|name| file::resolve(name, environment).ok());
    // What people type, or have in their environment, comes first.
    let given = environment.get("COMPOSE_PROJECT_NAME").cloned();
    let project = given
        .or(named)
        .unwrap_or_else(|| project_name(&around.directory));
    let is_literal = written.is_some_and(|name| !name.contains('$'));
    let compose = Compose {
        lines: text.lines().collect(),
        databases: database::all(&file, environment),
        project,
        project_is_fixed: is_literal || around.project_is_fixed,
        file,
        environment,
    };
    let mut problems: Vec<Problem> = rule::ALL.iter().flat_map(|rule| rule(&compose)).collect();
    problems.sort_by_key(|problem| problem.line);
    Ok(problems)
}

/// YAML can be written in many ways, and lines are added to it as most people write it: what was to be mended has to
/// be gone, and nothing else may have come.
fn mends(before: &[Problem], wanted: &[usize], mended: &str, around: &Surroundings) -> bool {
    let Ok(after) = problems(mended, around) else {
        return false;
    };
    let same = |a: &Problem, b: &Problem| a.code == b.code && a.subject == b.subject;
    after.iter().all(|problem| {
        let mut all = before.iter().enumerate();
        all.any(|(at, before)| same(before, problem) && !wanted.contains(&at))
    })
}

/// As compose makes it of a directory's name.
fn project_name(directory: &str) -> String {
    let lower = directory.to_lowercase();
    let kept: String = lower
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c))
        .collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}

impl Report {
    /// None: nothing speaks against it.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.problems.iter().map(|problem| problem.severity).max()
    }
}

impl Severity {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Advice => "advice",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl Compose<'_> {
    /// Blanks before the text of a line, from 1.
    fn indent(&self, line: usize) -> &str {
        let text = line.checked_sub(1).and_then(|at| self.lines.get(at));
        let text = text.copied().unwrap_or_default();
        &text[..text.len() - text.trim_start().len()]
    }

    /// Whether the line is `KEY:` alone or with a value behind it, and not in the middle of braces.
    fn is_block(&self, line: usize, key: &str) -> bool {
        let text = line.checked_sub(1).and_then(|at| self.lines.get(at));
        let text = text.map(|text| text.trim()).unwrap_or_default();
        let rest = text
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix(':'));
        rest.is_some_and(|rest| !rest.contains('{') && !rest.contains('&'))
    }

    /// How many lines that say something are deeper than this one, up to the next that is not.
    fn lines_below(&self, line: usize) -> usize {
        let depth = self.indent(line).len();
        let below = self.lines.iter().skip(line);
        let says_something = |line: &&&str| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        };
        below
            .filter(says_something)
            .take_while(|line| line.len() - line.trim_start().len() > depth)
            .count()
    }
}
