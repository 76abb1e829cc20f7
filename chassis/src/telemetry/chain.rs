//! An error with all its causes on one line.

use std::{error::Error, fmt};

/// Shows the error and its sources, `a: b: c`. Our own errors keep causes out of `Display`.
///
/// A cause that the text before it ends with (a library's error that repeats its source) is not said twice.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the door")]
    struct Door(#[source] Key);

    #[derive(Debug, thiserror::Error)]
    #[error("no key: {0}")]
    struct Key(#[source] Pocket);

    #[derive(Debug, thiserror::Error)]
    #[error("the pocket is empty")]
    struct Pocket;

    #[test]
    fn each_cause_is_said_once() {
        assert_eq!(
            Chain(&Door(Key(Pocket))).to_string(),
            "cannot open the door: no key: the pocket is empty"
        );
    }
}
