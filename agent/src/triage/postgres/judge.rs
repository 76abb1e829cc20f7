//! What the files of a PostgreSQL data directory say about it. Pure.

use holdfast_proto::task::DataVerdict::{
    self, DataLost, IndexBroken, NeedsRecovery, Sound, Unknown, WalDamaged,
};

use super::{
    catalog::{Kind, well_known},
    control::{self, Control, Flaw, State},
    facts::{Facts, How, Inside, Settings, Strange, shared_name},
    relations::{self, Present, present},
    wal,
};
use crate::triage::{
    directory::Look,
    evidence::{Evidence, Found},
    log::Heard,
};

/// A gap in the log is followed no longer than that.
const MOST_MISSING: u64 = 100_000;

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
    let control = facts.control.seen().and_then(|read| read.as_ref().ok());
    version(facts, &mut found);
    control_file(facts, &mut found);
    folders(facts, &mut found);
    settings(facts, &mut found);
    rights(facts, &mut found);
    holders(facts, control, &mut found);
    if let Some(control) = control {
        log(facts, control, &mut found);
    }
    transactions(facts, &mut found);
    relations::judge(facts, &mut found);
    heard(facts, &mut found);
    found.sorted()
}

fn major(facts: &Facts) -> u32 {
    super::facts::major(&facts.version, facts.version_inside.as_deref())
}

fn version(facts: &Facts, found: &mut Found) {
    match &facts.version {
        Look::Seen(text) if text.parse::<u32>().is_ok() => {}
        Look::Seen(text) => found.add(
            "version-file-damaged",
            DataLost,
            format!("PG_VERSION holds {text:?}, which is no version"),
        ),
        Look::Missing => {
            let hint = facts.version_inside.as_ref();
            let hint = hint.map(|inside| format!("; base/1 says that it is {inside}"));
            let what = format!("PG_VERSION is missing{}", hint.unwrap_or_default());
            found.add("version-file-missing", DataLost, what);
        }
        Look::Unreadable(why) => found.unreadable("PG_VERSION", why),
    }
}

fn control_file(facts: &Facts, found: &mut Found) {
    const FILE: &str = "global/pg_control";
    let damaged = "control-file-damaged";
    match &facts.control {
        Look::Missing => found.add(
            "control-file-missing",
            DataLost,
            format!("{FILE} is missing"),
        ),
        Look::Unreadable(why) => found.unreadable(FILE, why),
        Look::Seen(Err(Flaw::Short { bytes })) => {
            let what = format!("{FILE} holds {bytes} bytes only, of {}", control::SIZE);
            found.add(damaged, DataLost, what);
        }
        Look::Seen(Err(Flaw::Checksum)) => {
            found.add(
                damaged,
                DataLost,
                format!("the checksum of {FILE} is wrong"),
            );
        }
        Look::Seen(Err(Flaw::Nonsense { field })) => {
            found.add(
                damaged,
                DataLost,
                format!("{field} in {FILE} makes no sense"),
            );
        }
        Look::Seen(Err(Flaw::Format { format })) if control::knows(major(facts)) => {
            let what = format!(
                "{FILE} says that it is of the format {format}, which PostgreSQL {} does not write",
                major(facts)
            );
            found.add(damaged, DataLost, what);
        }
        Look::Seen(Err(Flaw::Format { format })) => {
            let what = format!("{FILE} is of the format {format}, which is not known here");
            found.add("control-file-unknown", Unknown, what);
        }
        Look::Seen(Ok(control)) => {
            let what = format!(
                "{FILE} is whole: {}, checkpoint {}",
                control.state.words(),
                position(control.checkpoint)
            );
            found.add("control-file", Sound, what);
            if !facts.control_whole {
                let what = format!("{FILE} is not {} bytes long", control::SIZE);
                found.add("control-file-size", Unknown, what);
            }
            let wanted: &[u32] = match major(facts) {
                13..=16 => &[1300],
                17 => &[1300, 1700],
                18 => &[1800],
                _ => return,
            };
            if !wanted.contains(&control.format) {
                let what = format!(
                    "PG_VERSION says {}, and {FILE} is of another version",
                    major(facts)
                );
                found.add("version-mismatch", Unknown, what);
            }
        }
    }
}

fn folders(facts: &Facts, found: &mut Found) {
    for (name, essential) in &facts.missing_folders {
        let what = format!("the folder {name} is missing");
        match (*name, *essential) {
            ("pg_wal", _) => found.add("wal-folder-missing", WalDamaged, what),
            (_, true) => found.add("folder-missing", DataLost, what),
            (_, false) => found.add(
                "empty-folder-missing",
                Unknown,
                format!("{what}: the server does not start without it, empty as it may be"),
            ),
        }
    }
}

fn settings(facts: &Facts, found: &mut Found) {
    match &facts.settings {
        Settings::Here => {}
        Settings::Elsewhere(file) => {
            found.add("settings-elsewhere", Sound, format!("the settings are in {file}"));
        }
        Settings::Missing => found.add(
            "settings-missing",
            Unknown,
            "postgresql.conf is missing, and the server was not told of another place: it does not start",
        ),
        Settings::Unreadable(why) => found.unreadable("postgresql.conf", why),
    }
}

fn rights(facts: &Facts, found: &mut Found) {
    if facts.owner == 0 {
        let what = "the data directory belongs to root, whom no server runs as";
        found.add("wrong-owner", Unknown, what);
    }
    if ![0o700, 0o750].contains(&(facts.mode & 0o777)) {
        let what = format!(
            "the data directory has the mode {:04o}, and the server wants 0700 or 0750",
            facts.mode
        );
        found.add("wrong-mode", Unknown, what);
    }
    for Strange { path, how } in &facts.strange {
        match how {
            How::Owner(uid) => {
                let whose = facts.owner;
                let what =
                    format!("{path} belongs to user {uid}, and the data directory to user {whose}");
                found.add("wrong-owner", Unknown, what);
            }
            How::Mode(mode) => {
                let what = format!("{path} has the mode {mode:04o}: the server cannot use it");
                found.add("wrong-mode", Unknown, what);
            }
        }
    }
}

fn holders(facts: &Facts, control: Option<&Control>, found: &mut Found) {
    let pids: Vec<_> = facts
        .holders
        .iter()
        .map(|holder| holder.pid.to_string())
        .collect();
    match facts.holders.as_slice() {
        [] => stopped(facts, control, found),
        [holder] => {
            found.add(
                "running",
                Sound,
                format!("a server runs in it (process {})", holder.pid),
            );
            if let Some(named) = facts.lock.filter(|pid| pid.abs() != holder.own_pid) {
                let what = format!(
                    "postmaster.pid names the process {named}, and the server that runs in it is {}",
                    holder.own_pid
                );
                found.add("lock-of-another", Unknown, what);
            }
            if control.is_some_and(|control| control.state == State::InCrashRecovery) {
                found.add("recovering", NeedsRecovery, "the server is recovering now");
            }
        }
        _ => found.add(
            "two-servers",
            Unknown,
            format!(
                "{} servers run in it at once (processes {}): each spoils what the others write",
                pids.len(),
                pids.join(", ")
            ),
        ),
    }
}

fn stopped(facts: &Facts, control: Option<&Control>, found: &mut Found) {
    if let Some(pid) = facts.lock {
        let what = format!(
            "postmaster.pid is left behind: it names the process {pid}, and no server runs in the directory"
        );
        found.add("stale-lock", Sound, what);
    }
    if let Some(control) = control.filter(|control| !control.state.is_clean()) {
        let what = format!(
            "the server did not stop in order (it was {}): it recovers when it starts",
            control.state.words()
        );
        found.add("not-stopped-in-order", NeedsRecovery, what);
    }
}

/// The segments that a recovery would read, and the record that it would begin with.
fn log(facts: &Facts, control: &Control, found: &mut Found) {
    if let Some(why) = &facts.wal.unreadable {
        found.unreadable("pg_wal", why);
        return;
    }
    if facts
        .missing_folders
        .iter()
        .any(|(name, _)| *name == "pg_wal")
    {
        return;
    }
    let size = u64::from(control.wal_segment);
    let first = wal::number(control.redo, control.wal_segment);
    let at = wal::number(control.checkpoint, control.wal_segment);
    let own = |number: u64| {
        let segment = facts.wal.segments.get(&number)?;
        let page = segment.first.as_ref()?;
        let written =
            page.is_of(control, major(facts)) && page.address == number.wrapping_mul(size);
        Some(written)
    };
    let written = facts
        .wal
        .segments
        .keys()
        .rev()
        .find(|number| own(**number) == Some(true));
    let last = match written {
        Some(written) if !control.state.is_clean() => at.max(*written),
        _ => at,
    };
    let missing = if facts.fed { Unknown } else { WalDamaged };
    for number in (first..=last).take(usize::try_from(MOST_MISSING).unwrap_or(usize::MAX)) {
        let Some(segment) = facts.wal.segments.get(&number) else {
            let name = wal::name(control.timeline, number, control.wal_segment);
            let from = if facts.fed {
                "; it may come from an archive or another server"
            } else {
                ""
            };
            let what = format!("pg_wal/{name} is missing, which recovery needs{from}");
            found.add("wal-segment-missing", missing, what);
            continue;
        };
        if let Some(why) = &segment.unreadable {
            found.unreadable(&format!("pg_wal/{}", segment.name), why);
        } else if own(number) != Some(true) || segment.bytes < size {
            let what = format!(
                "pg_wal/{} does not begin as a segment of this server's log, or is cut off ({} bytes)",
                segment.name, segment.bytes
            );
            found.add("wal-segment-damaged", WalDamaged, what);
        }
    }
    // In a segment that is none there is no record either.
    if let Some(Err(flaw)) = facts.wal.checkpoint
        && own(at) == Some(true)
    {
        let what = format!(
            "the record of the newest checkpoint ({}) cannot be read: {}",
            position(control.checkpoint),
            flaw.words()
        );
        found.add("checkpoint-lost", WalDamaged, what);
    }
}

fn transactions(facts: &Facts, found: &mut Found) {
    if let Some((name, false)) = &facts.transactions {
        let what =
            format!("{name} is missing: it says which of the newest transactions ended well");
        found.add("transactions-missing", DataLost, what);
    }
}

/// What the server said: of a file, only what the files bear out.
fn heard(facts: &Facts, found: &mut Found) {
    for heard in &facts.heard {
        let verdict = match &heard.file {
            None => heard.verdict,
            Some(file) => match told_of(facts, heard, file) {
                Some(verdict) => verdict,
                None => continue,
            },
        };
        found.add(
            heard.code,
            verdict,
            format!("the server said: {}", heard.line),
        );
    }
}

/// None: the file that was missing is there again.
fn told_of(facts: &Facts, heard: &Heard, file: &str) -> Option<DataVerdict> {
    let (folder, number) = file.rsplit_once('/')?;
    let number: u32 = number.parse().ok()?;
    let (files, kind) = if folder == "global" {
        let mappings = facts.shared_map.seen().and_then(|read| read.as_ref().ok());
        let mapping = mappings
            .into_iter()
            .flatten()
            .find(|mapping| mapping.file == number);
        let kind = mapping.map(|mapping| shared_name(&facts.inside, mapping.relation).1);
        (facts.shared_files.seen(), kind)
    } else {
        let inside = facts.inside.iter().find(|inside| inside.path == folder)?;
        (inside.files.seen(), kind_of(inside, number))
    };
    let missing = files.is_some_and(|files| present(files, number) == Present::Missing);
    if heard.code == "file-missing" && !missing {
        return None;
    }
    Some(match kind {
        Some(Kind::Index) => IndexBroken,
        Some(Kind::Table | Kind::Sequence) => heard.verdict,
        // It belongs to nothing any more.
        None if missing => return None,
        None => heard.verdict,
    })
}

fn kind_of(inside: &Inside, file: u32) -> Option<Kind> {
    let relations = inside.relations.seen().map(|relations| &relations.all);
    let named = relations
        .into_iter()
        .flatten()
        .find(|relation| relation.file == file);
    if let Some(relation) = named {
        return Some(relation.kind);
    }
    let mappings = inside.map.seen().and_then(|read| read.as_ref().ok());
    let mapping = mappings
        .into_iter()
        .flatten()
        .find(|mapping| mapping.file == file)?;
    well_known(mapping.relation).map(|(_, kind)| kind)
}

/// "0/3000028".
fn position(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}
