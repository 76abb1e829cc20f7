//! What an operator sees: stdout is data, stderr is talk.

pub mod console;
pub mod grid;
pub mod paint;
pub mod sparkline;
pub mod units;

use chrono::{DateTime, Utc};
use paint::Paint;

/// What a view needs to know to be drawn; nothing here is asked of the world while drawing.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    pub now: DateTime<Utc>,
    pub paint: Paint,
    /// Columns of the terminal; `None` when there is none: lines are as long as they need to be.
    pub width: Option<u16>,
}

/// Something that can be shown: as text for people, by serde for programs.
///
/// The fields are documented in `docs/json.md`.
pub trait View: serde::Serialize {
    /// The text, ending with a newline unless it is empty.
    fn text(&self, page: &Page) -> String;
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{DateTime, Page, Paint, Utc};

    pub(crate) fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    /// 12:00 on a day, no colour, no width.
    pub(crate) fn page() -> Page {
        Page {
            now: at("2026-11-20T12:00:00Z"),
            paint: Paint::plain(),
            width: None,
        }
    }
}
