//! Colour as a decision made once, so that drawing stays pure.

/// How something is meant; becomes a colour, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
    Strong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    colour: bool,
}

impl Paint {
    #[must_use]
    pub fn plain() -> Self {
        Self { colour: false }
    }

    #[must_use]
    pub fn coloured() -> Self {
        Self { colour: true }
    }

    /// Colour only on a terminal that did not ask for none (`NO_COLOR`, `--no-color`, `TERM=dumb`).
    #[must_use]
    pub fn decide(terminal: bool, no_color_flag: bool, no_color: bool, dumb: bool) -> Self {
        Self {
            colour: terminal && !no_color_flag && !no_color && !dumb,
        }
    }

    #[must_use]
    pub fn is_coloured(self) -> bool {
        self.colour
    }

    #[must_use]
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            _ if !self.colour => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31;1",
            Tone::Dim => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::{Paint, Tone};

    #[test]
    fn colour_only_where_somebody_sees_it() {
        assert!(Paint::decide(true, false, false, false).is_coloured());
        assert!(!Paint::decide(false, false, false, false).is_coloured());
        assert!(!Paint::decide(true, true, false, false).is_coloured());
        assert!(!Paint::decide(true, false, true, false).is_coloured());
        assert!(!Paint::decide(true, false, false, true).is_coloured());
        assert_eq!(Paint::plain().tone(Tone::Bad, "x"), "x");
        assert_eq!(
            Paint::coloured().tone(Tone::Good, "x"),
            "\u{1b}[32mx\u{1b}[0m"
        );
    }
}
