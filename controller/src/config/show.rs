//! Shows the configuration: all defaults, or what is in effect.

use std::fmt::Write;

use serde::Serialize;

use super::{
    keys::{AnyKey, TABLE},
    layers::{Values, quoted},
    parse,
};

/// One key as it is in effect.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct EffectiveKey {
    pub key: &'static str,
    /// None: unset. Without passwords.
    pub value: Option<String>,
    /// `default`, `file`, `environment` or `flag`.
    pub source: String,
    /// The file's path, the variable's name, the flag.
    pub from: Option<String>,
}

/// A file with every key commented out, each with its explanation, at its default.
#[must_use]
pub fn commented_defaults() -> String {
    let mut text = "# Settings of holdfast-controller. Each line shows the default, or an example where there is none.\n\
                    # The environment goes over this file: HOLDFAST_CONTROLLER__SECTION__KEY; flags go over both.\n"
        .to_owned();
    write_sections(&mut text, |text, key, name| {
        let _ = writeln!(
            text,
            "# {}\n#{name} = {}",
            key.what(),
            literal(key.example())
        );
    });
    text
}

/// What is in effect, as a file, with where each value comes from.
#[must_use]
pub fn effective_as_toml(effective: &[EffectiveKey]) -> String {
    let mut text = String::new();
    write_sections(&mut text, |text, key, name| {
        let Some(found) = effective.iter().find(|found| found.key == key.path()) else {
            return;
        };
        let from = found.from.as_deref().unwrap_or(&found.source);
        let _ = match &found.value {
            Some(value) => writeln!(text, "{name} = {} # {from}", literal(value)),
            None => writeln!(text, "#{name} is unset"),
        };
    });
    text
}

pub fn effective(values: &Values) -> Vec<EffectiveKey> {
    let show = |key: &&'static dyn AnyKey| {
        let given = values.effective(key.path());
        EffectiveKey {
            key: key.path(),
            value: given.map(|given| {
                if key.is_secret() {
                    parse::redact(&given.text)
                } else {
                    given.text.clone()
                }
            }),
            source: given
                .map_or("default", |given| given.source.kind())
                .to_owned(),
            from: given
                .filter(|given| given.source != super::Source::Default)
                .map(|given| given.source.to_string()),
        }
    };
    TABLE.iter().map(show).collect()
}

fn write_sections(text: &mut String, mut write: impl FnMut(&mut String, &dyn AnyKey, &str)) {
    let mut current = "";
    for key in TABLE {
        let (section, name) = key.path().split_once('.').unwrap_or(("", key.path()));
        if section != current {
            let _ = writeln!(text, "\n[{section}]");
            current = section;
        }
        write(text, *key, name);
    }
}

/// Numbers stand without quotes.
fn literal(text: &str) -> String {
    if text.parse::<i64>().is_ok() {
        text.to_owned()
    } else {
        quoted(text)
    }
}
