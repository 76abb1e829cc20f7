//! What a request line of the engine's API names, as the engine reads it: decoded, cleaned, without the version.

use percent_encoding::percent_decode_str;

/// Of the API, as it stands before the path.
pub type Version = (u32, u32);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Unset: the newest that the engine knows.
    pub version: Option<Version>,
    /// The parts of the path.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
}

impl Target {
    #[must_use]
    pub fn parse(uri: &str) -> Self {
        let uri = without_authority(uri);
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let mut parts = clean(&decoded(path));
        let version = parts.first().and_then(|first| version(first));
        if version.is_some() {
            parts.remove(0);
        }
        Self {
            version,
            path: parts,
            query: pairs(query),
        }
    }

    /// As parts that a `match` takes.
    #[must_use]
    pub fn parts(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The last value that was given for a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        let mut values = self.query.iter().rev().filter(|(name, _)| name == key);
        values.next().map(|(_, value)| value.as_str())
    }

    /// Whether any value of the key means yes to the engine.
    #[must_use]
    pub fn says_yes(&self, key: &str) -> bool {
        let values = self.query.iter().filter(|(name, _)| name == key);
        values
            .map(|(_, value)| value.trim().to_lowercase())
            .any(|value| !["", "no", "false", "none", "0"].contains(&value.as_str()))
    }
}

/// A request line may name the whole address.
fn without_authority(uri: &str) -> &str {
    match uri.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?', '%']) => {
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => uri,
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Without doubled slashes and dots.
fn clean(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part.to_owned()),
        }
    }
    parts
}

fn version(part: &str) -> Option<Version> {
    let numbers = part.strip_prefix('v')?;
    let is_version = |c: char| c.is_ascii_digit() || c == '.';
    if numbers.is_empty() || !numbers.chars().all(is_version) {
        return None;
    }
    let mut numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0));
    Some((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)))
}

/// Older engines take a semicolon for an ampersand.
fn pairs(query: &str) -> Vec<(String, String)> {
    let plain = |text: &str| decoded(&text.replace('+', " "));
    query
        .split(['&', ';'])
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (plain(key), plain(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_the_same() {
        for uri in [
            "/containers/create?name=x",
            "/v1.41/containers/create?name=x",
            "/v1.41//containers/create?name=x",
            "/v1.41/containers/./create?name=x",
            "/v1.41/volumes/../containers/create?name=x",
            "/v1.41/%63ontainers%2Fcreate?name=x",
            "/%76%31.41/containers/cr%65ate/?name=x",
            "http://docker/v1.41/containers/create?name=x",
        ] {
            let target = Target::parse(uri);
            assert_eq!(target.parts(), ["containers", "create"], "{uri}");
            assert_eq!(target.value("name"), Some("x"), "{uri}");
        }
        assert_eq!(Target::parse("/v1.23/x").version, Some((1, 23)));
        assert_eq!(Target::parse("/version").version, None);
        assert_eq!(Target::parse("http://docker").path, Vec::<String>::new());
    }

    #[test]
    fn yes_is_what_the_engine_takes_for_yes() {
        for (query, yes) in [
            ("v=1", true),
            ("v=True", true),
            ("v=y", true),
            ("force=1;v=1", true),
            ("v=0&v=1", true),
            ("%76=1", true),
            ("v=0", false),
            ("v=False", false),
            ("v=+", false),
            ("v", false),
            ("", false),
        ] {
            let target = Target::parse(&format!("/containers/x?{query}"));
            assert_eq!(target.says_yes("v"), yes, "{query}");
        }
    }

    proptest! {
        #[test]
        fn encoding_hides_nothing(path in "(/[a-zA-Z0-9_.-]{1,8}){1,5}", every in 1usize..4) {
            let encoded: String = path
                .bytes()
                .enumerate()
                .map(|(at, byte)| match at % every {
                    0 => format!("%{byte:02x}"),
                    _ => char::from(byte).to_string(),
                })
                .collect();
            prop_assert_eq!(Target::parse(&encoded), Target::parse(&path));
        }

        #[test]
        fn nothing_breaks_it(uri in "\\PC{0,60}") {
            let target = Target::parse(&uri);
            prop_assert!(target.path.iter().all(|part| part != ".." && !part.is_empty()));
        }
    }
}
