//! What lies in a data directory of MariaDB or MySQL, read file by file. Nothing is decided here.

use std::collections::BTreeMap;

use super::tablespace::{self, FirstPage, Flaw, MOST_PAGE};
use crate::triage::{
    directory::{Directory, Kind, Look},
    holder::Holder,
    log::Heard,
};

/// Files of a few lines, and headers.
const SMALL: usize = 64 << 10;
/// At most so many tables are looked into.
const MOST_TABLES: usize = 200_000;
const STRANGE_TOLD: usize = 5;
/// What a server keeps for itself at the top, and nobody else's.
const OWN: [&str; 8] = [
    "ibdata1",
    "ib_logfile0",
    "aria_log_control",
    "mysql",
    "mysql.ibd",
    "#innodb_redo",
    "performance_schema",
    "sys",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Nothing lies in it.
    pub empty: bool,
    /// It keeps its dictionary in `mysql.ibd`, as MySQL does; else it has Aria's files.
    pub is_mysql: bool,
    pub version: String,
    /// Files of InnoDB by path: of the system, and of each table.
    pub system: Look<Tablespace>,
    /// The system's tablespace goes on in other files.
    pub system_goes_on: bool,
    pub dictionary: Look<Tablespace>,
    pub tables: BTreeMap<String, Look<Tablespace>>,
    /// There are more than are looked into.
    pub too_many: bool,
    /// Tables of Aria or MyISAM of which one file is there and the other one is not.
    pub halves: Vec<String>,
    /// Tables of InnoDB that are described, and have no file.
    pub without_file: Vec<String>,
    /// The redo log's first file: whether its header holds; its name.
    pub redo: (String, Look<bool>),
    /// Aria's control file, and whether it begins as one.
    pub aria: Look<bool>,
    /// The folder with the server's own tables.
    pub own_tables: bool,
    /// The file that a server removes when it stops in order.
    pub temporary: bool,
    pub owner: u32,
    pub strange: Vec<String>,
    pub holders: Vec<Holder>,
    pub heard: Vec<Heard>,
    /// Folders that could not be listed, with the reason.
    pub unread: Vec<(String, String)>,
}

/// A file of InnoDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tablespace {
    pub bytes: u64,
    pub first: Result<FirstPage, Flaw>,
}

#[must_use]
pub fn read(directory: &Directory, holders: Vec<Holder>, heard: Vec<Heard>) -> Facts {
    let top = directory.list();
    let names = top.seen().map(Vec::as_slice).unwrap_or_default();
    let has = |name: &str| names.iter().any(|(other, _)| other == name);
    let owner = directory.stat().map_or(0, |stat| stat.st_uid);
    let mut facts = Facts {
        empty: top.seen().is_some_and(Vec::is_empty),
        is_mysql: has("mysql.ibd")
            || has("#innodb_redo")
            || (has("auto.cnf") && !has("aria_log_control")),
        version: version(directory),
        system: innodb(directory, "ibdata1"),
        system_goes_on: has("ibdata2"),
        dictionary: innodb(directory, "mysql.ibd"),
        tables: BTreeMap::new(),
        too_many: false,
        halves: Vec::new(),
        without_file: Vec::new(),
        redo: redo(directory),
        aria: directory
            .read("aria_log_control", SMALL)
            .map(|bytes| tablespace::is_aria_control(&bytes)),
        own_tables: has("mysql"),
        temporary: has("ibtmp1"),
        owner,
        strange: Vec::new(),
        holders,
        heard,
        unread: Vec::new(),
    };
    for (name, entry) in names {
        if OWN.contains(&name.as_str()) {
            facts.belongs(name, entry.uid);
        }
        if entry.kind == Kind::Folder && !name.starts_with('#') && name != "lost+found" {
            folder(directory, name, &mut facts);
        }
    }
    facts
}

impl Facts {
    fn belongs(&mut self, path: &str, uid: u32) {
        if uid != self.owner && self.strange.len() < STRANGE_TOLD {
            self.strange.push(format!("{path} belongs to user {uid}"));
        }
    }
}

/// As the server noted it when it set the directory up, or upgraded it.
fn version(directory: &Directory) -> String {
    let files = ["mariadb_upgrade_info", "mysql_upgrade_info"];
    let told = files
        .iter()
        .find_map(|name| directory.read(name, SMALL).seen().cloned());
    if let Some(told) = told {
        let text = String::from_utf8_lossy(&told);
        let line = text.lines().next().unwrap_or_default().trim();
        return line.trim_end_matches("-MariaDB").to_owned();
    }
    let told = directory.read("mysql_upgrade_history", SMALL);
    let text = told.seen().map(|text| String::from_utf8_lossy(text));
    // A list of all upgrades, the newest last.
    let text = text.unwrap_or_default();
    let newest = text.rsplit_once("\"version\":\"");
    let version = newest.and_then(|(_, rest)| rest.split('"').next());
    version.unwrap_or_default().to_owned()
}

fn innodb(directory: &Directory, path: &str) -> Look<Tablespace> {
    let bytes = match directory.entry(path) {
        Look::Seen(entry) => entry.bytes,
        other => {
            return other.map(|entry| Tablespace {
                bytes: entry.bytes,
                first: Err(Flaw::Short),
            });
        }
    };
    directory
        .read_from(path, 0, MOST_PAGE)
        .map(|head| Tablespace {
            bytes,
            first: tablespace::read(&head),
        })
}

fn redo(directory: &Directory) -> (String, Look<bool>) {
    let mut path = "ib_logfile0".to_owned();
    if let Look::Seen(folder) = directory.folder("#innodb_redo") {
        // Spare ones end in "_tmp".
        let listed = folder.list();
        let numbered = listed.seen().into_iter().flatten().filter_map(|(name, _)| {
            let number: u64 = name.strip_prefix("#ib_redo")?.parse().ok()?;
            Some((number, name.clone()))
        });
        path = match numbered.max() {
            Some((_, name)) => format!("#innodb_redo/{name}"),
            None => return ("#innodb_redo/#ib_redo…".to_owned(), Look::Missing),
        };
    }
    let head = directory.read_from(&path, 0, 512);
    let read = head.map(|head| tablespace::is_log_header(&head));
    (path, read)
}

/// The tables of one database.
fn folder(directory: &Directory, name: &str, facts: &mut Facts) {
    let listed = match directory.folder(name) {
        Look::Seen(folder) => folder.list(),
        other => other.map(|_| Vec::new()),
    };
    let listed = match listed {
        Look::Seen(listed) => listed,
        Look::Missing => return,
        Look::Unreadable(why) => return facts.unread.push((name.to_owned(), why)),
    };
    let has = |name: &str| listed.iter().any(|(other, _)| other == name);
    for (file, entry) in &listed {
        facts.belongs(&format!("{name}/{file}"), entry.uid);
        let Some((table, kind)) = file.rsplit_once('.') else {
            continue;
        };
        let path = format!("{name}/{file}");
        match kind {
            "ibd" if facts.tables.len() >= MOST_TABLES => facts.too_many = true,
            "ibd" => {
                facts.tables.insert(path.clone(), innodb(directory, &path));
            }
            "MAD" | "MYD" | "MAI" | "MYI" => {
                let other = match kind {
                    "MAD" => "MAI",
                    "MAI" => "MAD",
                    "MYD" => "MYI",
                    _ => "MYD",
                };
                if !has(&format!("{table}.{other}")) {
                    facts.halves.push(format!("{name}/{table}.{other}"));
                }
            }
            "frm" if !has(&format!("{table}.ibd")) && is_innodb(directory, &path) => {
                facts.without_file.push(format!("{name}/{table}.ibd"));
            }
            _ => {}
        }
    }
}

/// Whether a description is one of a table of InnoDB that is not cut into partitions.
fn is_innodb(directory: &Directory, path: &str) -> bool {
    const INNODB: u8 = 12;
    let head = directory.read_from(path, 0, 4);
    let head = head.seen().map(Vec::as_slice).unwrap_or_default();
    matches!(head, [0xfe, 0x01, _, INNODB])
}
