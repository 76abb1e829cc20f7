//! How a data directory is, told from its files alone: nothing is asked of a server, and nothing is written.
//!
//! Facts are read by thin readers; a pure judge says what they mean. What a server changes while it is read may look
//! broken for a moment: a running one is read again before anything is said against it.

pub mod bytes;
pub mod directory;
pub mod evidence;
pub mod holder;
pub mod log;
pub mod mariadb;
pub mod place;
pub mod postgres;

use std::{io, path::Path};

use holdfast_proto::{
    fleet::Engine,
    task::{DataTriage, DataVerdict},
};

use self::{
    directory::Directory,
    evidence::{Conclusion, Evidence, Subject, conclude},
    holder::Holder,
    log::Heard,
    postgres::facts::Around,
};

/// How often a running server's files are read until they agree.
const READINGS: u32 = 4;
/// Of a server's own log file, at its end.
const LOG_BYTES: usize = 64 << 10;

/// One data directory, open, and what is known around it.
#[derive(Debug)]
pub struct Found {
    pub directory: Directory,
    pub engine: Engine,
    pub subject: Subject,
    /// A file of settings that the server was told to use.
    pub config_file: Option<String>,
    /// The container's last lines, oldest first.
    pub log: Vec<String>,
    /// Why they are not known; empty: they are, or there is no container.
    pub log_error: String,
}

/// Looks at one. Reads files: not for an asynchronous thread.
///
/// # Errors
/// When the directory itself cannot be looked at.
pub fn triage(found: &Found) -> io::Result<DataTriage> {
    let mut readings = 1;
    loop {
        let look = look(found)?;
        let sound = look.conclusion.verdict <= DataVerdict::NeedsRecovery;
        if sound || !look.running || readings == READINGS {
            return Ok(look.told(found));
        }
        readings += 1;
    }
}

/// What one reading came to.
struct Looked {
    engine: Engine,
    version: String,
    system_identifier: String,
    running: bool,
    evidence: Vec<Evidence>,
    conclusion: Conclusion,
}

fn look(found: &Found) -> io::Result<Looked> {
    let stat = found.directory.stat()?;
    let holders = holder::of(&stat, Path::new("/proc"))?;
    let running = !holders.is_empty();
    let own = own_log(&found.directory, found.engine);
    let lines = own.iter().flat_map(|text| text.lines());
    let lines = lines.chain(found.log.iter().map(String::as_str));
    let heard = log::heard(lines, found.engine);
    let read = match found.engine {
        Engine::Postgres => of_postgres(found, holders, heard),
        Engine::Mariadb | Engine::Mysql => of_mariadb(found, holders, heard),
    };
    let mut evidence = read.evidence;
    if !found.log_error.is_empty() {
        // The files can be sound all the same: it is said, and decides nothing.
        evidence.push(Evidence {
            code: "log-unread",
            verdict: DataVerdict::Sound,
            what: format!(
                "what the server said last is not known: {}",
                found.log_error
            ),
        });
    }
    Ok(Looked {
        engine: read.engine,
        version: read.version,
        system_identifier: read.system_identifier,
        running,
        conclusion: conclude(&evidence, read.engine, running, &found.subject),
        evidence,
    })
}

/// What one kind of server's files say.
struct Read {
    engine: Engine,
    version: String,
    system_identifier: String,
    evidence: Vec<Evidence>,
}

fn of_postgres(found: &Found, holders: Vec<Holder>, heard: Vec<Heard>) -> Read {
    let around = Around {
        holders,
        heard,
        config_file: found.config_file.clone(),
    };
    let facts = postgres::facts::read(&found.directory, around);
    let control = facts.control.seen().and_then(|read| read.as_ref().ok());
    let version = facts.version.seen().or(facts.version_inside.as_ref());
    Read {
        engine: Engine::Postgres,
        version: version.cloned().unwrap_or_default(),
        system_identifier: control
            .map(|control| control.system_identifier.to_string())
            .unwrap_or_default(),
        evidence: postgres::judge::judge(&facts),
    }
}

fn of_mariadb(found: &Found, holders: Vec<Holder>, heard: Vec<Heard>) -> Read {
    let facts = mariadb::facts::read(&found.directory, holders, heard);
    Read {
        // The files know better than the name of a program or an image.
        engine: if facts.is_mysql {
            Engine::Mysql
        } else {
            Engine::Mariadb
        },
        version: facts.version.clone(),
        system_identifier: String::new(),
        evidence: mariadb::judge::judge(&facts),
    }
}

impl Looked {
    fn told(self, found: &Found) -> DataTriage {
        DataTriage {
            path: found.subject.path.clone(),
            engine: self.engine,
            version: self.version,
            system_identifier: self.system_identifier,
            running: self.running,
            verdict: self.conclusion.verdict,
            evidence: self.evidence.into_iter().map(Into::into).collect(),
            runbook: self.conclusion.runbook.to_owned(),
            next: self.conclusion.next,
        }
    }
}

/// The end of the newest file that a server writes its log to, where it does so in its data directory.
fn own_log(directory: &Directory, engine: Engine) -> Option<String> {
    let (folder, is_log): (_, fn(&str) -> bool) = match engine {
        Engine::Postgres => (directory.folder("log"), |name| name.ends_with(".log")),
        Engine::Mariadb | Engine::Mysql => (directory.folder("."), |name| name.ends_with(".err")),
    };
    let listed = folder.seen()?.list();
    let files = listed.seen()?.iter();
    let files = files.filter(|(name, entry)| entry.kind == directory::Kind::File && is_log(name));
    let (name, entry) = files.max_by_key(|(name, entry)| (entry.modified, name.clone()))?;
    let begin = entry.bytes.saturating_sub(LOG_BYTES as u64);
    let text = folder.seen()?.read_from(name, begin, LOG_BYTES);
    Some(String::from_utf8_lossy(text.seen()?).into_owned())
}
