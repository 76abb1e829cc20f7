//! The last words of a server, read for those that are known.
//!
//! Only what it said since it last took connections counts: before that it was up all the same, whatever it had said.

use holdfast_proto::{fleet::Engine, task::DataVerdict};

/// How much of a line is shown.
const SHOWN: usize = 240;

/// A known word in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub code: &'static str,
    /// What it means when nothing in the files says otherwise.
    pub verdict: DataVerdict,
    pub line: String,
    /// "base/5/16384", when the line names one.
    pub file: Option<String>,
}

/// What a word means.
struct Word {
    text: &'static str,
    code: &'static str,
    verdict: DataVerdict,
    /// Said in passing at the end of every recovery: it counts in a cry only.
    only_aloud: bool,
}

const fn word(text: &'static str, code: &'static str, verdict: DataVerdict) -> Word {
    Word {
        text,
        code,
        verdict,
        only_aloud: false,
    }
}

const fn aloud(text: &'static str, code: &'static str, verdict: DataVerdict) -> Word {
    Word {
        only_aloud: true,
        ..word(text, code, verdict)
    }
}

use DataVerdict::{DataLost, IndexBroken, Sound, Unknown, WalDamaged};

/// The first that a line holds counts.
const POSTGRES: [Word; 22] = [
    word("No space left on device", "disk-full", Sound),
    word(
        "database files are incompatible",
        "incompatible-version",
        Unknown,
    ),
    word("has invalid permissions", "wrong-mode", Unknown),
    word("has wrong ownership", "wrong-owner", Unknown),
    word(
        "lock file \"postmaster.pid\" already exists",
        "lock-refused",
        Unknown,
    ),
    word(
        "could not locate a valid checkpoint record",
        "checkpoint-lost",
        WalDamaged,
    ),
    word(
        "could not locate required checkpoint record",
        "checkpoint-lost",
        WalDamaged,
    ),
    word(
        "could not find redo location",
        "checkpoint-lost",
        WalDamaged,
    ),
    aloud(
        "invalid primary checkpoint record",
        "checkpoint-lost",
        WalDamaged,
    ),
    aloud("invalid checkpoint record", "checkpoint-lost", WalDamaged),
    aloud("invalid resource manager ID", "wal-unreadable", WalDamaged),
    aloud(
        "incorrect resource manager data checksum",
        "wal-unreadable",
        WalDamaged,
    ),
    aloud("WAL ends before", "wal-unreadable", WalDamaged),
    aloud(
        "could not open file \"pg_wal/",
        "wal-unreadable",
        WalDamaged,
    ),
    aloud(
        "could not open file \"pg_xact/",
        "transactions-missing",
        DataLost,
    ),
    aloud(
        "could not access status of transaction",
        "transactions-missing",
        DataLost,
    ),
    aloud("could not open file \"", "file-missing", DataLost),
    word("invalid page in block", "page-damaged", DataLost),
    aloud("could not read block", "page-damaged", DataLost),
    aloud("missing chunk number", "page-damaged", DataLost),
    aloud(
        "contains unexpected zero page",
        "index-damaged",
        IndexBroken,
    ),
    word("PANIC:", "panic", Unknown),
];

const MARIADB: [Word; 14] = [
    word("No space left on device", "disk-full", Sound),
    word("Disk is full", "disk-full", Sound),
    word("Unable to lock ./ibdata1", "lock-refused", Unknown),
    word(
        "The innodb_system data file 'ibdata1' must be writable",
        "wrong-owner",
        Unknown,
    ),
    word("Permission denied", "wrong-owner", Unknown),
    word(
        "Upgrade after a crash is not supported",
        "incompatible-version",
        Unknown,
    ),
    word(
        "Unsupported redo log format",
        "incompatible-version",
        Unknown,
    ),
    word("Missing MLOG_CHECKPOINT", "checkpoint-lost", WalDamaged),
    word("log sequence number", "wal-behind", WalDamaged),
    word("The log was created before", "wal-behind", WalDamaged),
    word("Database page corruption on disk", "page-damaged", DataLost),
    word("Cannot open tablespace", "tablespace-missing", DataLost),
    word(
        "Tablespace is missing for table",
        "tablespace-missing",
        DataLost,
    ),
    word("aria_log_control", "aria-damaged", DataLost),
];

/// What is said when connections are taken.
const POSTGRES_UP: [&str; 2] = [
    "database system is ready to accept connections",
    "database system is ready to accept read-only connections",
];
const MARIADB_UP: [&str; 1] = ["ready for connections"];

/// Each kind of word once, in its newest line; the oldest first.
#[must_use]
pub fn heard<'a>(lines: impl IntoIterator<Item = &'a str>, engine: Engine) -> Vec<Heard> {
    let (words, up): (&[Word], &[&str]) = match engine {
        Engine::Postgres => (&POSTGRES, &POSTGRES_UP),
        Engine::Mariadb | Engine::Mysql => (&MARIADB, &MARIADB_UP),
    };
    let mut found: Vec<Heard> = Vec::new();
    for line in lines {
        if up.iter().any(|word| line.contains(word)) {
            found.clear();
            continue;
        }
        let cry = is_cry(line, engine);
        let known = words
            .iter()
            .find(|word| line.contains(word.text) && (cry || !word.only_aloud));
        let Some(word) = known.filter(|_| cry || engine == Engine::Postgres) else {
            continue;
        };
        let file = file(line);
        found.retain(|other| (other.code, &other.file) != (word.code, &file));
        found.push(Heard {
            code: word.code,
            verdict: word.verdict,
            line: line.trim().chars().take(SHOWN).collect(),
            file,
        });
    }
    found
}

fn is_cry(line: &str, engine: Engine) -> bool {
    let cries: &[&str] = match engine {
        Engine::Postgres => &["ERROR:", "FATAL:", "PANIC:"],
        Engine::Mariadb | Engine::Mysql => &["[ERROR]", "[FATAL]"],
    };
    cries.iter().any(|cry| line.contains(cry))
}

/// A file of a relation that the line names.
fn file(line: &str) -> Option<String> {
    let found = line
        .split(|c: char| !(c.is_ascii_alphanumeric() || "/_.".contains(c)))
        .find(|part| part.starts_with("base/") || part.starts_with("global/"))?;
    // "16384.1", "16384_fsm": of 16384.
    let (folder, name) = found.rsplit_once('/')?;
    let number: String = name.chars().take_while(char::is_ascii_digit).collect();
    (!number.is_empty()).then(|| format!("{folder}/{number}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codes(lines: &[&str]) -> Vec<&'static str> {
        let heard = heard(lines.iter().copied(), Engine::Postgres);
        heard.into_iter().map(|heard| heard.code).collect()
    }

    #[test]
    fn each_known_word_says_what_it_means() {
        for (line, code, verdict) in [
            (
                "FATAL:  could not open file \"global/2671\": No such file or directory",
                "file-missing",
                DataLost,
            ),
            (
                "PANIC:  could not locate a valid checkpoint record",
                "checkpoint-lost",
                WalDamaged,
            ),
            (
                "PANIC:  could not open file \"pg_wal/000000010000000000000003\": Permission denied",
                "wal-unreadable",
                WalDamaged,
            ),
            (
                "ERROR:  invalid page in block 0 of relation base/5/1259",
                "page-damaged",
                DataLost,
            ),
            (
                "FATAL:  database files are incompatible with server",
                "incompatible-version",
                Unknown,
            ),
            (
                "PANIC:  could not write to file \"pg_wal/xlogtemp.30\": No space left on device",
                "disk-full",
                Sound,
            ),
            ("PANIC:  stuck spinlock detected", "panic", Unknown),
        ] {
            let heard = heard([line], Engine::Postgres);
            assert_eq!(heard.len(), 1, "{line}");
            assert_eq!((heard[0].code, heard[0].verdict), (code, verdict), "{line}");
        }
    }

    #[test]
    fn the_end_of_every_recovery_is_no_damage() {
        let recovered = [
            "LOG:  redo starts at 0/3000028",
            "LOG:  invalid resource manager ID 110 at 0/3000148",
            "LOG:  could not open file \"pg_wal/000000010000000000000004\": No such file or directory",
            "LOG:  redo done at 0/3000110",
        ];
        assert_eq!(codes(&recovered), [""; 0]);
    }

    #[test]
    fn what_was_said_before_it_took_connections_is_over() {
        let panic = "PANIC:  could not locate a valid checkpoint record";
        let up = "LOG:  database system is ready to accept connections";
        assert_eq!(codes(&[panic, up]), [""; 0]);
        assert_eq!(codes(&[up, panic, panic]), ["checkpoint-lost"]);
    }

    #[test]
    fn the_file_is_the_relation_s_first_one() {
        for (line, named) in [
            (
                "could not open file \"global/2671\": No",
                Some("global/2671"),
            ),
            ("block 3 of relation base/5/16384_fsm", Some("base/5/16384")),
            (
                "could not read block 9 in file \"base/5/16384.1\": x",
                Some("base/5/16384"),
            ),
            ("could not open file \"pg_wal/000\"", None),
        ] {
            assert_eq!(file(line).as_deref(), named, "{line}");
        }
    }

    #[test]
    fn mariadb_is_heard_when_it_cries() {
        let lines = [
            "2026-11-22  8:00:00 0 [Note] InnoDB: log sequence number 45452",
            "2026-11-22  8:00:00 0 [ERROR] mariadbd: Aria engine: aria_log_control file not found",
        ];
        let heard = heard(lines, Engine::Mariadb);
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].code, "aria-damaged");
    }

    proptest! {
        #[test]
        fn no_line_breaks_it(lines in proptest::collection::vec(".{0,80}", 0..20)) {
            for engine in [Engine::Postgres, Engine::Mariadb] {
                let _ = heard(lines.iter().map(String::as_str), engine);
            }
        }
    }
}
