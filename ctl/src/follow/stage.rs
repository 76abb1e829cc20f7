//! Where progress is drawn: a bar on a terminal, lines elsewhere. Always stderr.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::progress::Board;
use crate::output::console::Console;

/// Without a terminal: at most one line of progress in this time.
const EVERY: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(120);

pub(super) enum Stage {
    Bar(ProgressBar),
    Lines {
        console: Console,
        last: Option<Instant>,
    },
}

impl Stage {
    pub(super) fn new(console: Console) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines {
                console,
                last: None,
            };
        }
        let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr_with_hz(8));
        bar.set_style(waiting_style());
        bar.enable_steady_tick(TICK);
        Self::Bar(bar)
    }

    pub(super) fn line(&mut self, text: &str) {
        match self {
            Self::Bar(bar) => bar.println(text),
            Self::Lines { console, .. } => console.say(text),
        }
    }

    pub(super) fn progress(&mut self, board: &Board) {
        match self {
            Self::Bar(bar) => {
                match board.permille() {
                    Some(permille) => {
                        bar.set_style(running_style());
                        bar.set_position(permille);
                    }
                    None => bar.set_style(waiting_style()),
                }
                bar.set_message(board.text());
            }
            Self::Lines { console, last } => {
                let now = Instant::now();
                if is_due(*last, now) {
                    *last = Some(now);
                    let percent = board
                        .permille()
                        .map(|permille| format!("{:>3} % ", permille / 10))
                        .unwrap_or_default();
                    console.say(&format!("  {percent}{}", board.text()));
                }
            }
        }
    }

    pub(super) fn close(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn is_due(last: Option<Instant>, now: Instant) -> bool {
    last.is_none_or(|last| now.duration_since(last) >= EVERY)
}

fn running_style() -> ProgressStyle {
    style("{spinner} [{bar:24}] {percent:>3} % {wide_msg}")
}

fn waiting_style() -> ProgressStyle {
    style("{spinner} {wide_msg}")
}

/// The templates are our own; one that does not parse falls back to the library's.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▉▊▋▌▍▎▏ ")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use indicatif::ProgressStyle;

    use super::{EVERY, is_due};

    #[test]
    fn lines_are_rare() {
        let start = Instant::now();
        assert!(is_due(None, start));
        assert!(!is_due(Some(start), start + Duration::from_secs(4)));
        assert!(is_due(Some(start), start + EVERY));
    }

    #[test]
    fn the_templates_parse() {
        for template in [
            "{spinner} [{bar:24}] {percent:>3} % {wide_msg}",
            "{spinner} {wide_msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
