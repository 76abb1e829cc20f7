//! What was seen, put in order, and what follows from the worst of it. Pure.

use holdfast_proto::{
    fleet::Engine,
    task::{DataEvidence, DataVerdict},
};

/// Of one code, how many are told one by one.
const TOLD: usize = 10;

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Stable: findings and scripts go by it.
    pub code: &'static str,
    pub verdict: DataVerdict,
    pub what: String,
}

/// Collects evidence.
#[derive(Debug, Default)]
pub struct Found(Vec<Evidence>);

impl Found {
    pub fn add(&mut self, code: &'static str, verdict: DataVerdict, what: impl Into<String>) {
        let what = what.into();
        self.0.push(Evidence {
            code,
            verdict,
            what,
        });
    }

    /// What could not be read is never sound.
    pub fn unreadable(&mut self, path: &str, why: &str) {
        let what = format!("{path} could not be read: {why}");
        if self.0.iter().all(|known| known.what != what) {
            self.add("unreadable", DataVerdict::Unknown, what);
        }
    }

    /// The worst first; of many of a kind the first few, and how many more.
    #[must_use]
    pub fn sorted(self) -> Vec<Evidence> {
        let mut all = self.0;
        all.sort_by(|a, b| (b.verdict, a.code).cmp(&(a.verdict, b.code)));
        let mut told: Vec<Evidence> = Vec::new();
        for code in codes(&all) {
            let mut same = all
                .iter()
                .filter(|one| one.code == code.0 && one.verdict == code.1);
            told.extend(same.by_ref().take(TOLD).cloned());
            let more = same.count();
            if more > 0 {
                told.push(Evidence {
                    code: code.0,
                    verdict: code.1,
                    what: format!("and {more} more of these"),
                });
            }
        }
        told
    }
}

fn codes(all: &[Evidence]) -> Vec<(&'static str, DataVerdict)> {
    let mut codes: Vec<_> = all.iter().map(|one| (one.code, one.verdict)).collect();
    codes.dedup();
    codes
}

/// How operators name what was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// `HOST/INSTANCE`, or `HOST/VOLUME`.
    pub shown: String,
    /// The volume that holds it, without its host.
    pub volume: Option<String>,
    /// The container that it is for.
    pub container: Option<String>,
    /// On this host.
    pub path: String,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    pub verdict: DataVerdict,
    /// Empty: nothing is to be done.
    pub runbook: &'static str,
    pub next: String,
}

/// The worst decides.
#[must_use]
pub fn conclude(
    evidence: &[Evidence],
    engine: Engine,
    running: bool,
    subject: &Subject,
) -> Conclusion {
    let verdict = evidence.iter().map(|one| one.verdict).max();
    let verdict = verdict.unwrap_or(DataVerdict::Unknown);
    let worst = evidence.iter().filter(|one| one.verdict == verdict);
    let runbook = worst
        .map(|one| runbook(one.code))
        .find(|name| !name.is_empty());
    // A full disk is no damage, and has to be seen to all the same.
    let aside = evidence.iter().any(|one| one.code == "disk-full");
    let runbook = runbook.unwrap_or(if aside { "disk-full" } else { "" });
    Conclusion {
        verdict,
        runbook,
        next: next(verdict, runbook, engine, running, subject),
    }
}

/// Which runbook mends it; empty: none is needed.
#[must_use]
pub fn runbook(code: &str) -> &'static str {
    match code {
        "data-directory-empty" | "no-data-directory" => "volume-lost",
        "two-servers" => "live-double-mount",
        "disk-full" => "disk-full",
        "control-file-missing"
        | "control-file-damaged"
        | "wal-folder-missing"
        | "wal-segment-missing"
        | "wal-segment-damaged"
        | "wal-unreadable"
        | "wal-behind"
        | "checkpoint-lost"
        | "redo-log-missing"
        | "redo-log-damaged"
        | "aria-damaged"
        | "aria-control-missing"
        | "aria-control-damaged" => "wal-corruption",
        "filenode-map-damaged"
        | "filenode-map-missing"
        | "system-index-empty"
        | "system-index-missing"
        | "index-empty"
        | "index-missing"
        | "index-damaged"
        | "system-table-empty"
        | "system-table-missing"
        | "sequence-missing"
        | "table-empty"
        | "table-missing"
        | "database-missing"
        | "page-damaged"
        | "file-missing"
        | "transactions-missing"
        | "folder-missing"
        | "system-tablespace-missing"
        | "system-tablespace-damaged"
        | "tablespace-missing"
        | "tablespace-damaged" => "catalog-damage",
        "version-file-missing"
        | "version-file-damaged"
        | "version-mismatch"
        | "control-file-size"
        | "control-file-unknown"
        | "empty-folder-missing"
        | "settings-missing"
        | "wrong-owner"
        | "wrong-mode"
        | "incompatible-version"
        | "lock-refused"
        | "lock-of-another"
        | "panic" => "server-will-not-start",
        _ => "",
    }
}

fn next(
    verdict: DataVerdict,
    runbook: &str,
    engine: Engine,
    running: bool,
    subject: &Subject,
) -> String {
    let host = subject.shown.split('/').next().unwrap_or_default();
    let copy = match &subject.volume {
        Some(volume) => format!("ctl backup create --volume {host}/{volume} --stop"),
        None => format!("stop the server and copy {} elsewhere", subject.path),
    };
    match (verdict, runbook) {
        (_, "disk-full") => format!(
            "make room on the disk of {}, then triage again",
            subject.path
        ),
        (_, "live-double-mount") => {
            "docker ps shows both containers: stop the one that does not belong there".to_owned()
        }
        (DataVerdict::Sound, _) => String::new(),
        (DataVerdict::NeedsRecovery, _) if running => String::new(),
        (DataVerdict::NeedsRecovery, _) => match &subject.container {
            Some(container) => format!("docker start {container}"),
            None => "start the server".to_owned(),
        },
        (DataVerdict::IndexBroken, _) if engine == Engine::Postgres => format!(
            "{copy}; then build the index anew: REINDEX, for a system index in single-user mode (docs/triage.md)"
        ),
        (DataVerdict::IndexBroken | DataVerdict::WalDamaged | DataVerdict::DataLost, _) => {
            format!(
                "{copy}; then see what there is to restore: ctl backup list {}",
                subject.shown
            )
        }
        (DataVerdict::Unknown, "server-will-not-start") => {
            "mend what is named above, then triage again".to_owned()
        }
        (DataVerdict::Unknown, _) => {
            "make readable what is named above, then triage again".to_owned()
        }
    }
}

impl From<Evidence> for DataEvidence {
    fn from(evidence: Evidence) -> Self {
        Self {
            code: evidence.code.to_owned(),
            verdict: evidence.verdict,
            what: evidence.what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject {
            shown: "web-1/shop-db".to_owned(),
            volume: Some("shop_data".to_owned()),
            container: Some("shop-db".to_owned()),
            path: "/data".to_owned(),
        }
    }

    fn concluded(found: Found) -> Conclusion {
        conclude(&found.sorted(), Engine::Postgres, false, &subject())
    }

    #[test]
    fn the_worst_decides_and_nothing_seen_is_unknown() {
        let mut found = Found::default();
        found.add("system-index-missing", DataVerdict::IndexBroken, "a");
        found.add("table-missing", DataVerdict::DataLost, "b");
        found.add("control-file", DataVerdict::Sound, "c");
        let evidence = found.sorted();
        let order: Vec<_> = evidence.iter().map(|one| one.code).collect();
        assert_eq!(
            order,
            ["table-missing", "system-index-missing", "control-file"]
        );
        let conclusion = conclude(&evidence, Engine::Postgres, false, &subject());
        assert_eq!(conclusion.verdict, DataVerdict::DataLost);
        assert_eq!(conclusion.runbook, "catalog-damage");
        assert!(
            conclusion
                .next
                .starts_with("ctl backup create --volume web-1/shop_data --stop")
        );
        assert_eq!(concluded(Found::default()).verdict, DataVerdict::Unknown);
    }

    #[test]
    fn what_could_not_be_read_is_told_once_and_never_sound() {
        let mut found = Found::default();
        found.add("control-file", DataVerdict::Sound, "whole");
        found.unreadable("base/5", "Permission denied");
        found.unreadable("base/5", "Permission denied");
        let evidence = found.sorted();
        assert_eq!(evidence.len(), 2);
        assert_eq!(evidence[0].verdict, DataVerdict::Unknown);
    }

    #[test]
    fn many_of_a_kind_are_counted() {
        let mut found = Found::default();
        for number in 0..25 {
            found.add("table-missing", DataVerdict::DataLost, number.to_string());
        }
        let evidence = found.sorted();
        assert_eq!(evidence.len(), TOLD + 1);
        assert_eq!(evidence[TOLD].what, "and 15 more of these");
    }

    #[test]
    fn a_full_disk_is_no_damage_and_has_its_runbook() {
        let mut found = Found::default();
        found.add("disk-full", DataVerdict::Sound, "No space left on device");
        found.add(
            "not-stopped-in-order",
            DataVerdict::NeedsRecovery,
            "crashed",
        );
        let conclusion = concluded(found);
        assert_eq!(conclusion.verdict, DataVerdict::NeedsRecovery);
        assert_eq!(conclusion.runbook, "disk-full");
    }
}
