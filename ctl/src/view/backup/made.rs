//! Backups that were asked for: which were made, which not, and why.

use serde::Serialize;

use super::Backup;
use crate::{
    exit::Exit,
    output::{Page, View, paint::Tone, units},
    view::job::{Job, JobDetail, JobState},
};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupsMade {
    pub backups: Vec<BackupMade>,
}

/// One database. Neither job nor backup: it was refused.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupMade {
    pub database: String,
    /// Why no job was made; empty when one was.
    pub refused: String,
    pub job: Option<Job>,
    pub backup: Option<Backup>,
    #[serde(skip)]
    pub exit: Exit,
}

impl BackupMade {
    #[must_use]
    pub fn refused(database: String, refused: String) -> Self {
        Self {
            database,
            refused,
            job: None,
            backup: None,
            exit: Exit::Conflict,
        }
    }

    /// It was submitted, and nobody waits.
    #[must_use]
    pub fn left(database: String, job: Job) -> Self {
        Self {
            database,
            refused: String::new(),
            job: Some(job),
            backup: None,
            exit: Exit::Ok,
        }
    }

    /// A job that succeeded without a backup to show is no success.
    #[must_use]
    pub fn ended(database: String, detail: JobDetail, backup: Option<Backup>) -> Self {
        let exit = match detail.exit() {
            Exit::Ok if backup.is_none() => Exit::NotProven,
            exit => exit,
        };
        Self {
            database,
            refused: String::new(),
            job: Some(detail.job),
            backup,
            exit,
        }
    }

    fn line(&self, page: &Page) -> String {
        let what = &self.database;
        let (tone, text) = match (&self.job, &self.backup) {
            (None, _) => (Tone::Bad, format!("✗ {what}: {}", self.refused)),
            (Some(job), Some(backup)) => {
                let took = job.took(page.now).map(units::span).unwrap_or_default();
                let grew = units::size(backup.stored_bytes);
                let size = units::size(backup.logical_bytes);
                let text = format!(
                    "✓ {what}: backup {}, {size}, the repository grew by {grew}, {took}",
                    backup.id
                );
                (Tone::Good, text)
            }
            (Some(job), None) if !job.state.has_ended() => {
                let text = format!("  {what}: job {} is {}", job.id, job.state.word());
                (Tone::Plain, text)
            }
            (Some(job), None) if job.state == JobState::Succeeded => (
                Tone::Bad,
                format!(
                    "✗ {what}: job {} succeeded, but its backup is not listed",
                    job.id
                ),
            ),
            (Some(job), None) => {
                let reason = if job.reason.is_empty() {
                    String::new()
                } else {
                    format!(": {}", job.reason)
                };
                let word = job.state.word();
                let advice = if job.advice.is_empty() {
                    String::new()
                } else {
                    format!("\n    → {}", job.advice)
                };
                let text = format!("✗ {what}: no backup, job {} {word}{reason}{advice}", job.id);
                (Tone::Bad, text)
            }
        };
        format!("{}\n", page.paint.tone(tone, &text))
    }
}

impl BackupsMade {
    /// The worst of them.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let exits = self.backups.iter().map(|made| made.exit);
        exits.fold(Exit::Ok, Exit::worse)
    }
}

impl View for BackupsMade {
    fn text(&self, page: &Page) -> String {
        let mut out: String = self.backups.iter().map(|made| made.line(page)).collect();
        let made = self
            .backups
            .iter()
            .filter(|made| made.exit == Exit::Ok)
            .count();
        if self.backups.len() > 1 {
            out.push_str(&format!("{made} of {} are backed up\n", self.backups.len()));
        }
        let next = self.backups.iter().find(|made| made.exit != Exit::Ok);
        match next.and_then(|made| made.job.as_ref()) {
            Some(job) => out.push_str(&format!("next:\n  ctl job show {}\n", job.id)),
            None => {
                let shown = self.backups.iter().find_map(|made| made.backup.as_ref());
                if let Some(backup) = shown {
                    out.push_str(&format!("next:\n  ctl backup show {}\n", backup.id));
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        output::testing::page,
        view::samples::{backup as samples, job_detail},
    };

    fn ended(state: JobState, backup: Option<Backup>) -> BackupMade {
        let mut detail = job_detail();
        detail.job.state = state;
        detail.proof = None;
        BackupMade::ended("web-1/shop-db/shop".to_owned(), detail, backup)
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst() {
        let exit = |made: Vec<BackupMade>| BackupsMade { backups: made }.exit();
        let good = || ended(JobState::Succeeded, Some(samples::backup()));
        let refused = || BackupMade::refused("a/b/c".to_owned(), "MariaDB".to_owned());
        assert_eq!(exit(vec![good(), good()]), Exit::Ok);
        assert_eq!(exit(vec![good(), refused()]), Exit::Conflict);
        assert_eq!(
            exit(vec![good(), ended(JobState::Failed, None)]),
            Exit::JobFailed
        );
        // Green without a backup is not green.
        assert_eq!(
            exit(vec![ended(JobState::Succeeded, None)]),
            Exit::NotProven
        );
    }

    #[test]
    fn every_end_has_its_line() {
        let all = BackupsMade {
            backups: vec![
                ended(JobState::Succeeded, Some(samples::backup())),
                BackupMade::refused("a/b/c".to_owned(), "not supported".to_owned()),
                ended(JobState::Failed, None),
                ended(JobState::Running, None),
            ],
        };
        let text = all.text(&page());
        for said in [
            "✓ web-1/shop-db/shop: backup 17, 340 MiB, the repository grew by 12 MiB",
            "✗ a/b/c: not supported",
            "✗ web-1/shop-db/shop: no backup, job 42 failed",
            "  web-1/shop-db/shop: job 42 is running",
            "1 of 4 are backed up",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
    }
}
