//! `no-fixed-name`: the project is called like its directory, and everything in it after the project.

use super::super::{Compose, Problem, Severity, patch::Edit};

pub fn look(compose: &Compose<'_>) -> Vec<Problem> {
    if compose.project_is_fixed {
        return Vec::new();
    }
    let name = &compose.project;
    let (line, edits, instead) = match &compose.file.name {
        Some(written) => (
            written.line,
            vec![Edit::Replace {
                line: written.line,
                old: written.text.clone(),
                new: name.clone(),
            }],
            format!("its name depends on a variable: `{}`", written.text),
        ),
        None => {
            let first = first_key(&compose.lines);
            let text = format!("name: {name}\n");
            (
                first,
                vec![Edit::Before { line: first, text }],
                "it has no `name:`".to_owned(),
            )
        }
    };
    // A name that no project can have is no mending.
    let edits = if name.is_empty() { Vec::new() } else { edits };
    vec![Problem {
        code: "no-fixed-name",
        severity: Severity::Error,
        line,
        subject: String::new(),
        message: format!(
            "{instead}, so that from another directory, or with -p, compose makes another project with new, empty volumes"
        ),
        advice: format!(
            "write `name: {name}`, which is what it is called here now; docker-compose 1 knows no `name:`: there \
             write COMPOSE_PROJECT_NAME={name} into .env"
        ),
        patched: false,
        edits,
    }]
}

/// Past comments and the beginning of the document.
fn first_key(lines: &[&str]) -> usize {
    let says_something = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#') && line != "---" && !line.starts_with('%')
    };
    lines.iter().position(says_something).map_or(1, |at| at + 1)
}
