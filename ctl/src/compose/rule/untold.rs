//! `could-not-check`: what the file leaves open.

use super::super::{Compose, Problem, Severity, database::Untold, file::line_of};

const WHOLE: &str = "have compose put everything together and look at that: docker compose config > all.yml, then ctl \
                     compose check all.yml (it writes a name into it, so look at `name:` in this file)";

pub fn look(compose: &Compose<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(include) = &compose.file.include {
        let message = "it includes other files, which are not looked at".to_owned();
        problems.push(problem(
            line_of(include),
            String::new(),
            message,
            WHOLE.to_owned(),
        ));
    }
    for (key, service) in &compose.file.services.0 {
        if let Some(extends) = &service.extends {
            let message = "it extends another service, which is not looked at".to_owned();
            let subject = format!("service {}", key.text);
            problems.push(problem(
                line_of(extends),
                subject,
                message,
                WHOLE.to_owned(),
            ));
        }
    }
    for database in &compose.databases {
        let Err(untold) = &database.data else {
            continue;
        };
        let at = database.image.as_ref().unwrap_or(&database.service);
        let (message, advice) = match untold {
            Untold::Version => (
                "its tag names no major version, on which it depends where the data lie, and with which they open".to_owned(),
                "name the version that runs now: postgres:17".to_owned(),
            ),
            Untold::Variable(name) => (
                format!("{name} has no value here, so that nobody knows where its data lie"),
                format!("set {name} in .env beside the file, or give it a default: ${{{name}:-…}}"),
            ),
            Untold::Image => (
                "it is a database server, and where its image keeps the data is not known".to_owned(),
                "see that a named, external volume is mounted where its data directory is".to_owned(),
            ),
        };
        let subject = format!("service {}", database.service.text);
        problems.push(problem(at.line, subject, message, advice));
    }
    problems
}

fn problem(line: usize, subject: String, message: String, advice: String) -> Problem {
    Problem {
        code: "could-not-check",
        severity: Severity::Unknown,
        line,
        subject,
        message,
        advice,
        patched: false,
        edits: Vec::new(),
    }
}
