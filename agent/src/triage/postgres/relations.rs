//! Whether the files of databases and relations are there, by what the catalogs name. Pure.

use holdfast_proto::task::DataVerdict::{DataLost, IndexBroken, Sound, Unknown};

use super::{
    catalog::{DEFAULT, Kind, well_known},
    facts::{Facts, Files, Inside, Map, place, shared_name},
};
use crate::triage::{directory::Look, evidence::Found};

/// Catalogs that hold rows from the first day on: empty, they are lost.
const NEVER_EMPTY: [u32; 7] = [1213, 1247, 1249, 1255, 1259, 1260, 1262];

/// How a relation's file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Present {
    Whole,
    Empty,
    Missing,
    /// This segment of it is missing, and a later one is there.
    Gap(u32),
}

pub fn judge(facts: &Facts, found: &mut Found) {
    shared(facts, found);
    for inside in &facts.inside {
        database(facts, inside, found);
    }
    databases(facts, found);
}

fn broken_map(map: &Map, folder: &str, found: &mut Found) {
    let path = format!("{folder}/pg_filenode.map");
    match map {
        Look::Seen(Ok(_)) => {}
        Look::Seen(Err(flaw)) => {
            let what = format!(
                "{path}, which says where the catalogs lie, is damaged: {}",
                flaw.words()
            );
            found.add("filenode-map-damaged", DataLost, what);
        }
        Look::Missing => {
            let what = format!("{path} is missing, which says where the catalogs lie");
            found.add("filenode-map-missing", DataLost, what);
        }
        Look::Unreadable(why) => found.unreadable(&path, why),
    }
}

/// What all databases share.
fn shared(facts: &Facts, found: &mut Found) {
    let files = match &facts.shared_files {
        Look::Seen(files) => files,
        Look::Missing => return,
        Look::Unreadable(why) => return found.unreadable("global", why),
    };
    broken_map(&facts.shared_map, "global", found);
    for mapping in facts.shared_map.seen().into_iter().flatten().flatten() {
        let (name, kind) = shared_name(&facts.inside, mapping.relation);
        let relation = Seen {
            oid: mapping.relation,
            name: &name,
            kind,
            system: true,
            path: format!("global/{}", mapping.file),
            of: "shared by all databases",
        };
        relation.judge(present(files, mapping.file), true, found);
    }
}

fn databases(facts: &Facts, found: &mut Found) {
    match &facts.databases {
        Look::Seen(all) if all.is_empty() => {
            found.add(
                "databases-unknown",
                Unknown,
                "no database is certainly in pg_database",
            );
        }
        Look::Seen(all) => {
            for database in all.iter().filter(|database| database.tablespace != DEFAULT) {
                let what = format!(
                    "database {} lies in a tablespace of its own, which is not looked into",
                    database.name
                );
                found.add("not-looked-into", Unknown, what);
            }
            let relations = facts
                .inside
                .iter()
                .filter_map(|inside| inside.relations.seen());
            let count: usize = relations.map(|relations| relations.all.len()).sum();
            let what = format!(
                "{count} relations in {} databases were looked for",
                all.len()
            );
            found.add("relations", Sound, what);
        }
        // Its file is told of with all others that are missing.
        Look::Missing => {}
        Look::Unreadable(why) => found.unreadable("pg_database", why),
    }
}

fn database(facts: &Facts, inside: &Inside, found: &mut Found) {
    let named = inside
        .name
        .clone()
        .unwrap_or_else(|| format!("with the number {}", inside.oid));
    let of = format!("of database {named}");
    match &inside.files {
        Look::Seen(_) => {}
        Look::Missing => {
            let what = format!("the folder {} {of} is missing", inside.path);
            return found.add("database-missing", DataLost, what);
        }
        Look::Unreadable(why) => return found.unreadable(&inside.path, why),
    }
    broken_map(&inside.map, &inside.path, found);
    catalogs(inside, &of, found);
    let relations = match &inside.relations {
        Look::Seen(relations) => relations,
        Look::Missing => return,
        Look::Unreadable(why) => {
            // A broken map is told of already.
            if matches!(inside.map, Look::Seen(Ok(_))) {
                found.unreadable(&format!("pg_class {of}"), why);
            }
            return;
        }
    };
    if relations.bad_pages > 0 {
        let what = format!("{} pages of pg_class {of} are damaged", relations.bad_pages);
        found.add("page-damaged", DataLost, what);
    }
    let clean = facts.holders.is_empty() && clean(facts);
    for relation in relations.all.iter().filter(|relation| relation.file != 0) {
        let (files, folder) = place(facts, inside, relation);
        let path = format!("{folder}/{}", relation.file);
        let state = match files {
            Some(Look::Seen(files)) => present(files, relation.file),
            Some(Look::Missing) | None => Present::Missing,
            Some(Look::Unreadable(why)) => {
                found.unreadable(&folder, why);
                continue;
            }
        };
        // A relation that is being removed is empty for a while.
        let told = clean && (relation.kind == Kind::Index || relation.pages > 0);
        let seen = Seen {
            oid: relation.oid,
            name: &relation.name,
            kind: relation.kind,
            system: relation.is_system(),
            path,
            of: &of,
        };
        seen.judge(state, told, found);
    }
}

/// Those whose files the map names.
fn catalogs(inside: &Inside, of: &str, found: &mut Found) {
    let (Some(files), Some(Ok(map))) = (inside.files.seen(), inside.map.seen()) else {
        return;
    };
    for mapping in map {
        let (name, kind) = match well_known(mapping.relation) {
            Some((name, kind)) => (name.to_owned(), kind),
            None => shared_name(std::slice::from_ref(inside), mapping.relation),
        };
        let seen = Seen {
            oid: mapping.relation,
            name: &name,
            kind,
            system: true,
            path: format!("{}/{}", inside.path, mapping.file),
            of,
        };
        seen.judge(present(files, mapping.file), true, found);
    }
}

/// A relation that is looked for.
struct Seen<'a> {
    oid: u32,
    name: &'a str,
    kind: Kind,
    system: bool,
    path: String,
    of: &'a str,
}

impl Seen<'_> {
    /// `told`: an empty file is told of.
    fn judge(&self, present: Present, told: bool, found: &mut Found) {
        let (what, state) = match present {
            Present::Whole => return,
            Present::Empty => {
                let never =
                    self.kind == Kind::Index || !self.system || NEVER_EMPTY.contains(&self.oid);
                if !told || !never {
                    return;
                }
                ("is empty".to_owned(), "empty")
            }
            Present::Missing => ("is missing".to_owned(), "missing"),
            Present::Gap(segment) => (format!("lacks its part .{segment}"), "missing"),
        };
        let (code, verdict, noun) = match (self.kind, self.system, state) {
            (Kind::Index, true, "empty") => ("system-index-empty", IndexBroken, "the system index"),
            (Kind::Index, true, _) => ("system-index-missing", IndexBroken, "the system index"),
            (Kind::Index, false, "empty") => ("index-empty", IndexBroken, "the index"),
            (Kind::Index, false, _) => ("index-missing", IndexBroken, "the index"),
            (_, true, "empty") => ("system-table-empty", DataLost, "the system table"),
            (_, true, _) => ("system-table-missing", DataLost, "the system table"),
            (Kind::Sequence, false, _) => ("sequence-missing", DataLost, "the sequence"),
            (Kind::Table, false, "empty") => ("table-empty", DataLost, "the table"),
            (Kind::Table, false, _) => ("table-missing", DataLost, "the table"),
        };
        found.add(
            code,
            verdict,
            format!("{} {what}: {noun} {} {}", self.path, self.name, self.of),
        );
    }
}

#[must_use]
pub fn present(files: &Files, file: u32) -> Present {
    let name = file.to_string();
    let Some(bytes) = files.get(&name) else {
        return Present::Missing;
    };
    let prefix = format!("{name}.");
    let mut parts: Vec<u32> = files
        .range(prefix.clone()..)
        .take_while(|(other, _)| other.starts_with(&prefix))
        .filter_map(|(other, _)| other.get(prefix.len()..)?.parse().ok())
        .collect();
    parts.sort_unstable();
    let gap = (1u32..).zip(&parts).find(|(wanted, part)| wanted != *part);
    match gap {
        Some((wanted, _)) => Present::Gap(wanted),
        None if *bytes == 0 => Present::Empty,
        None => Present::Whole,
    }
}

/// The server stopped in order: what its catalogs say is what there is.
fn clean(facts: &Facts) -> bool {
    let control = facts.control.seen().and_then(|read| read.as_ref().ok());
    control.is_some_and(|control| control.state.is_clean())
}
