//! What the files of a MariaDB or MySQL say about it. Pure.

use holdfast_proto::task::DataVerdict::{DataLost, NeedsRecovery, Sound, Unknown, WalDamaged};

use super::{
    facts::{Facts, Tablespace},
    tablespace::Checksum,
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
            let whole = tablespace(
                "ibdata1",
                file,
                !facts.system_goes_on,
                "system-tablespace-damaged",
                found,
            );
            if whole {
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
            tablespace("mysql.ibd", file, true, "system-tablespace-damaged", found);
        }
        Look::Missing => found.add(
            "system-tablespace-missing",
            DataLost,
            "mysql.ibd is missing, which holds the dictionary of all tables",
        ),
        Look::Unreadable(why) => found.unreadable("mysql.ibd", why),
    }
}

/// Whether nothing is wrong with it.
fn tablespace(
    path: &str,
    file: &Tablespace,
    alone: bool,
    code: &'static str,
    found: &mut Found,
) -> bool {
    let first = match &file.first {
        Ok(first) => first,
        Err(flaw) => {
            found.add(code, DataLost, format!("{path}: {}", flaw.words()));
            return false;
        }
    };
    if alone && file.bytes < first.least_bytes {
        let what = format!(
            "{path} is cut off: it holds {} bytes of {}",
            file.bytes, first.least_bytes
        );
        found.add(code, DataLost, what);
        return false;
    }
    match first.checksum {
        Checksum::Holds => true,
        Checksum::Wrong => {
            let what = format!("the checksum of the first page of {path} is wrong");
            found.add(code, DataLost, what);
            false
        }
        Checksum::NotTheUsual => {
            let what = format!("the first page of {path} does not carry the usual checksum");
            found.add("checksum-unknown", Unknown, what);
            false
        }
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
    let mut whole = 0;
    for (path, table) in &facts.tables {
        match table {
            Look::Seen(file) => {
                whole += usize::from(tablespace(path, file, true, "tablespace-damaged", found))
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
