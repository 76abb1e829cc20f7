//! The one place where a name or a text becomes SQL.

/// An identifier as PostgreSQL reads it back, whatever characters it holds.
///
/// Always quoted: whether a bare word would do depends on the version's keywords.
#[must_use]
pub fn ident(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for c in name.chars() {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
    out
}

/// `"schema"."name"`.
#[must_use]
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// `"a", "b"`.
#[must_use]
pub fn list<I, S>(names: I) -> String
where
    I: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    let quoted: Vec<String> = names.into_iter().map(|n| ident(n.as_ref())).collect();
    quoted.join(", ")
}

/// A text as a string constant; right with and without `standard_conforming_strings`.
#[must_use]
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 3);
    if text.contains('\\') {
        out.push('E');
    }
    out.push('\'');
    for c in text.chars() {
        if c == '\'' || c == '\\' {
            out.push(c);
        }
        out.push(c);
    }
    out.push('\'');
    out
}

/// A pattern for pg_dump's `--table` and the like that matches this one name and no other.
#[must_use]
pub fn dump_pattern(schema: &str, name: &str) -> String {
    // Inside double quotes pg_dump takes every character as it is, `$` too.
    qualified(schema, name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads an identifier the way the server's scanner does.
    fn scan_ident(sql: &str) -> Option<(String, &str)> {
        let mut rest = sql.strip_prefix('"')?;
        let mut name = String::new();
        loop {
            let end = rest.find('"')?;
            name.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                Some(more) => {
                    name.push('"');
                    rest = more;
                }
                None => return Some((name, rest)),
            }
        }
    }

    fn scan_literal(sql: &str) -> Option<String> {
        let (escapes, body) = match sql.strip_prefix('E') {
            Some(body) => (true, body),
            None => (false, sql),
        };
        let body = body.strip_prefix('\'')?.strip_suffix('\'')?;
        let mut out = String::new();
        let mut chars = body.chars();
        while let Some(c) = chars.next() {
            let doubled = c == '\'' || (escapes && c == '\\');
            if doubled && chars.next() != Some(c) {
                return None;
            }
            out.push(c);
        }
        Some(out)
    }

    #[test]
    fn names_of_every_kind() {
        assert_eq!(ident("plain"), r#""plain""#);
        assert_eq!(ident(r#"a"b"#), r#""a""b""#);
        assert_eq!(qualified("a.b", "c d"), r#""a.b"."c d""#);
        assert_eq!(list(["ä", "$1"]), r#""ä", "$1""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), r"E'a\\b'");
    }

    proptest! {
        #[test]
        fn an_identifier_reads_back(name in "[^\0]{1,63}", tail in "[ ,.)a-z]{0,3}") {
            let sql = format!("{}{tail}", ident(&name));
            prop_assert_eq!(scan_ident(&sql), Some((name, tail.as_str())));
        }

        #[test]
        fn a_literal_reads_back(text in "[^\0]{0,80}") {
            prop_assert_eq!(scan_literal(&literal(&text)), Some(text));
        }
    }
}
