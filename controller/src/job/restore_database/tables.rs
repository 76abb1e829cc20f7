//! Which tables of a backup are meant: pure.

use holdfast_proto::{image::Manifest, task::TableName};

use crate::policy::glob::Glob;

/// What the patterns choose of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// In the image's order; empty without patterns: everything.
    pub tables: Vec<TableName>,
    /// Patterns that fit nothing.
    pub unmatched: Vec<String>,
}

/// `schema.table` or `table`; `*` stands for any run of characters.
#[must_use]
pub fn choose(image: &Manifest, patterns: &[String]) -> Chosen {
    let names = || {
        let relations = image.relations.iter();
        relations.map(|relation| (relation.schema.as_str(), relation.name.as_str()))
    };
    let chosen = names().filter(|name| patterns.iter().any(|pattern| fits(pattern, *name)));
    let unmatched = patterns
        .iter()
        .filter(|pattern| !names().any(|name| fits(pattern, name)));
    Chosen {
        tables: chosen
            .map(|(schema, name)| TableName {
                schema: schema.to_owned(),
                name: name.to_owned(),
            })
            .collect(),
        unmatched: unmatched.cloned().collect(),
    }
}

/// What of the image is to be there: all of it, or the chosen tables.
#[must_use]
pub fn part_of(mut image: Manifest, tables: &[TableName]) -> Manifest {
    if !tables.is_empty() {
        image.relations.retain(|relation| {
            let mut tables = tables.iter();
            tables.any(|table| table.schema == relation.schema && table.name == relation.name)
        });
    }
    image
}

fn fits(pattern: &str, (schema, name): (&str, &str)) -> bool {
    let glob = |pattern: &str, text: &str| Glob::new(pattern).fits(text);
    glob(pattern, name)
        || pattern
            .match_indices('.')
            .any(|(at, _)| glob(&pattern[..at], schema) && glob(&pattern[at + 1..], name))
}

#[cfg(test)]
mod tests {
    use holdfast_proto::image::Relation;

    use super::*;
    use crate::job::proofs::image_of;

    fn image(names: &[&str]) -> Manifest {
        let mut image = image_of("x");
        let template: Relation = image.relations.remove(0);
        image.relations = names
            .iter()
            .map(|full| {
                let (schema, name) = full.split_once('.').unwrap();
                Relation {
                    schema: schema.to_owned(),
                    name: name.to_owned(),
                    ..template.clone()
                }
            })
            .collect();
        image
    }

    fn chosen(patterns: &[&str]) -> (Vec<String>, Vec<String>) {
        let image = image(&["public.users", "public.orders", "crm.orders", "crm.a.b"]);
        let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        let Chosen { tables, unmatched } = choose(&image, &patterns);
        let kept = part_of(image, &tables).relations.len();
        assert_eq!(kept, if tables.is_empty() { 4 } else { tables.len() });
        let full = |table: &TableName| format!("{}.{}", table.schema, table.name);
        (tables.iter().map(full).collect(), unmatched)
    }

    #[test]
    fn patterns_are_those_of_a_copy() {
        assert_eq!(chosen(&[]).0, [""; 0]);
        assert_eq!(chosen(&["orders"]).0, ["public.orders", "crm.orders"]);
        assert_eq!(
            chosen(&["crm.ord*", "users"]).0,
            ["public.users", "crm.orders"]
        );
        assert_eq!(chosen(&["crm.a.b"]).0, ["crm.a.b"]);
        let (tables, unmatched) = chosen(&["users", "nothing", "crm.users"]);
        assert_eq!(tables, ["public.users"]);
        assert_eq!(unmatched, ["nothing", "crm.users"]);
    }
}
