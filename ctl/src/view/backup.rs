//! Backups: what is stored, what is in it, what changed since, and what becomes of it.

use serde::Serialize;

use super::{Time, check::Outcome, job::moment};
use crate::output::{
    Page, View,
    grid::{Grid, plain, toned},
    paint::Tone,
    units,
};

mod made;

pub use made::{BackupMade, BackupsMade};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    pub id: u64,
    pub database: String,
    pub engine: String,
    pub kind: String,
    pub state: String,
    pub pinned: bool,
    pub taken_at: Option<Time>,
    pub stored_at: Option<Time>,
    pub proven_at: Option<Time>,
    pub logical_bytes: u64,
    /// What the repository grew by.
    pub stored_bytes: u64,
    pub snapshot: String,
    pub job: Option<u64>,
    pub marked_at: Option<Time>,
    pub goes_at: Option<Time>,
    pub removed_at: Option<Time>,
    pub deleted_by: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupList {
    pub backups: Vec<Backup>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredRelation {
    pub schema: String,
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    pub fingerprint: String,
}

/// A user count right after the image was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupCheck {
    pub name: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupDetail {
    pub backup: Backup,
    pub server_version: String,
    pub lsn: String,
    pub tables: Vec<StoredRelation>,
    pub checks: Vec<BackupCheck>,
    /// Patterns; empty: every table.
    pub only_tables: Vec<String>,
    pub keep: bool,
    pub reasons: Vec<String>,
    /// Of a volume, instead of tables.
    pub volume: Option<VolumeContents>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeContents {
    pub files: u64,
    pub folders: u64,
    /// Links, pipes, devices.
    pub others: u64,
    pub bytes: u64,
    pub fingerprint: String,
    /// Sockets, which are not in it.
    pub left_out: Vec<String>,
    /// Data directories of servers in it.
    pub databases: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    Came,
    Went,
    Grew,
    Shrank,
    Changed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RelationChange {
    pub schema: String,
    pub name: String,
    pub kind: ChangeKind,
    pub rows_before: u64,
    pub rows_after: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// One end of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    pub backup: u64,
    pub database: String,
    pub taken_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupDiff {
    pub older: Compared,
    pub newer: Compared,
    pub changes: Vec<RelationChange>,
    pub unchanged: u64,
    pub schema_changed: bool,
}

/// After a pin, its end, or a deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupChanged {
    pub backup: Backup,
}

impl Compared {
    #[must_use]
    pub fn of(backup: &Backup) -> Self {
        Self {
            backup: backup.id,
            database: backup.database.clone(),
            taken_at: backup.taken_at,
        }
    }
}

impl Backup {
    /// "stored", "proven, pinned", "stored, goes in 3 h".
    fn standing(&self, page: &Page) -> (Tone, String) {
        let tone = match self.state.as_str() {
            "proven" => Tone::Good,
            "damaged" => Tone::Bad,
            "expired" => Tone::Dim,
            _ => Tone::Plain,
        };
        let mut words = self.state.clone();
        if self.pinned {
            words.push_str(", pinned");
        }
        if self.goes_at.is_some() {
            let goes = units::ago(page.now, self.goes_at);
            words.push_str(&format!(", goes {goes}"));
        }
        (tone, words)
    }
}

impl View for BackupList {
    fn text(&self, page: &Page) -> String {
        let head = [
            "BACKUP", "DATABASE", "TAKEN", "KIND", "STATE", "SIZE", "STORED",
        ];
        let mut grid = Grid::new(page, &head, "no backups").right(&[0, 5, 6]);
        for backup in &self.backups {
            let taken = backup.taken_at.map(|at| at.format("%F %H:%M").to_string());
            let (tone, words) = backup.standing(page);
            grid.row(vec![
                toned(Tone::Strong, backup.id),
                plain(&backup.database),
                plain(taken.unwrap_or_default()),
                plain(&backup.kind),
                toned(tone, words),
                plain(units::size(backup.logical_bytes)),
                plain(units::size(backup.stored_bytes)),
            ]);
        }
        grid.render()
    }
}

impl View for BackupDetail {
    fn text(&self, page: &Page) -> String {
        let mut out = self.head(page);
        if !self.checks.is_empty() {
            out.push_str("\nUSERS\n");
            let mut grid = Grid::new(page, &["CHECK", "COUNT", ""], "").right(&[1]);
            for check in &self.checks {
                let count = check.outcome.count.map(units::signed).unwrap_or_default();
                grid.row(vec![
                    plain(&check.name),
                    plain(count),
                    toned(Tone::Bad, &check.outcome.error),
                ]);
            }
            out.push_str(&grid.render());
        }
        if let Some(volume) = &self.volume {
            out.push_str(&volume.text());
            return out;
        }
        out.push_str("\nTABLES\n");
        let mut grid = Grid::new(page, &["TABLE", "ROWS", "SIZE"], "no tables").right(&[1, 2]);
        for table in &self.tables {
            grid.row(vec![
                plain(format!("{}.{}", table.schema, table.name)),
                plain(units::count(table.rows)),
                plain(units::size(table.bytes)),
            ]);
        }
        out.push_str(&grid.render());
        out
    }
}

impl VolumeContents {
    fn text(&self) -> String {
        let Self {
            files,
            folders,
            others,
            bytes,
            fingerprint,
            left_out,
            databases,
        } = self;
        let mut out = format!(
            "\nFILES\n  {} of {}, {}, {others} links and others\n  fingerprint {fingerprint}\n",
            units::count(*files),
            units::size(*bytes),
            units::plural(*folders, "folder"),
        );
        if !databases.is_empty() {
            out.push_str(&format!("  a server's data: {}\n", databases.join(", ")));
        }
        if !left_out.is_empty() {
            out.push_str(&format!("  left out (sockets): {}\n", left_out.join(", ")));
        }
        out
    }
}

impl BackupDetail {
    fn head(&self, page: &Page) -> String {
        let backup = &self.backup;
        let (tone, words) = backup.standing(page);
        let mut out = format!(
            "backup {}  {}  {} ({})\n",
            backup.id,
            page.paint.tone(tone, &words),
            backup.database,
            backup.kind
        );
        let mut line = |label: &str, value: String| {
            if !value.is_empty() {
                out.push_str(&format!("  {label:<10} {value}\n"));
            }
        };
        let at = |time: Option<Time>| time.map(moment).unwrap_or_default();
        line("shows", at(backup.taken_at));
        line("stored", at(backup.stored_at));
        line(
            "proof",
            backup.proven_at.map_or_else(
                || "not restored by a drill yet".to_owned(),
                |at| format!("restored by a drill at {}", moment(at)),
            ),
        );
        line(
            "server",
            format!("{} {}", backup.engine, self.server_version)
                .trim()
                .to_owned(),
        );
        line("position", self.lsn.clone());
        line(
            "size",
            format!(
                "{}; the repository grew by {}",
                units::size(backup.logical_bytes),
                units::size(backup.stored_bytes)
            ),
        );
        line("only", self.only_tables.join(", "));
        line("snapshot", backup.snapshot.clone());
        line(
            "job",
            backup.job.map(|job| job.to_string()).unwrap_or_default(),
        );
        line("removed", at(backup.removed_at));
        line("deleted", backup.deleted_by.clone());
        let wish = if self.keep { "keeps" } else { "goes" };
        if !self.reasons.is_empty() {
            line("retention", format!("{wish}: {}", self.reasons.join("; ")));
        }
        out
    }
}

impl View for BackupDiff {
    fn text(&self, page: &Page) -> String {
        let end = |end: &Compared| {
            let taken = end.taken_at.map(moment).unwrap_or_default();
            format!("backup {} of {} ({taken})", end.backup, end.database)
        };
        let mut out = format!("{} → {}\n", end(&self.older), end(&self.newer));
        let head = ["TABLE", "", "ROWS", "SIZE"];
        let mut grid = Grid::new(page, &head, "no table differs");
        for change in &self.changes {
            let (tone, word) = match change.kind {
                ChangeKind::Came => (Tone::Good, "came"),
                ChangeKind::Went => (Tone::Bad, "went"),
                ChangeKind::Grew => (Tone::Plain, "grew"),
                ChangeKind::Shrank => (Tone::Warn, "shrank"),
                ChangeKind::Changed => (Tone::Plain, "changed"),
            };
            grid.row(vec![
                plain(format!("{}.{}", change.schema, change.name)),
                toned(tone, word),
                plain(format!(
                    "{} → {}",
                    units::count(change.rows_before),
                    units::count(change.rows_after)
                )),
                plain(format!(
                    "{} → {}",
                    units::size(change.bytes_before),
                    units::size(change.bytes_after)
                )),
            ]);
        }
        out.push_str(&grid.render());
        let same = units::plural(self.unchanged, "table");
        out.push_str(&format!("{same} did not change"));
        if self.schema_changed {
            out.push_str("; definitions did");
        }
        out.push('\n');
        out
    }
}

impl View for BackupChanged {
    fn text(&self, page: &Page) -> String {
        let backup = &self.backup;
        let (id, of) = (backup.id, &backup.database);
        match backup.goes_at {
            Some(at) if !backup.deleted_by.is_empty() => format!(
                "backup {id} of {of} goes {} ({}), when nothing reads it\n  ctl backup pin {id:<5} keeps it after all\n",
                units::ago(page.now, Some(at)),
                moment(at)
            ),
            _ if backup.pinned => format!("backup {id} of {of} is pinned: it is never removed\n"),
            _ => format!("backup {id} of {of} is not pinned: retention decides\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        output::{View as _, testing::page},
        view::samples::backup as samples,
    };

    #[test]
    fn a_list_shows_proof_pins_and_ends() {
        let text = samples::list().text(&page());
        for said in [
            "proven, pinned",
            "stored, goes in ",
            "schema-only",
            "340 MiB",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
    }

    #[test]
    fn contents_have_their_tables_counts_and_reasons() {
        let text = samples::detail().text(&page());
        for said in [
            "backup 17  proven, pinned  web-1/shop-db/shop (full)\n",
            "restored by a drill at 2026-11-20 09:00:00 UTC",
            "retention  keeps: the newest proven one",
            "public.orders",
            "users",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
    }

    #[test]
    fn a_difference_names_each_table_with_both_numbers() {
        let text = samples::diff().text(&page());
        assert!(text.contains("public.orders  grew  10 → 510"), "{text}");
        assert!(
            text.ends_with("3 tables did not change; definitions did\n"),
            "{text}"
        );
    }

    #[test]
    fn what_was_deleted_says_when_it_goes_and_the_way_back() {
        let text = samples::deleted().text(&page());
        assert!(
            text.contains("goes in ") && text.contains("ctl backup pin 16"),
            "{text}"
        );
        assert!(samples::pinned().text(&page()).contains("is never removed"));
    }
}
