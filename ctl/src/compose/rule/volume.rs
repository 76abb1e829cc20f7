//! Volumes with data: `undeclared-volume`, `volume-not-external`.

use super::super::{
    Compose, Problem, Severity,
    database::{Source, Under},
    file::{External, Text, Volume, resolve},
    patch::Edit,
};

pub fn look(compose: &Compose<'_>) -> Vec<Problem> {
    let mut seen = Vec::new();
    let mut problems = Vec::new();
    for database in &compose.databases {
        let Ok(data) = &database.data else {
            continue;
        };
        // One that is beside the data is where they shall be.
        let mount = match database.under(data) {
            Under::Mount(mount) => Some(mount),
            Under::OfImage | Under::Container => database.beside(data),
        };
        let Some(mount) = mount else {
            continue;
        };
        let Source::Volume(key) = &mount.source else {
            continue;
        };
        if !seen.contains(key) {
            seen.push(key.clone());
            problems.extend(judge(compose, key, mount.line));
        }
    }
    problems
}

fn judge(compose: &Compose<'_>, key: &str, used_in: usize) -> Option<Problem> {
    let mut volumes = compose.file.volumes.0.iter();
    let Some((declared, volume)) = volumes.find(|(declared, _)| declared.text == key) else {
        return Some(Problem {
            code: "undeclared-volume",
            severity: Severity::Error,
            line: used_in,
            subject: format!("volume {key}"),
            message: "it is not under `volumes:`, so that compose refuses the file".to_owned(),
            advice: format!("add `{key}:` there, with `external: true` and its `name:`"),
            patched: false,
            edits: Vec::new(),
        });
    };
    let external = volume.as_ref().map(|volume| &volume.external);
    match external {
        Some(External::Yes | External::Named(_)) => None,
        Some(External::No) | None => Some(not_external(compose, declared, volume.as_ref())),
    }
}

/// It is compose's: made when it is not there, and removed by `down -v`.
fn not_external(compose: &Compose<'_>, key: &Text, volume: Option<&Volume>) -> Problem {
    let named = volume.and_then(|volume| volume.name.as_ref());
    let fixed = named.and_then(|name| resolve(&name.text, compose.environment).ok());
    let name = fixed
        .clone()
        .unwrap_or_else(|| format!("{}_{}", compose.project, key.text));
    let moves = fixed.is_none() && !compose.project_is_fixed;
    let message = if moves {
        format!(
            "it is called {name} only from this directory, is made anew, empty, under another name from any other one, and `down -v` removes it"
        )
    } else {
        format!(
            "`down -v` removes it ({name}), and where it is missing compose makes an empty one without a word"
        )
    };
    Problem {
        code: "volume-not-external",
        severity: if moves {
            Severity::Error
        } else {
            Severity::Warning
        },
        line: key.line,
        subject: format!("volume {}", key.text),
        message,
        advice: format!(
            "make it external: true, with name: {name}. Where it is not there yet: docker volume create {name}"
        ),
        patched: false,
        edits: edits(compose, key, volume, &name),
    }
}

fn edits(compose: &Compose<'_>, key: &Text, volume: Option<&Volume>, name: &str) -> Vec<Edit> {
    let empty = format!("{}: {{}}", key.text);
    let is_empty = compose
        .lines
        .get(key.line - 1)
        .is_some_and(|line| line.trim() == empty);
    if !is_empty && !compose.is_block(key.line, &key.text) {
        return Vec::new();
    }
    let indent = compose.indent(key.line);
    let mut lines = vec![format!("{indent}  external: true")];
    // Of one that compose does not make, nothing else may be said.
    let is_alone = volume.is_none() || is_empty;
    let is_named = volume.is_some_and(|volume| volume.name.is_some());
    if !is_named {
        lines.push(format!("{indent}  name: {name}"));
    }
    let only_named = is_named && compose.lines_below(key.line) == 1;
    if !is_alone && !only_named {
        return Vec::new();
    }
    let mut edits = vec![Edit::After {
        line: key.line,
        text: lines.join("\n"),
    }];
    if is_empty {
        edits.push(Edit::Replace {
            line: key.line,
            old: " {}".to_owned(),
            new: String::new(),
        });
    }
    edits
}
