//! What the files of a MariaDB or MySQL say about it. Pure.

use holdfast_proto::task::DataVerdict::{DataLost, NeedsRecovery, Sound, Unknown, WalDamaged};

use super::{
    facts::{Facts, Tablespace},
    tablespace::{Checksum, Flaw},
};
use crate::triage::{
    directory::Look,
    evidence::{Evidence, Found},
};

#[must_use]
pub fn judge(facts: &Facts) -> Vec<Evidence> {
    let mut found = Found::default();
    if facts.empty {
        found.add(
            "data-directory-empty",
            DataLost,
            "nothing lies in the data directory",
        );
        return found.sorted();
    }
    holders(facts, &mut found);
    system(facts, &mut found);
    redo(facts, &mut found);
    aria(facts, &mut found);
    tables(facts, &mut found);
    rights(facts, &mut found);
    for heard in &facts.heard {
        let what = format!("the server said: {}", heard.line);
        found.add(heard.code, heard.verdict, what);
    }
    found.sorted()
}

fn holders(facts: &Facts, found: &mut Found) {
    match facts.holders.as_slice() {
        [] if facts.temporary => found.add(
            "not-stopped-in-order",
            NeedsRecovery,
            "ibtmp1 is left behind: the server did not stop in order, and recovers when it starts",
        ),
        [] => {}
        [holder] => {
            let what = format!("a server runs in it (process {})", holder.pid);
            found.add("running", Sound, what);
        }
        several => {
            let pids: Vec<_> = several
                .iter()
                .map(|holder| holder.pid.to_string())
                .collect();
            let what = format!(
                "several servers run in it at once (processes {})",
                pids.join(", ")
            );
            found.add("two-servers", Unknown, what);
        }
    }
}

fn system(facts: &Facts, found: &mut Found) {
    match &facts.system {
        Look::Seen(file) => {
            let system = File {
                path: "ibdata1",
                of: file,
                alone: !facts.system_goes_on,
                system: true,
            };
            if system.judge(Written::of(facts), found) {
                found.add(
                    "system-tablespace",
                    Sound,
                    "the first page of ibdata1 is whole",
                );
            }
        }
        Look::Missing => found.add(
            "system-tablespace-missing",
            DataLost,
            "ibdata1 is missing, which holds what InnoDB knows of all tables",
        ),
        Look::Unreadable(why) => found.unreadable("ibdata1", why),
    }
    if !facts.own_tables {
        let what = "the folder mysql is missing, which holds accounts and settings";
        found.add("system-table-missing", DataLost, what);
    }
    if !facts.is_mysql {
        return;
    }
    match &facts.dictionary {
        Look::Seen(file) => {
            let dictionary = File {
                path: "mysql.ibd",
                of: file,
                alone: true,
                system: true,
            };
            dictionary.judge(Written::of(facts), found);
        }
        Look::Missing => found.add(
            "system-tablespace-missing",
            DataLost,
            "mysql.ibd is missing, which holds the dictionary of all tables",
        ),
        Look::Unreadable(why) => found.unreadable("mysql.ibd", why),
    }
}

/// How sure it is that a first page is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// The server stopped in order: all of it is.
    All,
    /// A server runs: the newest may be in its memory and its log alone.
    ByAndBy,
    /// It was killed: recovery writes what the log has.
    AfterRecovery,
}

impl Written {
    fn of(facts: &Facts) -> Self {
        if !facts.holders.is_empty() {
            Self::ByAndBy
        } else if facts.temporary {
            Self::AfterRecovery
        } else {
            Self::All
        }
    }
}

/// A file of InnoDB, and what it is for.
struct File<'a> {
    path: &'a str,
    of: &'a Tablespace,
    /// It has no other files that it goes on in.
    alone: bool,
    /// Of the server itself: its first page was written when it was made.
    system: bool,
}

impl File<'_> {
    /// Whether nothing is wrong with it.
    fn judge(&self, written: Written, found: &mut Found) -> bool {
        let path = self.path;
        let damaged = if self.system {
            "system-tablespace-damaged"
        } else {
            "tablespace-damaged"
        };
        let (code, verdict, what) = match &self.of.first {
            Ok(first) if self.alone && self.of.bytes < first.least_bytes => {
                let (bytes, least) = (self.of.bytes, first.least_bytes);
                let what = format!("{path} is cut off: it holds {bytes} bytes of {least}");
                found.add(damaged, DataLost, what);
                return false;
            }
            Ok(first) => match first.checksum {
                Checksum::Holds => return true,
                Checksum::Wrong => {
                    let what = format!("the checksum of the first page of {path} is wrong");
                    (damaged, DataLost, what)
                }
                Checksum::NotTheUsual => {
                    let what =
                        format!("the first page of {path} does not carry the usual checksum");
                    ("checksum-unknown", Unknown, what)
                }
            },
            Err(flaw @ (Flaw::Short | Flaw::Empty)) if self.system => {
                found.add(damaged, DataLost, format!("{path}: {}", flaw.words()));
                return false;
            }
            Err(flaw) => (damaged, DataLost, format!("{path}: {}", flaw.words())),
        };
        match written {
            Written::All => found.add(code, verdict, what),
            Written::ByAndBy => {
                found.add(
                    "not-yet-written",
                    Sound,
                    format!("{what}; a server that runs may not have written it yet"),
                );
            }
            Written::AfterRecovery => {
                found.add(
                    "not-yet-written",
                    NeedsRecovery,
                    format!("{what}; recovery writes what the log has of it"),
                );
            }
        }
        false
    }
}

fn redo(facts: &Facts, found: &mut Found) {
    let (path, header) = &facts.redo;
    match header {
        Look::Seen(true) => {}
        Look::Seen(false) => {
            found.add(
                "redo-log-damaged",
                WalDamaged,
                format!("the header of {path} is damaged"),
            );
        }
        Look::Missing => {
            found.add(
                "redo-log-missing",
                WalDamaged,
                format!("the redo log {path} is missing"),
            );
        }
        Look::Unreadable(why) => found.unreadable(path, why),
    }
}

fn aria(facts: &Facts, found: &mut Found) {
    match &facts.aria {
        Look::Missing if facts.is_mysql => {}
        Look::Seen(true) => {}
        Look::Seen(false) => found.add(
            "aria-control-damaged",
            WalDamaged,
            "aria_log_control does not begin as such a file does",
        ),
        Look::Missing => found.add(
            "aria-control-missing",
            WalDamaged,
            "aria_log_control is missing, which says where the log of the system's own tables stands",
        ),
        Look::Unreadable(why) => found.unreadable("aria_log_control", why),
    }
}

fn tables(facts: &Facts, found: &mut Found) {
    let written = Written::of(facts);
    let mut whole = 0;
    for (path, table) in &facts.tables {
        match table {
            Look::Seen(of) => {
                let file = File {
                    path,
                    of,
                    alone: true,
                    system: false,
                };
                whole += usize::from(file.judge(written, found));
            }
            // Removed while we looked.
            Look::Missing => {}
            Look::Unreadable(why) => found.unreadable(path, why),
        }
    }
    found.add(
        "tablespaces",
        Sound,
        format!("the first pages of {whole} tables are whole"),
    );
    for half in &facts.halves {
        let what = format!("{half} is missing, and the table's other file is there");
        found.add("table-missing", DataLost, what);
    }
    for table in &facts.without_file {
        let what = format!("{table} is missing; the table may lie in ibdata1");
        found.add("tablespace-missing", Unknown, what);
    }
    for (folder, why) in &facts.unread {
        found.unreadable(folder, why);
    }
    if facts.too_many {
        found.add(
            "not-looked-into",
            Unknown,
            "there are more tables than are looked into",
        );
    }
}

fn rights(facts: &Facts, found: &mut Found) {
    for strange in &facts.strange {
        let what = format!("{strange}, and the data directory to user {}", facts.owner);
        found.add("wrong-owner", Unknown, what);
    }
}
