//! How data directories are: the verdict first, then what it is told from, then what to do.

use holdfast_proto::{
    fleet::Engine,
    task::{DataEvidence, DataTriage, DataVerdict, TriagedData},
};
use serde::Serialize;

use crate::output::{Page, View, paint::Tone};

/// Of a volume in which nothing looks like a data directory.
const NONE: &str = "no-data-directory";

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TriageReport {
    /// `HOST/INSTANCE` or `HOST/VOLUME`.
    pub subject: String,
    /// Of the worst directory.
    pub verdict: &'static str,
    pub directories: Vec<Directory>,
    #[serde(skip)]
    pub worst: Option<DataVerdict>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Directory {
    pub path: String,
    pub engine: Engine,
    pub version: String,
    pub system_identifier: String,
    pub running: bool,
    pub verdict: &'static str,
    pub evidence: Vec<Evidence>,
    pub runbook: String,
    pub next: String,
    #[serde(skip)]
    tone: Tone,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    pub code: String,
    pub verdict: &'static str,
    pub what: String,
    #[serde(skip)]
    tone: Tone,
}

impl TriageReport {
    #[must_use]
    pub fn of(subject: String, triaged: TriagedData) -> Self {
        let worst = triaged.worst();
        Self {
            subject,
            verdict: worst.map_or(NONE, DataVerdict::name),
            directories: triaged.directories.into_iter().map(Into::into).collect(),
            worst,
        }
    }
}

impl Directory {
    /// "PostgreSQL 15".
    fn server(&self) -> String {
        let name = format!("{} {}", self.engine.label(), self.version);
        name.trim_end().to_owned()
    }
}

impl From<DataTriage> for Directory {
    fn from(triage: DataTriage) -> Self {
        Self {
            path: triage.path,
            engine: triage.engine,
            version: triage.version,
            system_identifier: triage.system_identifier,
            running: triage.running,
            verdict: triage.verdict.name(),
            evidence: triage.evidence.into_iter().map(Into::into).collect(),
            runbook: triage.runbook,
            next: triage.next,
            tone: tone(triage.verdict),
        }
    }
}

impl From<DataEvidence> for Evidence {
    fn from(evidence: DataEvidence) -> Self {
        Self {
            code: evidence.code,
            verdict: evidence.verdict.name(),
            what: evidence.what,
            tone: tone(evidence.verdict),
        }
    }
}

fn tone(verdict: DataVerdict) -> Tone {
    match verdict {
        DataVerdict::Sound => Tone::Plain,
        DataVerdict::NeedsRecovery | DataVerdict::Unknown => Tone::Warn,
        DataVerdict::IndexBroken | DataVerdict::WalDamaged | DataVerdict::DataLost => Tone::Bad,
    }
}

/// For people.
fn words(verdict: &str) -> &str {
    match verdict {
        "sound" => "sound",
        "needs-recovery" => "needs crash recovery (normal: the server does it when it starts)",
        "unknown" => "unknown: something could not be read",
        "index-broken" => "index broken: it can be built anew, nothing is lost",
        "wal-damaged" => "write-ahead log damaged",
        "data-lost" => "heap or control file lost",
        other => other,
    }
}

impl View for TriageReport {
    fn text(&self, page: &Page) -> String {
        if self.directories.is_empty() {
            let none = "unknown: nothing in it looks like a data directory";
            return format!("{}: {}\n", self.subject, page.paint.tone(Tone::Warn, none));
        }
        let mut out = String::new();
        for directory in &self.directories {
            let verdict = page.paint.tone(directory.tone, words(directory.verdict));
            out.push_str(&format!("{}: {verdict}\n", self.subject));
            out.push_str(&format!("  {} in {}\n", directory.server(), directory.path));
            for evidence in &directory.evidence {
                let what = page.paint.tone(evidence.tone, &evidence.what);
                out.push_str(&format!("  - {what} [{}]\n", evidence.code));
            }
            if !directory.runbook.is_empty() {
                out.push_str(&format!("  runbook: {}\n", directory.runbook));
            }
            if !directory.next.is_empty() {
                out.push_str(&format!("  next: {}\n", directory.next));
            }
        }
        out
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::output::testing::page;

    pub(crate) fn triaged() -> TriagedData {
        let evidence = |code: &str, verdict, what: &str| DataEvidence {
            code: code.to_owned(),
            verdict,
            what: what.to_owned(),
        };
        TriagedData {
            directories: vec![DataTriage {
                path: "/var/lib/docker/volumes/shop_data/_data".to_owned(),
                engine: Engine::Postgres,
                version: "15".to_owned(),
                system_identifier: "7412345678901234567".to_owned(),
                running: false,
                verdict: DataVerdict::IndexBroken,
                evidence: vec![
                    evidence(
                        "system-index-missing",
                        DataVerdict::IndexBroken,
                        "global/2671 is missing: the system index pg_database_datname_index shared by all databases",
                    ),
                    evidence(
                        "control-file",
                        DataVerdict::Sound,
                        "global/pg_control is whole: shut down, checkpoint 0/3000028",
                    ),
                ],
                runbook: "catalog-damage".to_owned(),
                next: "ctl backup create --volume web-1/shop_data --stop".to_owned(),
            }],
        }
    }

    #[test]
    fn the_verdict_stands_on_the_first_line() {
        let report = TriageReport::of("web-1/shop-db".to_owned(), triaged());
        assert_eq!(
            report.text(&page()),
            "web-1/shop-db: index broken: it can be built anew, nothing is lost\n\
             \x20 PostgreSQL 15 in /var/lib/docker/volumes/shop_data/_data\n\
             \x20 - global/2671 is missing: the system index pg_database_datname_index shared by all databases [system-index-missing]\n\
             \x20 - global/pg_control is whole: shut down, checkpoint 0/3000028 [control-file]\n\
             \x20 runbook: catalog-damage\n\
             \x20 next: ctl backup create --volume web-1/shop_data --stop\n"
        );
    }

    #[test]
    fn a_volume_without_data_is_never_sound() {
        let report = TriageReport::of("web-1/mail".to_owned(), TriagedData::default());
        assert_eq!(report.verdict, NONE);
        assert!(report.text(&page()).starts_with("web-1/mail: unknown"));
    }

    #[test]
    fn every_verdict_has_its_words() {
        for verdict in [
            DataVerdict::Sound,
            DataVerdict::NeedsRecovery,
            DataVerdict::Unknown,
            DataVerdict::IndexBroken,
            DataVerdict::WalDamaged,
            DataVerdict::DataLost,
        ] {
            let known = words(verdict.name());
            assert!(
                verdict == DataVerdict::Sound || known != verdict.name(),
                "{known}"
            );
        }
    }
}
