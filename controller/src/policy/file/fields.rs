//! A part of the tree with its path; what it cannot be read as is a mistake with line, key and advice.

use std::time::Duration;

use super::{
    mistake::Mistakes,
    tree::{Place, Tree, Value},
};
use crate::fleet::nearest;

/// One value and where it stands.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    path: String,
    tree: &'a Tree,
}

/// A value with keys, all of them known.
#[derive(Debug)]
pub struct Section<'a> {
    fields: Fields<'a>,
    entries: &'a [(Tree, Tree)],
}

impl<'a> Fields<'a> {
    pub fn of(tree: &'a Tree) -> Self {
        Self {
            path: String::new(),
            tree,
        }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn place(&self) -> Place {
        self.tree.place
    }

    pub fn value(&self) -> &'a Value {
        &self.tree.value
    }

    /// It has keys, and these ones only.
    pub fn section(&self, known: &[&str], mistakes: &mut Mistakes) -> Option<Section<'a>> {
        let Value::Map(entries) = &self.tree.value else {
            self.wrong(
                "keys with values",
                &format!("such as {}", known.join(", ")),
                mistakes,
            );
            return None;
        };
        for (key, _) in entries {
            let name = key_text(key);
            if !known.contains(&name.as_str()) {
                let advice = match nearest(&name, known.iter()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("known are {}", known.join(", ")),
                };
                let path = self.below(&name);
                mistakes.at(
                    key.place,
                    &path,
                    format!("there is no key {name:?}"),
                    &advice,
                );
            }
        }
        Some(Section {
            fields: self.clone(),
            entries,
        })
    }

    /// Any keys.
    pub fn entries(&self, mistakes: &mut Mistakes) -> Vec<(String, Fields<'a>)> {
        let Value::Map(entries) = &self.tree.value else {
            self.wrong("keys with values", "", mistakes);
            return Vec::new();
        };
        let entry = |(key, value): &'a (Tree, Tree)| {
            let name = key_text(key);
            let path = self.below(&name);
            (name, Fields { path, tree: value })
        };
        entries.iter().map(entry).collect()
    }

    pub fn list(&self, mistakes: &mut Mistakes) -> Vec<Fields<'a>> {
        if !matches!(self.tree.value, Value::List(_)) {
            self.wrong("a list", "lines that begin with -", mistakes);
            return Vec::new();
        }
        self.items()
    }

    /// Of a list each, of anything else itself.
    pub fn items(&self) -> Vec<Fields<'a>> {
        let Value::List(items) = &self.tree.value else {
            return vec![self.clone()];
        };
        items
            .iter()
            .enumerate()
            .map(|(place, tree)| Fields {
                path: format!("{}[{place}]", self.path),
                tree,
            })
            .collect()
    }

    pub fn text(&self, mistakes: &mut Mistakes) -> Option<String> {
        match &self.tree.value {
            Value::Text(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Value::Text(_) => {
                mistakes.add(
                    self,
                    "is empty".to_owned(),
                    "write a text, or leave the key away",
                );
                None
            }
            Value::Whole(_) | Value::Fraction(_) | Value::Bool(_) => {
                self.wrong("a text", "put it in quotes", mistakes);
                None
            }
            _ => {
                self.wrong("a text", "", mistakes);
                None
            }
        }
    }

    /// One text or a list of them.
    pub fn texts(&self, mistakes: &mut Mistakes) -> Vec<String> {
        let items = self.items();
        if items.is_empty() {
            mistakes.add(
                self,
                "is an empty list".to_owned(),
                "name something, or leave the key away",
            );
        }
        items
            .iter()
            .filter_map(|item| item.text(mistakes))
            .collect()
    }

    pub fn count(&self, least: u32, most: u32, mistakes: &mut Mistakes) -> Option<u32> {
        let number = match self.tree.value {
            Value::Whole(number) => u32::try_from(number).ok(),
            _ => None,
        };
        let fits = number.filter(|number| (least..=most).contains(number));
        if fits.is_none() {
            self.wrong(
                &format!("a whole number from {least} to {most}"),
                "",
                mistakes,
            );
        }
        fits
    }

    pub fn whole(&self, mistakes: &mut Mistakes) -> Option<i64> {
        match self.tree.value {
            Value::Whole(number) => Some(number),
            _ => {
                self.wrong("a whole number", "", mistakes);
                None
            }
        }
    }

    /// `10` or `10%`.
    pub fn percent(&self, mistakes: &mut Mistakes) -> Option<f64> {
        let percent = match &self.tree.value {
            Value::Whole(number) => i32::try_from(*number).ok().map(f64::from),
            Value::Fraction(number) => Some(*number),
            Value::Text(text) => text.trim().trim_end_matches('%').trim_end().parse().ok(),
            _ => None,
        };
        let fits = percent.filter(|percent| (0.0..=100.0).contains(percent));
        if fits.is_none() {
            self.wrong("a percentage from 0 to 100", "such as 10%", mistakes);
        }
        fits
    }

    /// `24h`, `14d`; longer than nothing.
    pub fn span(&self, mistakes: &mut Mistakes) -> Option<Duration> {
        let span = match &self.tree.value {
            Value::Text(text) => humantime::parse_duration(text.trim()).ok(),
            _ => None,
        };
        let fits = span.filter(|span| !span.is_zero());
        if fits.is_none() {
            self.wrong("a time", "such as 30m, 24h or 14d", mistakes);
        }
        fits
    }

    /// It should be this, and is not.
    pub fn wrong(&self, wanted: &str, advice: &str, mistakes: &mut Mistakes) {
        let is = match &self.tree.value {
            Value::Text(text) => format!("{text:?}"),
            Value::Whole(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            other => other.kind().to_owned(),
        };
        mistakes.add(self, format!("should be {wanted}, not {is}"), advice);
    }

    fn below(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

impl<'a> Section<'a> {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn get(&self, key: &str) -> Option<Fields<'a>> {
        let (_, tree) = self
            .entries
            .iter()
            .find(|(name, _)| key_text(name) == key)?;
        let path = self.fields.below(key);
        Some(Fields { path, tree })
    }

    pub fn required(&self, key: &str, mistakes: &mut Mistakes) -> Option<Fields<'a>> {
        let found = self.get(key);
        if found.is_none() {
            let path = self.fields.below(key);
            mistakes.at(self.fields.place(), &path, "is missing".to_owned(), "");
        }
        found
    }

    /// Those of these keys that are there.
    pub fn present(&self, keys: &[&'static str]) -> Vec<&'static str> {
        let there = |key: &&&str| self.get(key).is_some();
        keys.iter().filter(there).copied().collect()
    }
}

fn key_text(key: &Tree) -> String {
    match &key.value {
        Value::Text(text) => text.clone(),
        Value::Whole(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        other => other.kind().to_owned(),
    }
}
