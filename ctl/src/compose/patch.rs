//! Changes of single lines, put together into a patch that keeps comments and order.

use std::path::Path;

use similar::TextDiff;

/// Lines are those of the file as it was, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    Before {
        line: usize,
        text: String,
    },
    After {
        line: usize,
        text: String,
    },
    Replace {
        line: usize,
        old: String,
        new: String,
    },
}

/// The whole text as it is then.
pub fn apply(text: &str, edits: &[&Edit]) -> String {
    let mut new = String::new();
    for (at, line) in text.lines().enumerate() {
        let at = at + 1;
        for edit in edits {
            if let Edit::Before { line, text } = edit
                && *line == at
            {
                new.push_str(text);
                new.push('\n');
            }
        }
        let mut line = line.to_owned();
        for edit in edits {
            if let Edit::Replace { line: of, old, new } = edit
                && *of == at
            {
                line = line.replacen(old.as_str(), new, 1);
            }
        }
        new.push_str(&line);
        new.push('\n');
        for edit in edits {
            if let Edit::After { line, text } = edit
                && *line == at
            {
                new.push_str(text);
                new.push('\n');
            }
        }
    }
    let after_the_last = text.lines().count() + 1;
    for edit in edits {
        if let Edit::Before { line, text } = edit
            && *line >= after_the_last
        {
            new.push_str(text);
            new.push('\n');
        }
    }
    if !text.ends_with('\n') {
        new.pop();
    }
    new
}

/// For `patch -p0`; empty when nothing changes.
pub fn unified(path: &Path, text: &str, new: &str) -> String {
    if new == text {
        return String::new();
    }
    let name = path.display().to_string();
    let diff = TextDiff::from_lines(text, new);
    diff.unified_diff().header(&name, &name).to_string()
}
