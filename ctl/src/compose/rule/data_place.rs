//! Where the data lie: `anonymous-volume`, `beside-its-volume`, `in-the-container`, `relative-folder`, `data-in-memory`.

use super::super::{
    Compose, Problem, Severity,
    database::{Data, Database, Mount, Source, Under},
    patch::Edit,
};

pub fn look(compose: &Compose<'_>) -> Vec<Problem> {
    let told = compose.databases.iter();
    let told = told.filter_map(|database| Some((database, database.data.as_ref().ok()?)));
    told.filter_map(|(database, data)| judge(compose, database, data))
        .collect()
}

fn judge(compose: &Compose<'_>, database: &Database, data: &Data) -> Option<Problem> {
    let directory = data.directory.display();
    match database.under(data) {
        Under::Mount(mount) => match &mount.source {
            Source::Volume(_) => None,
            Source::Anonymous => Some(anonymous(compose, database, mount)),
            Source::Memory => Some(problem(
                database,
                mount.line,
                "data-in-memory",
                format!("its data ({directory}) are in memory, and gone when it stops"),
                "mount a named volume there, unless that is what you want".to_owned(),
                Severity::Warning,
            )),
            Source::Folder(folder) if folder.starts_with('/') => None,
            Source::Folder(folder) => Some(problem(
                database,
                mount.line,
                "relative-folder",
                format!(
                    "its data are in {folder}, seen from where this file lies: from another copy of the file the server begins with nothing"
                ),
                "write the whole path, or use a named volume".to_owned(),
                Severity::Warning,
            )),
        },
        Under::OfImage => Some(match database.beside(data) {
            Some(mount) => beside(database, data, mount),
            None => unnamed(
                compose,
                database,
                data,
                "anonymous-volume",
                "are in a volume without a name, which the next container does not have, and prune takes",
            ),
        }),
        Under::Container => Some(unnamed(
            compose,
            database,
            data,
            "in-the-container",
            "are in the container itself, and go with it",
        )),
    }
}

/// `- /var/lib/mysql`.
fn anonymous(compose: &Compose<'_>, database: &Database, mount: &Mount) -> Problem {
    let volume = volume_name(database);
    let mut problem = problem(
        database,
        mount.line,
        "anonymous-volume",
        "its data are in a volume without a name, which `down -v` and prune take".to_owned(),
        first_bring_over(
            compose,
            &volume,
            &format!("give it a name: `{volume}:{}`", mount.target.display()),
        ),
        Severity::Error,
    );
    if !mount.written.is_empty() {
        problem.edits = vec![Edit::Replace {
            line: mount.line,
            old: mount.written.clone(),
            new: format!("{volume}:{}", mount.written),
        }];
        problem.edits.extend(declared(compose, &volume));
    }
    problem
}

/// The data are in a volume of the image's, and the one that was made for them stays empty.
fn beside(database: &Database, data: &Data, mount: &Mount) -> Problem {
    let (target, right) = (mount.target.display(), data.mount_at.display());
    let version = data.major.map(|major| format!(" {major}"));
    let mut problem = problem(
        database,
        mount.line,
        "beside-its-volume",
        format!(
            "the image of PostgreSQL{} keeps its data in {}: what is mounted at {target} stays empty, and the data are in a volume without a name",
            version.unwrap_or_default(),
            data.directory.display(),
        ),
        format!("mount it at {right}. {BRING_OVER}"),
        Severity::Error,
    );
    let old = format!(":{}", mount.target.display());
    if mount.written.contains(&old) {
        problem.edits = vec![Edit::Replace {
            line: mount.line,
            old,
            new: format!(":{right}"),
        }];
    }
    problem
}

/// Nobody has mounted anything for them.
fn unnamed(
    compose: &Compose<'_>,
    database: &Database,
    data: &Data,
    code: &'static str,
    how: &str,
) -> Problem {
    let volume = volume_name(database);
    let mount = format!("{volume}:{}", data.mount_at.display());
    let at = database.image.as_ref().unwrap_or(&database.service);
    let mut problem = problem(
        database,
        at.line,
        code,
        format!("its data ({}) {how}", data.directory.display()),
        first_bring_over(
            compose,
            &volume,
            &format!("mount a named volume: `{mount}`"),
        ),
        Severity::Error,
    );
    // Below `image:`, as deep as that is; a list that is there gets one line more.
    let edit = match (database.mounts.first(), &database.image) {
        (Some(first), _) if !first.written.is_empty() => Some(Edit::Before {
            line: first.line,
            text: format!("{}- {mount}", compose.indent(first.line)),
        }),
        (None, Some(image)) if compose.is_block(image.line, "image") => {
            let indent = compose.indent(image.line);
            Some(Edit::After {
                line: image.line,
                text: format!("{indent}volumes:\n{indent}  - {mount}"),
            })
        }
        _ => None,
    };
    if let Some(edit) = edit {
        problem.edits = vec![edit];
        problem.edits.extend(declared(compose, &volume));
    }
    problem
}

const BRING_OVER: &str = "If it runs like this already, its data are elsewhere: back them up before (ctl backup create), \
                          and restore them after (ctl restore database)";

fn first_bring_over(compose: &Compose<'_>, volume: &str, what: &str) -> String {
    let name = format!("{}_{volume}", compose.project);
    format!("{what}, and make it: docker volume create {name}. {BRING_OVER}")
}

fn volume_name(database: &Database) -> String {
    format!("{}_data", database.service.text)
}

/// The lines that make it known at the top level.
fn declared(compose: &Compose<'_>, volume: &str) -> Option<Edit> {
    let volumes = &compose.file.volumes.0;
    if volumes.iter().any(|(key, _)| key.text == volume) {
        return None;
    }
    let lines = |indent: &str| {
        let name = format!("{}_{volume}", compose.project);
        format!("{indent}{volume}:\n{indent}  external: true\n{indent}  name: {name}")
    };
    Some(match volumes.first() {
        Some((first, _)) => Edit::Before {
            line: first.line,
            text: lines(compose.indent(first.line)),
        },
        None => match compose
            .lines
            .iter()
            .position(|line| line.trim_end() == "volumes:")
        {
            Some(at) => Edit::After {
                line: at + 1,
                text: lines("  "),
            },
            None => Edit::Before {
                line: compose.lines.len() + 1,
                text: format!("\nvolumes:\n{}", lines("  ")),
            },
        },
    })
}

fn problem(
    database: &Database,
    line: usize,
    code: &'static str,
    message: String,
    advice: String,
    severity: Severity,
) -> Problem {
    Problem {
        code,
        severity,
        line,
        subject: format!("service {}", database.service.text),
        message,
        advice,
        patched: false,
        edits: Vec::new(),
    }
}
