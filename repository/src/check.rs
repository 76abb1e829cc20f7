//! Whether a repository is sound: its structure always, its data on demand.

use rustic_core::{CheckOptions, ReadSubsetOption};

use crate::{error::RepositoryError, repository::Repository};

/// How much of the data is read; what is read is decrypted and hashed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Depth {
    /// Snapshots, trees and indexes; every pack that they name is there, with its size.
    Structure,
    /// Packs too, so many percent of them by size, drawn at random; 100 reads every byte.
    Data { percent: f64 },
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Soundness {
    /// Backups are damaged by these.
    pub errors: Vec<String>,
    /// Harmless: leftovers of interrupted writes.
    pub warnings: Vec<String>,
}

impl Soundness {
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.errors.is_empty()
    }
}

impl Repository {
    /// Checks the repository.
    ///
    /// # Errors
    /// The check could not be made. What it found to be wrong is in its answer.
    pub async fn check(&self, depth: Depth) -> Result<Soundness, RepositoryError> {
        self.work("check", move |_, opened| {
            let mut options = CheckOptions::default();
            options.trust_cache = true;
            match depth {
                Depth::Structure => {}
                Depth::Data { percent } if percent >= 100.0 => options.read_data = true,
                Depth::Data { percent } => {
                    options.read_data = true;
                    options.read_data_subset = ReadSubsetOption::Percentage(percent.max(0.0));
                }
            }
            let mut found = Soundness::default();
            for (level, what) in opened.check(options)?.0 {
                // The engine's type of level has no name outside of it.
                let list = match format!("{level:?}").as_str() {
                    "Warn" => &mut found.warnings,
                    _ => &mut found.errors,
                };
                list.push(one_line(&what.to_string()));
            }
            Ok(found)
        })
        .await
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
