//! Questions about the target alone.

use holdfast_proto::{
    fleet::Engine,
    task::{DatabaseFacts, TaskFailure},
};

use super::{PreflightLine, reachable, told};
use crate::job::{
    JobId,
    landing::{LONGEST_NAME, Landing, marked::Mark},
};

/// The server's own databases: nothing is ever put in their place.
/// They belong to the server itself.
pub const MAINTENANCE: [&str; 3] = ["postgres", "template0", "template1"];

pub fn ask(
    job: JobId,
    landing: &Landing<'_>,
    facts: Result<&DatabaseFacts, &TaskFailure>,
    lines: &mut Vec<PreflightLine>,
) {
    const UP: &str = "target answers";
    lines.push(name(&landing.target.database));
    let facts = match facts {
        Ok(facts) => facts,
        Err(failure) => {
            lines.push(reachable(UP, landing.target, failure));
            return;
        }
    };
    let up = format!("{} {}", facts.engine().label(), facts.server_version);
    lines.push(PreflightLine::passed(UP, up));
    lines.push(primary(facts));
    lines.push(rights(facts));
    lines.push(free(job, landing, facts));
    lines.extend(sessions(landing, facts));
    match facts.engine() {
        Engine::Postgres => lines.push(tools(facts)),
        Engine::Mariadb | Engine::Mysql => lines.extend(told("target can take a copy", facts)),
    }
}

fn name(database: &str) -> PreflightLine {
    const QUESTION: &str = "target name is allowed";
    if MAINTENANCE.contains(&database) {
        return PreflightLine::failed(
            QUESTION,
            format!("{database} belongs to the server itself and is never replaced"),
            "choose another name",
        );
    }
    if database.len() > LONGEST_NAME {
        return PreflightLine::failed(
            QUESTION,
            format!(
                "{} bytes, at most {LONGEST_NAME} are possible",
                database.len()
            ),
            "choose a shorter name",
        );
    }
    PreflightLine::passed(
        QUESTION,
        format!("{} of {LONGEST_NAME} bytes", database.len()),
    )
}

fn primary(facts: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "target is a primary";
    if facts.in_recovery {
        return PreflightLine::failed(
            QUESTION,
            "the target is a standby (in recovery): nothing can be written to it",
            "choose its primary",
        );
    }
    PreflightLine::passed(QUESTION, "not in recovery")
}

fn rights(facts: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "target lets us write";
    if facts.is_superuser {
        return PreflightLine::passed(QUESTION, "the agent connects as a superuser");
    }
    if facts.engine() != Engine::Postgres {
        return PreflightLine::warning(
            QUESTION,
            "the agent's account has not all rights (ALL PRIVILEGES ON *.*): what it may not make or give fails",
            "let the agent connect as root when the copy is refused",
        );
    }
    PreflightLine::warning(
        QUESTION,
        "the agent's role is no superuser: it must be allowed to create databases and roles, and \
         some objects (event triggers, untrusted extensions, other owners) may be refused",
        "register the instance with a superuser when the copy is refused",
    )
}

fn free(job: JobId, landing: &Landing<'_>, facts: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "target name is free";
    let target = landing.target;
    let stands = facts.exists || facts.databases.contains(&target.database);
    match (stands, landing.replace) {
        (false, _) => PreflightLine::passed(QUESTION, format!("no {} yet", target.database)),
        (true, true) => PreflightLine::passed(
            QUESTION,
            format!(
                "{} will be kept as {} for {}",
                target.database,
                landing.beside(Mark::Before, job),
                humantime::format_duration(landing.keep),
            ),
        ),
        (true, false) => PreflightLine::failed(
            QUESTION,
            format!("{target} exists"),
            "choose another name, or --replace to put this in its place and keep the old one beside it",
        ),
    }
}

fn sessions(landing: &Landing<'_>, facts: &DatabaseFacts) -> Option<PreflightLine> {
    (facts.exists && landing.replace && facts.sessions > 0).then(|| {
        PreflightLine::warning(
            "nobody is connected to what is replaced",
            format!(
                "{} sessions will be ended when this is published",
                facts.sessions
            ),
            "stop what uses it first when it does not reconnect by itself",
        )
    })
}

fn tools(facts: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "target has pg_restore";
    if facts.tools_error.is_empty() {
        return PreflightLine::passed(QUESTION, facts.tools.clone());
    }
    PreflightLine::failed(
        QUESTION,
        facts.tools_error.clone(),
        "install the PostgreSQL client tools of the server's version in its container or on its host",
    )
}
