//! Where values come from: defaults, file, environment, flags; the later goes over the earlier.

use std::{collections::BTreeMap, ffi::OsString, fmt, io, path::PathBuf};

use super::{
    Key,
    keys::{self, AnyKey},
    parse,
    problem::Problem,
};

/// Read when no other is named; may be absent.
pub const DEFAULT_FILE: &str = "/etc/holdfast/controller.toml";
/// `HOLDFAST_CONTROLLER__SECTION__KEY`.
const VARIABLE: &str = "HOLDFAST_CONTROLLER__";

/// Everything a configuration is made from. Not for `Debug`: the environment holds secrets of others.
#[derive(Clone, Default)]
pub struct Inputs {
    /// Must exist; none: [`DEFAULT_FILE`] when it exists.
    pub file: Option<PathBuf>,
    /// All variables; those that are not ours are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Key and value.
    pub flags: Vec<(&'static str, String)>,
}

/// Where one value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(&'static str),
}

/// A value as it was written, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub text: String,
    /// For messages: as TOML.
    pub written: String,
    pub source: Source,
}

/// For each key that is set: all its values, the one that counts last.
#[derive(Default)]
pub struct Values(BTreeMap<&'static str, Vec<Given>>);

impl Source {
    /// One word, for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File(_) => "file",
            Self::Environment(_) => "environment",
            Self::Flag(_) => "flag",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(key) => write!(f, "--{}", flag_name(key)),
        }
    }
}

impl Values {
    /// Reads all layers; problems are keys that do not exist and files that are no TOML.
    pub fn gather(inputs: &Inputs) -> (Self, Vec<Problem>) {
        let mut values = Self::default();
        let mut problems = Vec::new();
        for key in keys::TABLE {
            if let Some(default) = key.default() {
                values.give(*key, default, quoted(default), Source::Default);
            }
        }
        values.read_file(inputs.file.as_ref(), &mut problems);
        for (name, value) in &inputs.environment {
            values.read_variable(name, value, &mut problems);
        }
        for (path, value) in &inputs.flags {
            if let Some(key) = keys::find(path) {
                values.give(key, value, quoted(value), Source::Flag(path));
            }
        }
        (values, problems)
    }

    /// What is wrong with each value, also with those that another goes over.
    pub fn check(&self) -> Vec<Problem> {
        let given = keys::TABLE.iter().flat_map(|key| {
            self.0
                .get(key.path())
                .into_iter()
                .flatten()
                .map(move |given| (*key, given))
        });
        given
            .filter_map(|(key, given)| {
                key.check(&given.text)
                    .err()
                    .map(|reason| problem(key, given, reason))
            })
            .collect()
    }

    /// # Errors
    /// When the value is wrong, or there is none and no default.
    pub fn get<T>(&self, key: &Key<T>) -> Result<T, Problem> {
        self.get_optional(key)?
            .ok_or_else(|| self.problem(key, "is not set"))
    }

    /// # Errors
    /// When the value is wrong.
    pub fn get_optional<T>(&self, key: &Key<T>) -> Result<Option<T>, Problem> {
        self.effective(key.path)
            .map(|given| (key.parse)(&given.text).map_err(|reason| problem(key, given, reason)))
            .transpose()
    }

    /// The value that counts.
    pub fn effective(&self, path: &str) -> Option<&Given> {
        self.0.get(path)?.last()
    }

    /// Something is wrong with the value that counts.
    pub fn problem<T>(&self, key: &Key<T>, reason: &str) -> Problem {
        match self.effective(key.path) {
            Some(given) => problem(key, given, reason.to_owned()),
            None => Problem {
                source: Source::Default,
                key: Some(key.path.to_owned()),
                value: None,
                reason: reason.to_owned(),
            },
        }
    }

    fn give(&mut self, key: &dyn AnyKey, text: &str, written: String, source: Source) {
        let given = Given {
            text: text.to_owned(),
            written,
            source,
        };
        self.0.entry(key.path()).or_default().push(given);
    }

    fn read_file(&mut self, named: Option<&PathBuf>, problems: &mut Vec<Problem>) {
        let path = named.cloned().unwrap_or_else(|| DEFAULT_FILE.into());
        let source = Source::File(path.clone());
        let whole = |reason| Problem {
            source: source.clone(),
            key: None,
            value: None,
            reason,
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => return,
            Err(error) => return problems.push(whole(format!("cannot be read: {error}"))),
        };
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                return problems.push(whole(format!(
                    "is no TOML: {}",
                    error.to_string().trim_end()
                )));
            }
        };
        for (name, value) in &table {
            match value {
                toml::Value::Table(section) if keys::is_section(name) => {
                    for (inner, value) in section {
                        self.read_value(&format!("{name}.{inner}"), value, &source, problems);
                    }
                }
                _ => self.read_value(name, value, &source, problems),
            }
        }
    }

    fn read_value(
        &mut self,
        path: &str,
        value: &toml::Value,
        source: &Source,
        problems: &mut Vec<Problem>,
    ) {
        let wrong = |reason: &str, shown: bool| Problem {
            source: source.clone(),
            key: Some(path.to_owned()),
            value: shown.then(|| value.to_string()),
            reason: reason.to_owned(),
        };
        let Some(key) = keys::find(path) else {
            problems.push(if keys::is_section(path) {
                wrong(
                    &format!("is a section: write [{path}] and its keys below"),
                    true,
                )
            } else {
                unknown(path, source.clone())
            });
            return;
        };
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            _ => return problems.push(wrong("must be a text or a whole number", !key.is_secret())),
        };
        self.give(key, &text, value.to_string(), source.clone());
    }

    fn read_variable(&mut self, name: &OsString, value: &OsString, problems: &mut Vec<Problem>) {
        let Some(variable) = name.to_str().filter(|name| name.starts_with(VARIABLE)) else {
            return;
        };
        let path = variable[VARIABLE.len()..]
            .to_ascii_lowercase()
            .replace("__", ".");
        let source = Source::Environment(variable.to_owned());
        match (keys::find(&path), value.to_str()) {
            (Some(key), Some(value)) => self.give(key, value, quoted(value), source),
            (Some(_), None) => problems.push(Problem {
                source,
                key: Some(path),
                value: None,
                reason: "must be UTF-8".to_owned(),
            }),
            (None, _) => problems.push(unknown(&path, source)),
        }
    }
}

fn problem(key: &dyn AnyKey, given: &Given, reason: String) -> Problem {
    let written = if key.is_secret() {
        quoted(&parse::redact(&given.text))
    } else {
        given.written.clone()
    };
    Problem {
        source: given.source.clone(),
        key: Some(key.path().to_owned()),
        value: Some(written),
        reason,
    }
}

fn unknown(path: &str, source: Source) -> Problem {
    let reason = match keys::nearest(path) {
        Some(nearest) => format!("there is no such key; did you mean {nearest}?"),
        None => "there is no such key; `holdfast-controller config` shows all".to_owned(),
    };
    Problem {
        source,
        key: Some(path.to_owned()),
        value: None,
        reason,
    }
}

/// The flag of a key that has one.
fn flag_name(path: &str) -> &str {
    match path {
        "catalog.url" => "catalog",
        "state_dir" => "state-dir",
        other => other,
    }
}

/// As a TOML string.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
