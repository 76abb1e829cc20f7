//! What lies in a PostgreSQL data directory, read file by file. Nothing is decided here.

use std::collections::BTreeMap;

use super::{
    catalog::{DEFAULT, Database, GLOBAL, Kind, PG_CLASS, PG_DATABASE, Relation, well_known},
    control::{self, Control},
    filenode_map::{self, Mapping},
    heap,
    rows::{Fates, walk},
    wal::{self, FirstPage},
};
use crate::triage::{
    directory::{Directory, Entry, Kind as FileKind, Look},
    holder::Holder,
    log::Heard,
};

/// Files of a few lines.
const SMALL: usize = 64 << 10;
/// At most so many relations of a database are looked at.
const MOST_RELATIONS: usize = 1_000_000;
/// At most so many segments of the log are looked into.
const MOST_SEGMENTS: usize = 20_000;

/// Folders without which nothing is left, and those that are empty in a small cluster: copies lose them.
pub const FOLDERS: [(&str, bool); 12] = [
    ("base", true),
    ("global", true),
    ("pg_wal", true),
    ("pg_xact", true),
    ("pg_multixact", true),
    ("pg_commit_ts", false),
    ("pg_dynshmem", false),
    ("pg_notify", false),
    ("pg_replslot", false),
    ("pg_stat", false),
    ("pg_tblspc", false),
    ("pg_twophase", false),
];

/// Names of files with their lengths.
pub type Files = BTreeMap<String, u64>;
pub type Map = Look<Result<Vec<Mapping>, filenode_map::Flaw>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Nothing lies in it.
    pub empty: bool,
    /// Of `PG_VERSION`, and of the one in `base/1`.
    pub version: Look<String>,
    pub version_inside: Option<String>,
    pub control: Look<Result<Control, control::Flaw>>,
    /// Whether the control file is as long as it always is.
    pub control_whole: bool,
    pub settings: Settings,
    /// Of [`FOLDERS`], and whether each is essential.
    pub missing_folders: Vec<(&'static str, bool)>,
    pub wal: Wal,
    /// Whether the segment of `pg_xact` is there that holds the newest transaction; its name.
    pub transactions: Option<(String, bool)>,
    pub shared_map: Map,
    pub shared_files: Look<Files>,
    pub databases: Look<Vec<Database>>,
    /// Each that has a folder, or that `pg_database` names.
    pub inside: Vec<Inside>,
    /// By tablespace and database.
    pub tablespaces: BTreeMap<(u32, u32), Look<Files>>,
    pub owner: u32,
    pub mode: u32,
    /// Of somebody else, or not to be read by their owner: the first few.
    pub strange: Vec<Strange>,
    /// `postmaster.pid` is there; the process that it names, in the server's numbering.
    pub lock: Option<i64>,
    pub holders: Vec<Holder>,
    /// Whether the log may come from elsewhere: it is a standby, is recovered, or is a base backup.
    pub fed: bool,
    pub heard: Vec<Heard>,
}

/// One database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    pub oid: u32,
    pub name: Option<String>,
    /// "base/5".
    pub path: String,
    pub map: Map,
    pub files: Look<Files>,
    pub relations: Look<Relations>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relations {
    pub all: Vec<Relation>,
    /// Pages of `pg_class` that are none.
    pub bad_pages: usize,
}

/// What the server cannot use, though we can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strange {
    pub path: String,
    pub how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It belongs to this user.
    Owner(u32),
    /// It has these permission bits.
    Mode(u32),
}

/// Where the server finds its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settings {
    Here,
    /// It was told to look there.
    Elsewhere(String),
    Missing,
    Unreadable(String),
}

/// What `pg_wal` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wal {
    /// Why the folder could not be listed.
    pub unreadable: Option<String>,
    /// By number, the newest timeline of each: its name and its first page.
    pub segments: BTreeMap<u64, Segment>,
    /// The pages with the newest checkpoint's record; none: its segment is missing.
    pub checkpoint: Option<Result<bool, wal::Flaw>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub name: String,
    pub bytes: u64,
    /// Unset: too short to have one.
    pub first: Option<FirstPage>,
    pub unreadable: Option<String>,
}

/// What is known from outside the directory.
#[derive(Debug, Clone, Default)]
pub struct Around {
    pub holders: Vec<Holder>,
    pub heard: Vec<Heard>,
    /// A file of settings that the server was told to use.
    pub config_file: Option<String>,
}

#[must_use]
pub fn read(directory: &Directory, around: Around) -> Facts {
    let top = directory.list();
    let control_bytes = directory.read("global/pg_control", SMALL);
    let control_whole = control_bytes
        .seen()
        .is_some_and(|bytes| bytes.len() == control::SIZE);
    let control = control_bytes.map(|bytes| control::read(&bytes));
    let known = control.seen().and_then(|read| read.as_ref().ok()).cloned();
    let version = directory.read("PG_VERSION", SMALL).map(|text| line(&text));
    let version_inside = directory
        .read("base/1/PG_VERSION", SMALL)
        .seen()
        .map(|text| line(text));
    let major = major(&version, version_inside.as_deref());
    let mut fates = Fates::new(directory, known.as_ref());
    let shared_map = map(directory, "global");
    let shared_files = files(directory, "global");
    let databases = databases(directory, &shared_map, major, &mut fates);
    let inside = inside(directory, &databases, major, &mut fates);
    let (owner, mode) = directory
        .stat()
        .map_or((0, 0), |stat| (stat.st_uid, stat.st_mode & 0o7777));
    let lock = directory.read("postmaster.pid", SMALL);
    Facts {
        empty: top.seen().is_some_and(Vec::is_empty),
        settings: settings(directory, around.config_file),
        missing_folders: FOLDERS
            .into_iter()
            .filter(|(name, _)| matches!(directory.entry(name), Look::Missing))
            .collect(),
        wal: wal_of(directory, known.as_ref()),
        transactions: known
            .as_ref()
            .map(|control| newest_transactions(directory, control)),
        tablespaces: tablespaces(directory, major),
        strange: strange(directory, owner),
        lock: lock
            .seen()
            .map(|text| line(text).parse().unwrap_or_default()),
        fed: ["standby.signal", "recovery.signal", "backup_label"]
            .iter()
            .any(|name| directory.entry(name).seen().is_some()),
        version,
        version_inside,
        control,
        control_whole,
        shared_map,
        shared_files,
        databases,
        inside,
        owner,
        mode,
        holders: around.holders,
        heard: around.heard,
    }
}

/// 0: nothing tells.
#[must_use]
pub fn major(version: &Look<String>, inside: Option<&str>) -> u32 {
    let told = version.seen().map(String::as_str);
    let parsed = told.and_then(|text| text.parse().ok());
    parsed
        .or_else(|| inside.and_then(|text| text.parse().ok()))
        .unwrap_or_default()
}

fn line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn settings(directory: &Directory, told: Option<String>) -> Settings {
    if let Some(file) = told {
        return Settings::Elsewhere(file);
    }
    match directory.entry("postgresql.conf") {
        Look::Seen(Entry {
            kind: FileKind::Link,
            ..
        }) => {
            let target = directory.link("postgresql.conf").unwrap_or_default();
            Settings::Elsewhere(target.display().to_string())
        }
        Look::Seen(_) => match directory.read_from("postgresql.conf", 0, 1) {
            Look::Unreadable(why) => Settings::Unreadable(why),
            Look::Seen(_) | Look::Missing => Settings::Here,
        },
        Look::Missing => Settings::Missing,
        Look::Unreadable(why) => Settings::Unreadable(why),
    }
}

fn map(directory: &Directory, folder: &str) -> Map {
    let bytes = directory.read(&format!("{folder}/pg_filenode.map"), SMALL);
    bytes.map(|bytes| filenode_map::read(&bytes))
}

fn files(directory: &Directory, folder: &str) -> Look<Files> {
    match directory.folder(folder) {
        Look::Seen(folder) => folder.list().map(|listed| {
            let files = listed.into_iter();
            let files = files.filter(|(_, entry)| entry.kind == FileKind::File);
            files.map(|(name, entry)| (name, entry.bytes)).collect()
        }),
        other => other.map(|_| Files::new()),
    }
}

/// The file of a catalog; none: the map does not tell.
#[must_use]
pub fn mapped(map: &Map, relation: u32) -> Option<u32> {
    let mappings = map.seen()?.as_ref().ok()?;
    let found = mappings.iter().find(|mapping| mapping.relation == relation);
    found.map(|mapping| mapping.file)
}

fn databases(
    directory: &Directory,
    map: &Map,
    major: u32,
    fates: &mut Fates<'_>,
) -> Look<Vec<Database>> {
    let Some(file) = mapped(map, PG_DATABASE) else {
        return Look::Unreadable("the map of files does not say where it lies".to_owned());
    };
    let mut found = Vec::new();
    let path = format!("global/{file}");
    let read = walk(directory, &path, fates, &mut |row| {
        found.extend(Database::read(row, major));
        true
    });
    read.map(|_| found)
}

fn inside(
    directory: &Directory,
    databases: &Look<Vec<Database>>,
    major: u32,
    fates: &mut Fates<'_>,
) -> Vec<Inside> {
    let mut all: BTreeMap<u32, Option<String>> = BTreeMap::new();
    // Those of another tablespace have their catalogs there.
    for database in databases.seen().into_iter().flatten() {
        if database.tablespace == DEFAULT {
            all.insert(database.oid, Some(database.name.clone()));
        }
    }
    // What nobody names is only asked for when the list of databases cannot be had.
    if databases.seen().is_none_or(Vec::is_empty) {
        let listed = match directory.folder("base") {
            Look::Seen(base) => base.list(),
            _ => Look::Missing,
        };
        for (name, _) in listed.seen().into_iter().flatten() {
            if let Ok(oid) = name.parse() {
                all.insert(oid, None);
            }
        }
    }
    all.into_iter()
        .map(|(oid, name)| {
            let path = format!("base/{oid}");
            let map = map(directory, &path);
            let relations = relations(directory, &path, &map, major, fates);
            Inside {
                oid,
                name,
                files: files(directory, &path),
                map,
                relations,
                path,
            }
        })
        .collect()
}

fn relations(
    directory: &Directory,
    path: &str,
    map: &Map,
    major: u32,
    fates: &mut Fates<'_>,
) -> Look<Relations> {
    let Some(file) = mapped(map, PG_CLASS) else {
        return Look::Unreadable("the map of files does not say where it lies".to_owned());
    };
    let mut found = Relations::default();
    let read = walk(directory, &format!("{path}/{file}"), fates, &mut |row| {
        found.all.extend(Relation::read(row, major));
        found.all.len() < MOST_RELATIONS
    });
    match read {
        Look::Seen(_) if found.all.len() >= MOST_RELATIONS => {
            Look::Unreadable(format!("it names more than {MOST_RELATIONS} relations"))
        }
        Look::Seen(bad_pages) => Look::Seen(Relations { bad_pages, ..found }),
        other => other.map(|_| Relations::default()),
    }
}

fn tablespaces(directory: &Directory, major: u32) -> BTreeMap<(u32, u32), Look<Files>> {
    let mut found = BTreeMap::new();
    let Look::Seen(links) = directory.folder("pg_tblspc") else {
        return found;
    };
    for (name, _) in links.list().seen().into_iter().flatten() {
        let Ok(oid) = name.parse::<u32>() else {
            continue;
        };
        let place = match links.folder(name) {
            Look::Seen(place) => place,
            other => {
                // For every database: nobody knows which have something in it.
                found.insert((oid, 0), other.map(|_| Files::new()));
                continue;
            }
        };
        let own = format!("PG_{major}_");
        for (version, _) in place.list().seen().into_iter().flatten() {
            let Look::Seen(version) = place.folder(version).filter_name(version, &own) else {
                continue;
            };
            for (database, _) in version.list().seen().into_iter().flatten() {
                if let Ok(number) = database.parse() {
                    found.insert((oid, number), files(&version, database));
                }
            }
        }
        found.entry((oid, 0)).or_insert(Look::Seen(Files::new()));
    }
    found
}

impl<T> Look<T> {
    /// Missing, unless the name begins so.
    fn filter_name(self, name: &str, begin: &str) -> Self {
        if name.starts_with(begin) {
            self
        } else {
            Self::Missing
        }
    }
}

fn wal_of(directory: &Directory, control: Option<&Control>) -> Wal {
    let mut wal = Wal::default();
    let (folder, listed) = match directory.folder("pg_wal") {
        Look::Seen(folder) => {
            let listed = folder.list();
            (folder, listed)
        }
        Look::Missing => return wal,
        Look::Unreadable(why) => {
            wal.unreadable = Some(why);
            return wal;
        }
    };
    let listed = match listed {
        Look::Seen(listed) => listed,
        Look::Missing => return wal,
        Look::Unreadable(why) => {
            wal.unreadable = Some(why);
            return wal;
        }
    };
    let Some(control) = control else {
        return wal;
    };
    let first = wal::number(control.redo, control.wal_segment);
    let mut named: Vec<_> = listed
        .into_iter()
        .filter(|(_, entry)| entry.kind == FileKind::File)
        .filter_map(|(name, entry)| {
            let (timeline, number) = wal::parse(&name, control.wal_segment)?;
            (number >= first).then_some((number, timeline, name, entry.bytes))
        })
        .collect();
    named.sort();
    for (number, _, name, bytes) in named.into_iter().take(MOST_SEGMENTS) {
        let head = folder.read_from(&name, 0, 40);
        let segment = Segment {
            bytes,
            first: head.seen().and_then(|head| wal::first_page(head)),
            unreadable: match head {
                Look::Unreadable(why) => Some(why),
                Look::Seen(_) | Look::Missing => None,
            },
            name,
        };
        // The newest timeline comes last, and goes over the ones before.
        wal.segments.insert(number, segment);
    }
    let at = wal::number(control.checkpoint, control.wal_segment);
    if let Some(segment) = wal.segments.get(&at) {
        let own = wal::name(control.timeline, at, control.wal_segment);
        let (begin, length) = wal::pages_of(control);
        let pages = match folder.read_from(&own, begin, length) {
            Look::Missing => folder.read_from(&segment.name, begin, length),
            other => other,
        };
        wal.checkpoint = pages.seen().map(|pages| wal::checkpoint(pages, control));
    }
    wal
}

fn newest_transactions(directory: &Directory, control: &Control) -> (String, bool) {
    let newest = u32::try_from(control.next_transaction & 0xFFFF_FFFF).unwrap_or_default();
    let newest = newest.saturating_sub(1).max(heap::FIRST_NORMAL);
    let name = format!("pg_xact/{:04X}", newest / heap::PER_SEGMENT);
    let there = !matches!(directory.entry(&name), Look::Missing);
    (name, there)
}

/// How many are told of.
const STRANGE_TOLD: usize = 5;

fn strange(directory: &Directory, owner: u32) -> Vec<Strange> {
    let mut found = Vec::new();
    let mut folders = vec![
        (String::new(), directory.folder(".")),
        ("global/".to_owned(), directory.folder("global")),
        ("pg_wal/".to_owned(), directory.folder("pg_wal")),
    ];
    if let Look::Seen(base) = directory.folder("base") {
        for (name, _) in base.list().seen().into_iter().flatten() {
            folders.push((format!("base/{name}/"), base.folder(name)));
        }
    }
    for (path, folder) in folders {
        let Look::Seen(folder) = folder else { continue };
        for (name, entry) in folder.list().seen().into_iter().flatten() {
            // Beside the server's own, others may keep theirs there.
            let own = name == "PG_VERSION" || FOLDERS.iter().any(|(folder, _)| folder == name);
            if (path.is_empty() && !own) || name == "lost+found" {
                continue;
            }
            let wanted = match entry.kind {
                FileKind::Folder => 0o700,
                FileKind::File => 0o600,
                FileKind::Link | FileKind::Other => continue,
            };
            let how = if entry.uid != owner {
                How::Owner(entry.uid)
            } else if entry.mode & wanted != wanted {
                How::Mode(entry.mode)
            } else {
                continue;
            };
            let path = format!("{path}{name}");
            found.push(Strange { path, how });
            if found.len() == STRANGE_TOLD {
                return found;
            }
        }
    }
    found
}

/// What a catalog is, from the rows of any database, else by its number.
#[must_use]
pub fn shared_name(inside: &[Inside], oid: u32) -> (String, Kind) {
    let known = inside.iter().find_map(|database| {
        let relations = database.relations.seen()?;
        relations.all.iter().find(|relation| relation.oid == oid)
    });
    if let Some(relation) = known {
        return (relation.name.clone(), relation.kind);
    }
    match well_known(oid) {
        Some((name, kind)) => (name.to_owned(), kind),
        // What nobody knows is a table until somebody shows that it is not.
        None => (format!("the relation {oid}"), Kind::Table),
    }
}

/// Where the files of a relation are, and the path of its first one.
#[must_use]
pub fn place<'a>(
    facts: &'a Facts,
    inside: &'a Inside,
    relation: &Relation,
) -> (Option<&'a Look<Files>>, String) {
    match relation.tablespace {
        GLOBAL => (Some(&facts.shared_files), "global".to_owned()),
        0 | DEFAULT => (Some(&inside.files), inside.path.clone()),
        other => {
            let own = facts.tablespaces.get(&(other, inside.oid));
            let any = || facts.tablespaces.get(&(other, 0));
            (
                own.or_else(any),
                format!("pg_tblspc/{other}/…/{}", inside.oid),
            )
        }
    }
}
