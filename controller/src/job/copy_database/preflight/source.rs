//! Questions about the source alone.

use holdfast_chassis::units;
use holdfast_proto::{
    fleet::Engine,
    names::DatabaseName,
    task::{DatabaseFacts, Selection, TaskFailure},
};

use super::{PreflightLine, reachable, some_of, told};

pub fn ask(
    source: &DatabaseName,
    facts: Result<&DatabaseFacts, &TaskFailure>,
    wanted: &Selection,
    lines: &mut Vec<PreflightLine>,
) {
    const UP: &str = "source answers";
    let facts = match facts {
        Ok(facts) => facts,
        Err(failure) => {
            lines.push(reachable(UP, source, failure));
            return;
        }
    };
    let up = format!("{} {}", facts.engine().label(), facts.server_version);
    lines.push(PreflightLine::passed(UP, up));
    if !facts.exists {
        lines.push(PreflightLine::failed(
            "source exists",
            format!("{source} does not exist"),
            "`ctl database list` shows the databases",
        ));
        return;
    }
    let contents = format!(
        "{}, {}",
        units::plural(facts.table_count, "table"),
        units::size(facts.size_bytes)
    );
    lines.push(PreflightLine::passed("source exists", contents));
    lines.push(readable(facts));
    lines.push(recovery(facts));
    lines.extend(selection(wanted, facts));
    match facts.engine() {
        Engine::Postgres => lines.push(tools(facts)),
        Engine::Mariadb | Engine::Mysql => lines.extend(told("source can be copied whole", facts)),
    }
}

fn readable(facts: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "source is readable";
    if facts.unreadable.is_empty() {
        return PreflightLine::passed(QUESTION, "every selected table can be read");
    }
    PreflightLine::failed(
        QUESTION,
        format!(
            "the agent's role may not read {}",
            some_of(&facts.unreadable)
        ),
        match facts.engine() {
            Engine::Postgres => {
                "grant it pg_read_all_data (and BYPASSRLS for tables with row-level security), register \
                 the instance with a superuser, or leave the tables out with --exclude-table"
            }
            Engine::Mariadb | Engine::Mysql => {
                "grant its account SELECT ON *.*, or leave the tables out with --exclude-table"
            }
        },
    )
}

fn recovery(facts: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "source is a primary";
    if facts.in_recovery {
        return PreflightLine::warning(
            QUESTION,
            "the source is a standby: the copy is as old as what it has replayed, and a long read \
             may be ended by its recovery",
            "copy from the primary when the newest rows matter",
        );
    }
    PreflightLine::passed(QUESTION, "not in recovery")
}

fn selection(wanted: &Selection, facts: &DatabaseFacts) -> Option<PreflightLine> {
    const QUESTION: &str = "every table pattern matches";
    if !facts.unmatched_patterns.is_empty() {
        return Some(PreflightLine::failed(
            QUESTION,
            format!("no table matches {}", some_of(&facts.unmatched_patterns)),
            "patterns are schema.table or table, * stands for any run of characters",
        ));
    }
    (*wanted != Selection::default()).then(|| {
        let selected = format!("{} selected", units::plural(facts.table_count, "table"));
        PreflightLine::passed(QUESTION, selected)
    })
}

fn tools(facts: &DatabaseFacts) -> PreflightLine {
    const QUESTION: &str = "source has pg_dump";
    if facts.tools_error.is_empty() {
        return PreflightLine::passed(QUESTION, facts.tools.clone());
    }
    PreflightLine::failed(
        QUESTION,
        facts.tools_error.clone(),
        "install the PostgreSQL client tools of the server's version in its container or on its host",
    )
}
