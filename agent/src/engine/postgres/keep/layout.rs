//! Names and contents of the entries of a backup. Pure.

use holdfast_proto::{
    fleet::Engine,
    image::{Manifest, Relation, RelationPlan, SequenceState},
};
use holdfast_repository::EntryName;
use serde::{Deserialize, Serialize};

/// Of [`Contents`]; a reader refuses what it does not know.
pub(super) const FORMAT: u32 = 1;

/// pg_dump's archive of everything but rows.
pub(super) const ARCHIVE: &str = "schema.dump";
/// Of MariaDB and MySQL: everything but rows, as statements.
const STATEMENTS: &str = "schema.json";
/// [`Contents`].
pub(super) const MANIFEST: &str = "manifest.json";

/// Names are cut to this many bytes; the number in front tells entries apart.
const SHOWN: usize = 150;

/// The last entry: what the others are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Contents {
    pub format: u32,
    /// Whose image it is.
    #[serde(default = "postgres")]
    pub engine: Engine,
    pub manifest: Manifest,
    /// With the numbers that the entries' names begin with.
    pub relations: Vec<RelationPlan>,
    pub sequences: Vec<SequenceState>,
}

/// Why a backup cannot be read as an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadContents {
    #[error("its manifest cannot be read: {0}")]
    Unreadable(String),
    #[error("its manifest has format {0}, and this agent knows up to {FORMAT}")]
    TooNew(u32),
    #[error("its manifest does not describe {0}")]
    Missing(String),
}

impl Contents {
    /// # Errors
    /// [`BadContents`]: nothing of the image is to be used then.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, BadContents> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| BadContents::Unreadable(error.to_string());
        let versioned: Versioned = serde_json::from_slice(bytes).map_err(unreadable)?;
        if versioned.format > FORMAT {
            return Err(BadContents::TooNew(versioned.format));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }

    /// What was stored of the relation.
    ///
    /// # Errors
    /// When there is no account of it, or one of another number of parts.
    pub(super) fn stored(&self, plan: &RelationPlan) -> Result<&Relation, BadContents> {
        let mut relations = self.manifest.relations.iter();
        relations
            .find(|relation| relation.schema == plan.schema && relation.name == plan.name)
            .filter(|relation| relation.parts.len() == plan.parts as usize)
            .ok_or_else(|| BadContents::Missing(format!("{}.{}", plan.schema, plan.name)))
    }
}

/// One part of a relation: `rows-000003-00012-public.orders`.
pub(super) fn rows(plan: &RelationPlan, part: u32) -> String {
    let mut shown: String = format!("{}.{}", plan.schema, plan.name)
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    shown.truncate(shown.floor_char_boundary(SHOWN));
    format!("rows-{:06}-{part:05}-{shown}", plan.id)
}

/// The entry that holds everything but rows.
pub(super) fn schema(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => ARCHIVE,
        Engine::Mariadb | Engine::Mysql => STATEMENTS,
    }
}

/// Whether an image of one engine can be read into the other.
pub(super) fn fits(image: Engine, server: Engine) -> bool {
    image == server
}

/// Of backups that were made when there was no other.
fn postgres() -> Engine {
    Engine::Postgres
}

/// Everything but the manifest, in the order in which it is made.
pub(super) fn entries(
    engine: Engine,
    by_hand: &[&'static str],
    relations: &[RelationPlan],
) -> Vec<String> {
    let mut names = vec![schema(engine).to_owned()];
    names.extend(by_hand.iter().map(|name| (*name).to_owned()));
    for plan in relations {
        names.extend((0..plan.parts).map(|part| rows(plan, part)));
    }
    names
}

/// A name that this file made. They hold no slash and are never empty.
pub(super) fn entry(name: &str) -> Result<EntryName, String> {
    name.parse()
        .map_err(|error: holdfast_repository::BadEntryName| error.to_string())
}

#[cfg(test)]
mod tests {
    use holdfast_proto::image::{CopyFormat, RelationKind};
    use proptest::prelude::*;

    use super::*;

    fn plan(schema: &str, name: &str) -> RelationPlan {
        RelationPlan {
            id: 3,
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind: RelationKind::Table,
            columns: Vec::new(),
            format: CopyFormat::Binary,
            parts: 2,
            estimated_bytes: 0,
            filter: String::new(),
            constraint_indexes: Vec::new(),
        }
    }

    #[test]
    fn names_tell_what_they_hold() {
        let orders = plan("public", "orders");
        assert_eq!(
            entries(Engine::Postgres, &["restore.sh"], &[orders])[2..],
            [
                "rows-000003-00000-public.orders",
                "rows-000003-00001-public.orders"
            ]
        );
        assert_eq!(rows(&plan("a/b", "c d"), 0), "rows-000003-00000-a_b.c_d");
    }

    #[test]
    fn what_this_version_does_not_know_is_refused() {
        assert_eq!(
            Contents::read(br#"{"format":2}"#),
            Err(BadContents::TooNew(2))
        );
        assert!(matches!(
            Contents::read(b"{"),
            Err(BadContents::Unreadable(_))
        ));
    }

    proptest! {
        #[test]
        fn every_name_is_one_of_an_entry(schema in "\\PC{1,63}", name in "\\PC{1,63}", part: u32) {
            prop_assert!(entry(&rows(&plan(&schema, &name), part)).is_ok());
        }
    }
}
