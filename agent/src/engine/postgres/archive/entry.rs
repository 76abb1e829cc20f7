//! One entry of an archive's table of contents, and what pg_restore would make of it.

use crate::engine::postgres::quote::{ident, qualified};

/// Part of the archive that an entry belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Section {
    None,
    #[default]
    Pre,
    Data,
    Post,
}

impl Section {
    pub(super) fn from_number(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::None),
            2 => Some(Self::Pre),
            3 => Some(Self::Data),
            4 => Some(Self::Post),
            _ => None,
        }
    }
}

/// When pg_restore runs it: grants after all objects, so that they do not stand in the way;
/// refreshes and event triggers after those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    Main,
    Grants,
    Last,
}

/// `Debug` shows no definition: that of a subscription holds a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: i64,
    pub section: Section,
    /// "INDEX", "FK CONSTRAINT", …
    pub desc: String,
    /// Name as pg_dump shows it; "table constraint" for constraints and the like.
    pub tag: String,
    pub namespace: String,
    pub owner: String,
    pub tablespace: String,
    pub access_method: String,
    /// One or more statements.
    pub defn: String,
    pub drop_statement: String,
    /// Ids of entries that must come first.
    pub dependencies: Vec<i64>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("id", &self.id)
            .field("desc", &self.desc)
            .field("tag", &self.tag)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Entry {
    #[must_use]
    pub fn pass(&self) -> Pass {
        match self.desc.as_str() {
            "ACL" | "ACL LANGUAGE" | "DEFAULT ACL" => Pass::Grants,
            "EVENT TRIGGER" | "MATERIALIZED VIEW DATA" => Pass::Last,
            "COMMENT" | "SECURITY LABEL" if self.tag.starts_with("EVENT TRIGGER ") => Pass::Last,
            _ => Pass::Main,
        }
    }

    /// For people: `INDEX public.orders_x`.
    #[must_use]
    pub fn label(&self) -> String {
        if self.namespace.is_empty() {
            format!("{} {}", self.desc, self.tag)
        } else {
            format!("{} {}.{}", self.desc, self.namespace, self.tag)
        }
    }

    /// `ALTER … OWNER TO` for the kinds of the post-data section that have an owner of their own.
    #[must_use]
    pub fn ownership(&self) -> Option<String> {
        if self.owner.is_empty() || self.drop_statement.is_empty() {
            return None;
        }
        let object = match self.desc.as_str() {
            "EVENT TRIGGER" | "PUBLICATION" | "SUBSCRIPTION" => {
                format!("{} {}", self.desc, ident(&self.tag))
            }
            "STATISTICS" => format!("STATISTICS {}", qualified(&self.namespace, &self.tag)),
            _ => return None,
        };
        Some(format!("ALTER {object} OWNER TO {};", ident(&self.owner)))
    }

    /// Everything to run for it, with its tablespace and table access method.
    #[must_use]
    pub fn statements(&self, with_tablespace: bool) -> String {
        let mut sql = self.placement(with_tablespace);
        sql.push_str(&self.defn);
        if let Some(ownership) = self.ownership() {
            sql.push('\n');
            sql.push_str(&ownership);
        }
        sql
    }

    /// The settings that decide where it is put.
    #[must_use]
    pub fn placement(&self, with_tablespace: bool) -> String {
        let tablespace = if with_tablespace && !self.tablespace.is_empty() {
            ident(&self.tablespace)
        } else {
            "''".to_owned()
        };
        format!("SET default_tablespace = {tablespace};\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(desc: &str, tag: &str) -> Entry {
        Entry {
            id: 1,
            section: Section::Post,
            desc: desc.to_owned(),
            tag: tag.to_owned(),
            namespace: "a b".to_owned(),
            owner: "ow\"ner".to_owned(),
            tablespace: String::new(),
            access_method: String::new(),
            defn: "CREATE …;\n".to_owned(),
            drop_statement: "DROP …;\n".to_owned(),
            dependencies: Vec::new(),
        }
    }

    #[test]
    fn owners_are_set_where_pg_restore_sets_them() {
        assert_eq!(
            entry("STATISTICS", "s.t").ownership().unwrap(),
            r#"ALTER STATISTICS "a b"."s.t" OWNER TO "ow""ner";"#
        );
        assert_eq!(
            entry("PUBLICATION", "p").ownership().unwrap(),
            r#"ALTER PUBLICATION "p" OWNER TO "ow""ner";"#
        );
        assert_eq!(entry("INDEX", "i").ownership(), None);
        assert_eq!(entry("TRIGGER", "t r").ownership(), None);
    }

    #[test]
    fn event_triggers_and_what_is_said_of_them_come_last() {
        assert_eq!(entry("EVENT TRIGGER", "e").pass(), Pass::Last);
        assert_eq!(entry("COMMENT", "EVENT TRIGGER e").pass(), Pass::Last);
        assert_eq!(entry("COMMENT", "INDEX e").pass(), Pass::Main);
        assert_eq!(entry("DEFAULT ACL", "x").pass(), Pass::Grants);
    }

    #[test]
    fn debug_keeps_definitions_to_itself() {
        let mut subscription = entry("SUBSCRIPTION", "s");
        subscription.defn = "CREATE SUBSCRIPTION s CONNECTION 'password=hunter2'".to_owned();
        assert!(!format!("{subscription:?}").contains("hunter2"));
    }
}
