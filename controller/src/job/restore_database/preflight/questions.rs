//! Questions about the backup alone.

use holdfast_chassis::units;

use crate::{
    catalog::{Backup, BackupKind, BackupState},
    job::{
        back_up_database::record::BackupContents,
        copy_database::preflight::{PreflightLine, some_of},
        restore_database::{
            RestoreDatabase,
            contents::Known,
            tables::{Chosen, choose},
        },
        shelf::OutOfReach,
    },
};

const LOOK: &str = "`ctl backup list` shows the backups";

pub fn ask(
    request: &RestoreDatabase,
    backup: Option<&Known>,
    held: Option<&Result<bool, OutOfReach>>,
    lines: &mut Vec<PreflightLine>,
) {
    let Some(Known { backup, contents }) = backup else {
        let none = format!("there is no backup {}", request.backup);
        lines.push(PreflightLine::failed("backup is stored", none, LOOK));
        return;
    };
    lines.push(stored(backup));
    lines.push(readable(backup, contents.as_ref()));
    lines.extend(marked(backup));
    lines.extend(whole(request, backup));
    if let Ok(noted) = contents {
        lines.extend(patterns(request, noted));
    }
    lines.extend(held.map(|held| in_repository(backup, held)));
}

fn stored(backup: &Backup) -> PreflightLine {
    const QUESTION: &str = "backup is stored";
    if let Some(at) = backup.removed_at {
        let gone = format!("it was removed {} UTC", at.format("%F %H:%M:%S"));
        return PreflightLine::failed(QUESTION, gone, LOOK);
    }
    let taken = format!(
        "{}, taken {} UTC, {}",
        backup.state,
        backup.taken_at.format("%F %H:%M:%S"),
        units::size(backup.logical_bytes)
    );
    match backup.state {
        // The proof has the last word: nothing is published that is not whole.
        BackupState::Damaged => PreflightLine::warning(
            QUESTION,
            format!("{taken}: a check or a drill found something broken in it"),
            "restore an older one if this one fails",
        ),
        BackupState::Expired => PreflightLine::failed(QUESTION, taken, LOOK),
        BackupState::Stored | BackupState::Checked | BackupState::Proven => {
            PreflightLine::passed(QUESTION, taken)
        }
    }
}

fn readable(backup: &Backup, contents: Result<&BackupContents, &String>) -> PreflightLine {
    const QUESTION: &str = "backup can be restored";
    let Some(engine) = backup.engine.filter(|_| backup.kind != BackupKind::Volume) else {
        return PreflightLine::failed(QUESTION, "it is one of a volume, not of a database", LOOK);
    };
    let engine = engine.label();
    match contents {
        Err(wrong) => PreflightLine::failed(
            QUESTION,
            wrong,
            "upgrade the controller, or restore by hand with restic and the restore.sh in the backup",
        ),
        Ok(noted) => PreflightLine::passed(
            QUESTION,
            format!(
                "{}, {} of {engine} {}",
                backup.kind,
                units::plural(noted.image.relations.len() as u64, "table"),
                noted.source.server_version
            ),
        ),
    }
}

fn marked(backup: &Backup) -> Option<PreflightLine> {
    let since = backup.marked_at?;
    Some(PreflightLine::warning(
        "backup stays",
        format!(
            "retention does not want it any more since {} UTC; it stays while this job reads it",
            since.format("%F %H:%M:%S")
        ),
        "pin it (ctl backup pin) when it is still needed afterwards",
    ))
}

/// A part never takes the place of the whole.
fn whole(request: &RestoreDatabase, backup: &Backup) -> Option<PreflightLine> {
    const QUESTION: &str = "backup may take that place";
    if !request.replace {
        return None;
    }
    Some(match backup.kind {
        BackupKind::Full | BackupKind::BeforeReplace | BackupKind::Volume => {
            PreflightLine::passed(QUESTION, "it holds the whole database")
        }
        BackupKind::SchemaOnly | BackupKind::Tables => PreflightLine::failed(
            QUESTION,
            format!("it holds only a part of the database ({})", backup.kind),
            "restore it beside the live one: --to HOST/INSTANCE/ANOTHER_NAME, without --replace",
        ),
    })
}

fn patterns(request: &RestoreDatabase, noted: &BackupContents) -> Option<PreflightLine> {
    const QUESTION: &str = "every table pattern matches";
    if request.tables.is_empty() {
        return None;
    }
    let Chosen { tables, unmatched } = choose(&noted.image, &request.tables);
    if !unmatched.is_empty() {
        return Some(PreflightLine::failed(
            QUESTION,
            format!("the backup has no table {}", some_of(&unmatched)),
            "patterns are schema.table or table, * stands for any run of characters",
        ));
    }
    let names: Vec<_> = tables
        .iter()
        .map(|table| format!("{}.{}", table.schema, table.name))
        .collect();
    Some(PreflightLine::passed(QUESTION, some_of(&names)))
}

/// Of databases and volumes alike.
pub fn in_repository(backup: &Backup, held: &Result<bool, OutOfReach>) -> PreflightLine {
    const QUESTION: &str = "repository holds it";
    let host = &backup.database.host;
    match held {
        Ok(true) => PreflightLine::passed(QUESTION, format!("the repository of {host}")),
        Ok(false) => PreflightLine::failed(
            QUESTION,
            format!(
                "the repository of {host} has no snapshot {}",
                backup.snapshot_id
            ),
            "look at the repository (ctl repository check), and restore another backup",
        ),
        Err(wrong) => PreflightLine::failed(
            QUESTION,
            format!("could not check: {wrong}"),
            "see whether the repositories' storage is up: ctl repository check",
        ),
    }
}
