//! What a prune took out of a repository, or would take.

use serde::Serialize;

use super::{
    job::{Job, JobDetail, JobState},
    retention::{RetentionLine, RetentionPreview},
};
use crate::{
    exit::Exit,
    output::{Page, View, paint::Tone, units},
};

/// Of a job that prunes, as far as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pruned {
    pub backups: Vec<u64>,
    pub unknown_snapshots: u64,
    pub missing_backups: Vec<u64>,
    pub freed: Option<FreedSpace>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FreedSpace {
    pub marked_packs: u64,
    pub waiting_packs: u64,
    pub removed_packs: u64,
    pub recovered_packs: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepositoryPruned {
    pub host: String,
    pub dry_run: bool,
    /// Whose time was over when it was asked for.
    pub due: Vec<RetentionLine>,
    pub job: Option<Job>,
    pub pruned: Option<Pruned>,
    #[serde(skip)]
    pub exit: Exit,
}

impl RepositoryPruned {
    #[must_use]
    pub fn dry(host: String, due: Vec<RetentionLine>) -> Self {
        Self {
            host,
            dry_run: true,
            due,
            job: None,
            pruned: None,
            exit: Exit::Ok,
        }
    }

    /// It was submitted, and nobody waits.
    #[must_use]
    pub fn left(host: String, due: Vec<RetentionLine>, job: Job) -> Self {
        Self {
            job: Some(job),
            dry_run: false,
            ..Self::dry(host, due)
        }
    }

    /// A backup that the catalog has and the repository has not is no good end.
    #[must_use]
    pub fn ended(host: String, due: Vec<RetentionLine>, detail: JobDetail) -> Self {
        let missing = detail.pruned.as_ref().is_some_and(Pruned::misses_some);
        Self {
            exit: match detail.exit() {
                Exit::Ok if missing => Exit::NotProven,
                exit => exit,
            },
            pruned: detail.pruned,
            ..Self::left(host, due, detail.job)
        }
    }

    fn dry_text(&self, page: &Page) -> String {
        let (host, nothing) = (&self.host, "nothing was touched");
        if self.due.is_empty() {
            return format!(
                "no backup's time is over in the repository of {host}; {nothing}\nnext:\n  ctl retention preview   shows when which one goes\n"
            );
        }
        let would = units::plural(self.due.len() as u64, "backup");
        let due = RetentionPreview::of(self.due.clone());
        format!(
            "{}{would} would go from the repository of {host}; {nothing}\n",
            due.table(page)
        )
    }

    fn job_text(&self, job: &Job, page: &Page) -> String {
        let what = format!("repository of {}", self.host);
        let (tone, line) = match (job.state, &self.pruned) {
            (JobState::Succeeded, Some(pruned)) => {
                let (tone, mark) = if pruned.misses_some() {
                    (Tone::Bad, "✗")
                } else {
                    (Tone::Good, "✓")
                };
                (tone, format!("{mark} {what}: {}", pruned.in_words()))
            }
            (state, _) if !state.has_ended() => {
                let text = format!("  {what}: job {} is {}", job.id, state.word());
                (Tone::Plain, text)
            }
            (state, pruned) => {
                let stay = pruned.as_ref().map(Pruned::stay_removed);
                let stay = stay.unwrap_or_default();
                let text = format!("✗ {what}: job {} {}{stay}", job.id, state.word());
                (Tone::Bad, text)
            }
        };
        let mut out = format!("{}\n", page.paint.tone(tone, &line));
        let mut told = |label: &str, text: &str| {
            if !text.is_empty() {
                out.push_str(&format!("  {label:<10} {text}\n"));
            }
        };
        told("reason", &job.reason);
        told("advice", &job.advice);
        if let Some(pruned) = &self.pruned {
            told("unknown", &pruned.unknown_in_words());
            told("missing", &pruned.missing_in_words(&self.host));
        }
        out.push_str(&format!("next:\n  ctl job show {}\n", job.id));
        out
    }
}

impl Pruned {
    #[must_use]
    pub fn misses_some(&self) -> bool {
        !self.missing_backups.is_empty()
    }

    /// For the end of a line about a job without success; empty when nothing went.
    #[must_use]
    pub fn stay_removed(&self) -> String {
        match self.backups.len() {
            0 => String::new(),
            1 => format!("; {} stays removed", named(&self.backups)),
            _ => format!("; {} stay removed", named(&self.backups)),
        }
    }

    fn in_words(&self) -> String {
        let removed = match self.backups.len() {
            0 => "no backup removed".to_owned(),
            _ => format!("removed {}", named(&self.backups)),
        };
        let Some(freed) = self.freed else {
            return removed;
        };
        let bytes = freed.bytes_before.saturating_sub(freed.bytes_after);
        let waiting = match freed.marked_packs + freed.waiting_packs {
            0 => String::new(),
            1 => "; 1 pack goes in a day".to_owned(),
            packs => format!("; {} go in a day", units::plural(packs, "pack")),
        };
        format!(
            "{removed}; {} freed, {} left{waiting}",
            units::size(bytes),
            units::size(freed.bytes_after)
        )
    }

    fn unknown_in_words(&self) -> String {
        match self.unknown_snapshots {
            0 => String::new(),
            some => format!(
                "{} that the catalog does not know: left alone (the controller's log names them)",
                units::plural(some, "snapshot")
            ),
        }
    }

    fn missing_in_words(&self, host: &str) -> String {
        match self.missing_backups.len() {
            0 => String::new(),
            _ => format!(
                "{} of the catalog NOT IN THE REPOSITORY: ctl repository check {host}, and make new ones",
                named(&self.missing_backups)
            ),
        }
    }
}

/// "backup 3", "backups 3, 4".
fn named(backups: &[u64]) -> String {
    let ids: Vec<_> = backups.iter().map(ToString::to_string).collect();
    let noun = if ids.len() == 1 { "backup" } else { "backups" };
    format!("{noun} {}", ids.join(", "))
}

impl View for RepositoryPruned {
    fn text(&self, page: &Page) -> String {
        match &self.job {
            None => self.dry_text(page),
            Some(job) => self.job_text(job, page),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{output::testing::page, view::samples};

    #[test]
    fn a_prune_ends_with_what_went_and_what_goes_tomorrow() {
        let text = samples::pruned().text(&page());
        assert_eq!(
            text,
            "✓ repository of web-1: removed backups 1, 2; 0 B freed, 2.0 MiB left; 3 packs go in a day\n  \
             unknown    1 snapshot that the catalog does not know: left alone (the controller's log names them)\n\
             next:\n  ctl job show 42\n"
        );
        assert_eq!(samples::pruned().exit, Exit::Ok);
    }

    #[test]
    fn one_that_failed_says_what_is_gone_all_the_same() {
        let mut failed = samples::pruned();
        if let Some(job) = &mut failed.job {
            job.state = JobState::Failed;
            job.reason = "the bucket is gone".to_owned();
        }
        let text = failed.text(&page());
        let head = "✗ repository of web-1: job 42 failed; backups 1, 2 stay removed\n  reason     the bucket is gone\n";
        assert!(text.starts_with(head), "{text}");
    }

    #[test]
    fn a_missing_backup_is_no_good_end() {
        let mut detail = samples::job_detail();
        detail.pruned = samples::pruned().pruned;
        let ends = |detail: &JobDetail| {
            RepositoryPruned::ended("web-1".to_owned(), vec![], detail.clone())
        };
        assert_eq!(ends(&detail).exit, Exit::Ok);
        if let Some(pruned) = &mut detail.pruned {
            pruned.missing_backups = vec![9];
        }
        let ended = ends(&detail);
        assert_eq!(ended.exit, Exit::NotProven);
        let text = ended.text(&page());
        assert!(text.starts_with("✗"), "{text}");
        assert!(
            text.contains("backup 9 of the catalog NOT IN THE REPOSITORY"),
            "{text}"
        );
    }

    #[test]
    fn a_dry_run_shows_what_would_go_and_why() {
        let due = samples::policy::retention().backups.split_off(1);
        let text = RepositoryPruned::dry("web-1".to_owned(), due).text(&page());
        assert!(text.contains("older than what daily 7 keep"), "{text}");
        let end = "1 backup would go from the repository of web-1; nothing was touched\n";
        assert!(text.ends_with(end), "{text}");
        let none = RepositoryPruned::dry("web-1".to_owned(), vec![]).text(&page());
        assert!(none.contains("no backup's time is over"), "{none}");
    }
}
