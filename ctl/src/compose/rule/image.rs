//! `no-digest`: which image a tag means is decided elsewhere, and anew every day.

use super::super::{Compose, Problem, Severity};

pub fn look(compose: &Compose<'_>) -> Vec<Problem> {
    let databases = compose.databases.iter();
    databases
        .filter_map(|database| {
            let image = database.image.as_ref()?;
            let resolved = database.resolved.as_ref()?;
            let is_pinned = resolved.contains("@sha256:");
            (!is_pinned).then(|| Problem {
                code: "no-digest",
                severity: Severity::Advice,
                line: image.line,
                subject: format!("service {}", database.service.text),
                message: format!(
                    "{resolved} can be another image tomorrow, with other libraries: the order of texts, and with it indexes, may change"
                ),
                advice: format!(
                    "write the digest that runs now behind it: docker image inspect -f '{{{{index .RepoDigests 0}}}}' {resolved}"
                ),
                patched: false,
                edits: Vec::new(),
            })
        })
        .collect()
}
