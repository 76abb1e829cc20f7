//! Holds `docs/json.md` and the views together: every field is in the section of its command.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::samples;

/// Fields by section: a section starts with `## ctl …` and lists its fields as `` | `path` | … ``.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in include_str!("../../../docs/json.md").lines() {
        if let Some(head) = line.strip_prefix("## ") {
            current = head.replace('`', "");
            sections.insert(current.clone(), BTreeSet::new());
        } else if let Some(rest) = line.strip_prefix("| `")
            && let Some((field, _)) = rest.split_once('`')
            && let Some(fields) = sections.get_mut(&current)
        {
            fields.insert(field.to_owned());
        }
    }
    sections
}

/// `hosts[].name`, `job.id`, …; an object documented elsewhere is named by its shape (`Host`).
fn paths(value: &Value, at: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if at.is_empty() {
                    name.clone()
                } else {
                    format!("{at}.{name}")
                };
                out.insert(path.clone());
                paths(value, &path, out);
            }
        }
        Value::Array(values) => {
            let path = format!("{at}[]");
            for value in values {
                paths(value, &path, out);
            }
        }
        _ => {}
    }
}

/// Paths below a shape that has its own section are that section's business.
fn without_shapes(paths: &BTreeSet<String>, shapes: &BTreeMap<String, String>) -> BTreeSet<String> {
    paths
        .iter()
        .filter(|path| {
            !shapes
                .keys()
                .any(|shape| path.len() > shape.len() && path.starts_with(&format!("{shape}.")))
        })
        .cloned()
        .collect()
}

/// `| `hosts` | [Host] |`: which path of a section has which shape.
fn shapes(section: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut current = String::new();
    for line in include_str!("../../../docs/json.md").lines() {
        if let Some(head) = line.strip_prefix("## ") {
            current = head.replace('`', "");
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if current != section || cells.len() < 4 {
            continue;
        }
        let path = cells[1].trim_matches('`');
        let kind = cells[2].trim_end_matches(" or null");
        if let Some(name) = kind.strip_prefix("list of ") {
            if name.starts_with(char::is_uppercase) {
                found.insert(format!("{path}[]"), name.to_owned());
            }
        } else if kind.starts_with(char::is_uppercase) {
            found.insert(path.to_owned(), kind.to_owned());
        }
    }
    found
}

fn at_path<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut here = vec![value];
    for part in path.split('.') {
        let (name, list) = part
            .strip_suffix("[]")
            .map_or((part, false), |name| (name, true));
        here = here
            .into_iter()
            .filter_map(|value| value.get(name))
            .collect();
        if list {
            here = here
                .into_iter()
                .filter_map(Value::as_array)
                .flatten()
                .collect();
        }
    }
    here
}

fn compare(
    section: &str,
    value: &Value,
    docs: &BTreeMap<String, BTreeSet<String>>,
    problems: &mut Vec<String>,
) {
    let Some(listed) = docs.get(section) else {
        problems.push(format!("docs/json.md has no section {section:?}"));
        return;
    };
    let shapes = shapes(section);
    let mut actual = BTreeSet::new();
    paths(value, "", &mut actual);
    let actual = without_shapes(&actual, &shapes);
    for field in actual.difference(listed) {
        problems.push(format!("{section:?} lacks {field:?}"));
    }
    for field in listed.difference(&actual) {
        problems.push(format!("{section:?} names {field:?}, which no example has"));
    }
    for (path, shape) in &shapes {
        for inner in at_path(value, path)
            .into_iter()
            .filter(|inner| inner.is_object())
        {
            compare(shape, inner, docs, problems);
        }
    }
}

#[test]
fn every_field_is_documented_and_none_is_invented() {
    let docs = documented();
    let mut problems = Vec::new();
    for (command, example) in samples::every() {
        compare(command, &example, &docs, &mut problems);
    }
    problems.sort();
    problems.dedup();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn field_names_are_snake_case() {
    for (command, example) in samples::every() {
        let mut all = BTreeSet::new();
        paths(&example, "", &mut all);
        for path in all {
            assert!(
                path.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.[]".contains(c)),
                "{command}: {path}"
            );
        }
    }
}
