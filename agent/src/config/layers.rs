//! Where values come from: defaults, file, environment, flags; the later goes over the earlier.

use std::{collections::BTreeMap, ffi::OsString, fmt, io, path::PathBuf};

use super::keys::{self, AnyKey, Key};

/// Read when no other is named; may be absent.
pub const DEFAULT_FILE: &str = "/etc/holdfast/agent.toml";
/// `HOLDFAST_AGENT__SECTION__KEY`.
const VARIABLE: &str = "HOLDFAST_AGENT__";

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

/// One mistake: where, which key, what value, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub source: Source,
    /// None when the file as a whole is wrong.
    pub key: Option<String>,
    /// None where the key itself is wrong.
    pub value: Option<String>,
    pub reason: String,
}

/// A value as it was written, not yet checked; the parts of a list with commas between them.
struct Given {
    text: String,
    source: Source,
}

/// For each key that is set: all its values, the one that counts last.
#[derive(Default)]
pub struct Values(BTreeMap<&'static str, Vec<Given>>);

impl Values {
    /// Reads all layers; problems are keys that do not exist and files that are no TOML.
    pub fn gather(inputs: &Inputs) -> (Self, Vec<Problem>) {
        let mut values = Self::default();
        let mut problems = Vec::new();
        for key in keys::TABLE {
            if let Some(default) = key.default() {
                values.give(*key, default.to_owned(), Source::Default);
            }
        }
        values.read_file(inputs.file.as_ref(), &mut problems);
        for (name, value) in &inputs.environment {
            values.read_variable(name, value, &mut problems);
        }
        for (path, value) in &inputs.flags {
            if let Some(key) = keys::find(path) {
                values.give(key, value.clone(), Source::Flag(path));
            }
        }
        (values, problems)
    }

    /// What is wrong with each value, also with those that another goes over.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for key in keys::TABLE {
            for given in self.0.get(key.path()).into_iter().flatten() {
                if let Err(reason) = key.check(&given.text) {
                    problems.push(given.problem(key.path(), reason));
                }
            }
        }
        problems
    }

    /// The value that counts.
    ///
    /// # Errors
    /// When it is wrong.
    pub fn get<T>(&self, key: &Key<T>) -> Result<Option<T>, Problem> {
        let given = self.0.get(key.path).and_then(|all| all.last());
        given
            .map(|given| (key.parse)(&given.text).map_err(|reason| given.problem(key.path, reason)))
            .transpose()
    }

    fn give(&mut self, key: &dyn AnyKey, text: String, source: Source) {
        let given = Given { text, source };
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
                let reason = error.to_string();
                return problems.push(whole(format!("is no TOML: {}", reason.trim_end())));
            }
        };
        for (name, value) in table {
            match value {
                toml::Value::Table(section) if keys::is_section(&name) => {
                    for (inner, value) in section {
                        self.read_value(&format!("{name}.{inner}"), &value, &source, problems);
                    }
                }
                value => self.read_value(&name, &value, &source, problems),
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
        let mut wrong = |reason: &str| {
            problems.push(Problem {
                source: source.clone(),
                key: Some(path.to_owned()),
                value: None,
                reason: reason.to_owned(),
            });
        };
        match (keys::find(path), plain(value)) {
            (Some(key), Some(text)) => self.give(key, text, source.clone()),
            (Some(_), None) => wrong("must be a text, a whole number, or a list of texts"),
            (None, _) if keys::is_section(path) => {
                wrong(&format!("is a section: write [{path}] and its keys below"));
            }
            (None, _) => wrong(NO_SUCH_KEY),
        }
    }

    fn read_variable(&mut self, name: &OsString, value: &OsString, problems: &mut Vec<Problem>) {
        let Some(variable) = name.to_str().filter(|name| name.starts_with(VARIABLE)) else {
            return;
        };
        let path = variable[VARIABLE.len()..]
            .to_ascii_lowercase()
            .replace("__", ".");
        let source = Source::Environment(variable.to_owned());
        let reason = match (keys::find(&path), value.to_str()) {
            (Some(key), Some(value)) => return self.give(key, value.to_owned(), source),
            (Some(_), None) => "must be UTF-8",
            (None, _) => NO_SUCH_KEY,
        };
        problems.push(Problem {
            source,
            key: Some(path),
            value: None,
            reason: reason.to_owned(),
        });
    }
}

const NO_SUCH_KEY: &str = "there is no such key; `holdfast-agent config` shows all";

impl Given {
    fn problem(&self, key: &str, reason: String) -> Problem {
        Problem {
            source: self.source.clone(),
            key: Some(key.to_owned()),
            value: Some(quoted(&self.text)),
            reason,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(key) => write!(f, "--{}", key.replace('_', "-")),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        match (&self.key, &self.value) {
            (Some(key), Some(value)) => write!(f, "{key} = {value}: ")?,
            (Some(key), None) => write!(f, "{key}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.reason)
    }
}

/// As a TOML string.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Array(parts) => {
            let parts: Option<Vec<_>> = parts.iter().map(|part| part.as_str()).collect();
            Some(parts?.join(", "))
        }
        _ => None,
    }
}
