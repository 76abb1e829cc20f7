//! How a command fails: what, on what, why, what next, and the exit code.

use std::{error::Error as _, fmt::Write as _, path::PathBuf};

use holdfast_chassis::telemetry::TelemetryError;

use crate::{
    client::CallError,
    confirm::ConfirmError,
    connect::ConnectError,
    context::ContextError,
    exit::Exit,
    output::{
        console::ConsoleError,
        paint::{Paint, Tone},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was typed makes no sense.
    #[error("{what}")]
    Usage { what: String, advice: String },
    /// The controller said no, or nothing.
    #[error("cannot {doing}")]
    Call {
        doing: String,
        #[source]
        cause: CallError,
    },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// Named, and not there, by what was listed.
    #[error("there is no {noun} {name}")]
    Missing {
        noun: &'static str,
        name: String,
        suggestion: Option<String>,
        advice: String,
    },
    #[error("cannot write the key of the repositories to {}", file.display())]
    KeyFile {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot set up traces")]
    Telemetry(#[from] TelemetryError),
    #[error("cannot start the asynchronous runtime")]
    Runtime(#[source] std::io::Error),
}

impl Failure {
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } | Self::Telemetry(_) | Self::KeyFile { .. } => Exit::Usage,
            Self::Call { cause, .. } => cause.exit(),
            Self::Connect(error) => error.exit(),
            Self::Context(error) => error.exit(),
            Self::Confirm(error) => error.exit(),
            Self::Missing { .. } => Exit::NotFound,
            Self::Console(_) | Self::Runtime(_) => Exit::Unexpected,
        }
    }

    /// The nearest name to what was typed.
    fn suggestion(&self) -> Option<&str> {
        match self {
            Self::Call { cause, .. } => cause.suggestion.as_deref(),
            Self::Missing { suggestion, .. } => suggestion.as_deref(),
            _ => None,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::Usage { advice, .. } | Self::Missing { advice, .. } => advice.clone(),
            Self::Call { cause, .. } => cause.advice(),
            Self::Connect(error) => error.advice(),
            Self::Context(error) => error.advice(),
            Self::Confirm(error) => error.advice(),
            Self::Telemetry(_) => "mend the variable that is named, or unset it".to_owned(),
            Self::KeyFile { .. } => {
                "name a file that does not exist yet, in a folder that you may write to".to_owned()
            }
            Self::Console(_) | Self::Runtime(_) => String::new(),
        };
        Some(advice).filter(|advice| !advice.is_empty())
    }

    /// The lines for stderr, without the last newline.
    #[must_use]
    pub fn text(&self, paint: Paint) -> String {
        let mut out = format!("{} {self}", paint.tone(Tone::Bad, "error:"));
        let mut cause = self.source();
        let mut last = self.to_string();
        while let Some(error) = cause {
            let words = error.to_string();
            // Some libraries repeat their cause in their own words.
            if !last.ends_with(&words) {
                let _ = write!(out, ": {words}");
                last = words;
            }
            cause = error.source();
        }
        let advice = self.advice();
        // The controller may have found the same name.
        let said = advice
            .as_ref()
            .is_some_and(|advice| advice.starts_with("did you mean"));
        if let Some(name) = self.suggestion().filter(|_| !said) {
            let _ = write!(out, "\n  did you mean {}?", paint.tone(Tone::Strong, name));
        }
        if let Some(advice) = advice {
            let _ = write!(out, "\n  next: {advice}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;
    use crate::{
        client::{CallError, CallProblem},
        exit::Exit,
        output::paint::Paint,
    };

    #[test]
    fn an_error_says_what_why_and_what_next() {
        let failure = Failure::Call {
            doing: "remove host web-9".to_owned(),
            cause: CallError {
                problem: CallProblem::NotFound,
                message: "no host of this name is enrolled".to_owned(),
                told_advice: Some("ctl host list".to_owned()),
                suggestion: Some("web-1".to_owned()),
            },
        };
        assert_eq!(
            failure.text(Paint::plain()),
            "error: cannot remove host web-9: no host of this name is enrolled\n  \
             did you mean web-1?\n  next: ctl host list"
        );
        assert_eq!(failure.exit(), Exit::NotFound);
    }

    #[test]
    fn a_suggestion_is_made_once() {
        let failure = Failure::Call {
            doing: "remove host web-9".to_owned(),
            cause: CallError {
                problem: CallProblem::NotFound,
                message: "there is no host \"web-9\"".to_owned(),
                told_advice: Some(
                    "did you mean web-1? `ctl host list` shows what there is".to_owned(),
                ),
                suggestion: Some("web-1".to_owned()),
            },
        };
        assert_eq!(
            failure.text(Paint::plain()),
            "error: cannot remove host web-9: there is no host \"web-9\"\n  \
             next: did you mean web-1? `ctl host list` shows what there is"
        );
    }

    #[test]
    fn usage_names_the_right_way() {
        let failure = Failure::Usage {
            what: "\"shop\" is no database name".to_owned(),
            advice: "name it as HOST/INSTANCE/DATABASE".to_owned(),
        };
        assert_eq!(
            failure.text(Paint::plain()),
            "error: \"shop\" is no database name\n  next: name it as HOST/INSTANCE/DATABASE"
        );
        assert_eq!(failure.exit(), Exit::Usage);
    }
}
