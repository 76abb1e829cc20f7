//! Names and values as these servers read them, whatever is in them.

/// A name in backquotes.
#[must_use]
pub fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[must_use]
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// A text in quotes, for a session that reads backslashes as escapes (the default).
#[must_use]
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        assert_eq!(ident("a`b"), "`a``b`");
        assert_eq!(qualified("a.b", "c"), "`a.b`.`c`");
        assert_eq!(literal("it's \\ a\0b"), "'it''s \\\\ a\\0b'");
    }
}
