//! The operator's terminal: the only place that writes to stdout and stderr.

use std::io::{self, IsTerminal as _, Write as _};

use chrono::{DateTime, Utc};

use super::{
    Page, View,
    paint::{Paint, Tone},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs; fields as in docs/json.md.
    Json,
}

/// Where output goes, and how.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    pub format: Format,
    no_color: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error("cannot write to stdout")]
    Stdout(#[source] io::Error),
    #[error("cannot turn the result into JSON")]
    Json(#[source] serde_json::Error),
}

impl Console {
    #[must_use]
    pub fn new(format: Format, no_color: bool) -> Self {
        Self { format, no_color }
    }

    /// How stdout is to be drawn now.
    #[must_use]
    pub fn page(&self, now: DateTime<Utc>) -> Page {
        let terminal = io::stdout().is_terminal();
        Page {
            now,
            paint: self.paint(terminal),
            width: terminal.then(console_width).flatten(),
        }
    }

    /// How stderr is to be painted.
    #[must_use]
    pub fn talk_paint(&self) -> Paint {
        self.paint(io::stderr().is_terminal())
    }

    /// Shows data on stdout. A reader that went away (`| head`) is no error.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn show(&self, view: &impl View, now: DateTime<Utc>) -> Result<(), ConsoleError> {
        let text = match self.format {
            Format::Table => view.text(&self.page(now)),
            Format::Json => {
                let mut text = serde_json::to_string_pretty(view).map_err(ConsoleError::Json)?;
                text.push('\n');
                text
            }
        };
        self.raw(&text)
    }

    /// Bytes to stdout as they are.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn raw(&self, text: &str) -> Result<(), ConsoleError> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(ConsoleError::Stdout),
        }
    }

    /// A line of talk on stderr.
    pub fn say(&self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// What to do next, on stderr, under what was just shown; nothing with `-o json`.
    pub fn hint(&self, line: &str) {
        if self.format == Format::Table {
            self.say(&self.talk_paint().tone(Tone::Dim, line));
        }
    }

    fn paint(&self, terminal: bool) -> Paint {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Paint::decide(terminal, self.no_color, set("NO_COLOR"), dumb)
    }
}

fn console_width() -> Option<u16> {
    comfy_table::Table::new().width()
}
