//! Repositories: where backups are, whether they are sound, and how much they hold.

use serde::Serialize;

use super::{Time, job::moment};
use crate::{
    exit::Exit,
    output::{
        Page, View,
        grid::{Grid, plain, toned},
        paint::Tone,
        units,
    },
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repository {
    pub host: String,
    pub location: String,
    pub created_at: Option<Time>,
    pub ready: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepositoryList {
    pub repositories: Vec<Repository>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepositoryCheck {
    pub host: String,
    pub sound: bool,
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepositoryStats {
    pub host: String,
    pub location: String,
    pub stored_bytes: u64,
    pub logical_bytes: u64,
    /// Logical bytes for each stored one.
    pub ratio: Option<f64>,
    pub objects: u64,
    pub series: Vec<RepositorySeries>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepositorySeries {
    pub label: String,
    pub snapshots: u64,
    pub logical_bytes: u64,
    pub added_bytes: u64,
    /// Logical bytes for each that was added.
    pub ratio: Option<f64>,
}

/// What was written to a file; the secret itself is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExportedKey {
    pub file: String,
    pub repositories: Vec<Repository>,
}

impl RepositoryCheck {
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.sound {
            Exit::Ok
        } else {
            Exit::NotProven
        }
    }
}

/// How many bytes there would be for each that there is; none for nothing.
#[must_use]
pub fn ratio(logical: u64, stored: u64) -> Option<f64> {
    // Two digits are enough, and a double holds petabytes.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of two digits")]
    (stored > 0).then(|| (logical as f64 / stored as f64 * 100.0).round() / 100.0)
}

impl View for RepositoryList {
    fn text(&self, page: &Page) -> String {
        let none = "no repositories: the first backup of a host makes its own";
        let mut grid = Grid::new(page, &["HOST", "LOCATION", "CREATED", "STATE"], none);
        for repository in &self.repositories {
            grid.row(vec![
                toned(Tone::Strong, &repository.host),
                plain(&repository.location),
                plain(repository.created_at.map(moment).unwrap_or_default()),
                if repository.ready {
                    plain("ready")
                } else {
                    toned(Tone::Dim, "being made")
                },
            ]);
        }
        grid.render()
    }
}

impl View for RepositoryCheck {
    fn text(&self, page: &Page) -> String {
        let mut text = if self.sound {
            let sound = page.paint.tone(Tone::Good, "is sound");
            format!("the repository of {} {sound}\n", self.host)
        } else {
            let damaged = page.paint.tone(Tone::Bad, "is damaged");
            format!("the repository of {} {damaged}\n", self.host)
        };
        for error in &self.errors {
            text += &format!("  {} {error}\n", page.paint.tone(Tone::Bad, "error"));
        }
        for warning in &self.warnings {
            text += &format!("  {} {warning}\n", page.paint.tone(Tone::Dim, "harmless"));
        }
        text
    }
}

impl View for RepositoryStats {
    fn text(&self, page: &Page) -> String {
        let head = ["SERIES", "BACKUPS", "LOGICAL", "ADDED", "RATIO"];
        let mut grid = Grid::new(page, &head, "no backups").right(&[1, 2, 3, 4]);
        for series in &self.series {
            grid.row(vec![
                toned(Tone::Strong, &series.label),
                plain(series.snapshots),
                plain(units::size(series.logical_bytes)),
                plain(units::size(series.added_bytes)),
                plain(times(series.ratio)),
            ]);
        }
        format!(
            "{}stored: {} in {}, ratio {}, {}\n",
            grid.render(),
            units::size(self.stored_bytes),
            units::plural(self.objects, "object"),
            times(self.ratio),
            self.location
        )
    }
}

impl View for ExportedKey {
    fn text(&self, _: &Page) -> String {
        format!(
            "the key of {} is in {}: keep it where the controller is not\n",
            units::plural(self.repositories.len() as u64, "repository")
                .replace("repositorys", "repositories"),
            self.file
        )
    }
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1} : 1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::page;

    #[test]
    fn a_ratio_of_nothing_is_none() {
        assert_eq!(ratio(5, 0), None);
        assert_eq!(ratio(1000, 300), Some(3.33));
    }

    #[test]
    fn damage_is_told_line_by_line_and_coded() {
        let check = RepositoryCheck {
            host: "web-1".to_owned(),
            sound: false,
            errors: vec!["pack ab is missing".to_owned()],
            warnings: vec!["pack cd is not referenced".to_owned()],
        };
        assert_eq!(
            check.text(&page()),
            "the repository of web-1 is damaged\n  error pack ab is missing\n  harmless pack cd is not referenced\n"
        );
        assert_eq!(check.exit(), Exit::NotProven);
    }
}
