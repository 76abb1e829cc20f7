//! Destructive requests are confirmed by typing the name.

use std::io::{self, IsTerminal as _};

use dialoguer::{Input, theme::ColorfulTheme};

use crate::{exit::Exit, output::console::Console};

#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    #[error("{what} needs a confirmation, and there is no terminal to ask on")]
    NoTerminal { what: String, way: String },
    #[error("{what} was not confirmed: {typed:?} is not {wanted:?}; nothing was changed")]
    Mismatch {
        what: String,
        typed: String,
        wanted: String,
    },
    #[error("cannot ask for a confirmation")]
    Ask(#[source] io::Error),
}

/// How the operator has confirmed on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// Not at all: ask.
    Nothing,
    /// `--yes`.
    Yes,
    /// `--yes=NAME`: must be the name.
    Name(String),
}

/// What the answer on the command line means for `name`.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Go,
    Ask,
    Mismatch(String),
}

impl ConfirmError {
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoTerminal { .. } => Exit::Usage,
            Self::Mismatch { .. } => Exit::Conflict,
            Self::Ask(error) if error.kind() == io::ErrorKind::Interrupted => Exit::Interrupted,
            Self::Ask(_) => Exit::Unexpected,
        }
    }

    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::NoTerminal { way, .. } => way.clone(),
            Self::Mismatch { wanted, .. } => format!("type {wanted} exactly, or leave it"),
            Self::Ask(_) => String::new(),
        }
    }
}

impl From<Option<Option<String>>> for Given {
    /// As clap reads an option whose value may be left out.
    fn from(option: Option<Option<String>>) -> Self {
        match option {
            None => Self::Nothing,
            Some(None) => Self::Yes,
            Some(Some(name)) => Self::Name(name),
        }
    }
}

/// Lets `what` go ahead only when `name` was confirmed.
///
/// # Errors
/// Another name was given, or there is nobody to ask.
pub fn confirm(
    console: &Console,
    what: &str,
    consequence: &str,
    name: &str,
    given: Given,
) -> Result<(), ConfirmError> {
    let mismatch = |typed: String| ConfirmError::Mismatch {
        what: what.to_owned(),
        typed,
        wanted: name.to_owned(),
    };
    match decide(given, name) {
        Decision::Go => return Ok(()),
        Decision::Mismatch(typed) => return Err(mismatch(typed)),
        Decision::Ask => {}
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(ConfirmError::NoTerminal {
            what: what.to_owned(),
            way: "give --yes".to_owned(),
        });
    }
    console.say(consequence);
    let typed: String = Input::with_theme(&ColorfulTheme::default())
        .with_prompt(format!("Type {name} to go on"))
        .allow_empty(true)
        .interact_text()
        .map_err(|dialoguer::Error::IO(error)| ConfirmError::Ask(error))?;
    if typed.trim() == name {
        Ok(())
    } else {
        Err(mismatch(typed))
    }
}

fn decide(given: Given, name: &str) -> Decision {
    match given {
        Given::Nothing => Decision::Ask,
        Given::Yes => Decision::Go,
        Given::Name(typed) if typed == name => Decision::Go,
        Given::Name(typed) => Decision::Mismatch(typed),
    }
}

#[cfg(test)]
mod tests {
    use super::{Decision, Given, decide};

    #[test]
    fn a_name_on_the_command_line_must_match() {
        assert_eq!(decide(Given::from(None), "web-1"), Decision::Ask);
        assert_eq!(decide(Given::from(Some(None)), "web-1"), Decision::Go);
        assert_eq!(
            decide(Given::from(Some(Some("web-1".to_owned()))), "web-1"),
            Decision::Go
        );
        assert_eq!(
            decide(Given::from(Some(Some("web-2".to_owned()))), "web-1"),
            Decision::Mismatch("web-2".to_owned())
        );
    }
}
