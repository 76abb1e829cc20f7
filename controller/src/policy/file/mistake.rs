//! A mistake in the file: where, what, and what would be right.

use std::fmt;

use super::{fields::Fields, tree::Place};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// From 1; 0: the file as a whole.
    pub line: u32,
    pub column: u32,
    /// "policies[2].retention.daily"; empty for the file as a whole.
    pub key: String,
    pub message: String,
    /// May be empty.
    pub advice: String,
}

/// All of them, so that a file is mended in one go.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub fn add(&mut self, fields: &Fields<'_>, message: String, advice: &str) {
        self.at(fields.place(), fields.path(), message, advice);
    }

    pub fn at(&mut self, place: Place, key: &str, message: String, advice: &str) {
        self.0.push(Mistake {
            line: place.line,
            column: place.column,
            key: key.to_owned(),
            message,
            advice: advice.to_owned(),
        });
    }

    pub fn sorted(mut self) -> Vec<Mistake> {
        self.0.sort_by_key(|mistake| (mistake.line, mistake.column));
        self.0
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}
