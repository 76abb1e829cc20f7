//! A small cluster made of files, damaged in every way: what is read of it, and what it is said to be.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
};

use holdfast_proto::task::DataVerdict::{
    self, DataLost, IndexBroken, NeedsRecovery, Sound, Unknown, WalDamaged,
};

use super::{
    catalog, control,
    facts::{self, Around, FOLDERS, Facts},
    filenode_map, heap,
    judge::judge,
    wal,
};
use crate::triage::{
    directory::{Directory, Ways},
    evidence::Evidence,
    holder::Holder,
    log,
};

const SEGMENT: &str = "000000010000000000000003";
const FROZEN: u16 = 0x0300 | 0x0800;

/// Removed when dropped.
struct Cluster {
    path: PathBuf,
    around: Around,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// PostgreSQL 17, stopped in order: database "shop" with the table "users" and its index.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::create_dir(&path).unwrap();
        let cluster = Self {
            path,
            around: Around::default(),
            _folder: folder,
        };
        for (folder, _) in FOLDERS {
            cluster.folder(folder);
        }
        cluster.folder("base/1");
        cluster.folder("base/16384");
        for file in ["PG_VERSION", "base/1/PG_VERSION", "base/16384/PG_VERSION"] {
            cluster.put(file, b"17\n");
        }
        cluster.put("postgresql.conf", b"# nothing\n");
        cluster.stop(true);
        cluster.put("pg_xact/0000", &[0x55; 8192]);
        let shared = [(1262, 1262), (2671, 2671), (1260, 1260), (3592, 3592)];
        cluster.put(
            "global/pg_filenode.map",
            &filenode_map::tests::file(true, &shared),
        );
        for file in [2671, 1260] {
            cluster.put(&format!("global/{file}"), &[1; 8192]);
        }
        // Empty from the first day on.
        cluster.put("global/3592", &[]);
        let names = [("template1", 1u32), ("shop", 16_384)];
        let rows = names.map(|(name, oid)| (7, 0, FROZEN, database_row(name, oid)));
        cluster.put("global/1262", &heap::tests::page(&rows));
        for database in [1, 16_384] {
            let map = [(1259, 1259), (1249, 1249), (2662, 2662)];
            let path = format!("base/{database}");
            cluster.put(
                &format!("{path}/pg_filenode.map"),
                &filenode_map::tests::file(true, &map),
            );
            for file in [1249, 2662] {
                cluster.put(&format!("{path}/{file}"), &[1; 8192]);
            }
            cluster.put(&format!("{path}/1259"), &heap::tests::page(&[]));
        }
        cluster.relations(&[
            class(2611, "pg_inherits", b'r', 2611),
            class(2680, "pg_inherits_relid_seqno_index", b'i', 2680),
            class(16_385, "users", b'r', 16_390),
            class(16_388, "users_pkey", b'i', 16_388),
            class(16_389, "users_id_seq", b'S', 16_389),
        ]);
        for file in [2611, 2680, 16_390, 16_388, 16_389] {
            cluster.put(&format!("base/16384/{file}"), &[1; 8192]);
        }
        cluster
    }

    fn folder(&self, name: &str) {
        let path = self.path.join(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700)).unwrap();
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.path.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path.join(name)).unwrap();
    }

    /// The control file, and the log that goes with it.
    fn stop(&self, in_order: bool) {
        let bytes = control::tests::file(1700, if in_order { 1 } else { 6 });
        self.put("global/pg_control", &bytes);
        self.segment(3);
    }

    fn segment(&self, number: u64) {
        let known = control::read(&control::tests::file(1700, 6)).unwrap();
        let mut bytes = wal::tests::pages(&known);
        bytes[..2].copy_from_slice(&0xD116u16.to_le_bytes());
        bytes[8..16].copy_from_slice(&(number << 24).to_le_bytes());
        bytes[24..32].copy_from_slice(&known.system_identifier.to_le_bytes());
        let name = format!("pg_wal/{}", wal::name(1, number, 16 << 20));
        self.put(&name, &bytes);
        let file = fs::File::options()
            .write(true)
            .open(self.path.join(&name))
            .unwrap();
        file.set_len(16 << 20).unwrap();
    }

    fn relations(&self, rows: &[(u32, u32, u16, Vec<u8>)]) {
        self.put("base/16384/1259", &heap::tests::page(rows));
    }

    fn facts(&self) -> Facts {
        let directory = Directory::open(&self.path, Ways::default()).unwrap();
        let mut facts = facts::read(&directory, self.around.clone());
        // Tests may run as root.
        facts.owner = 999;
        facts
    }

    fn evidence(&self) -> Vec<Evidence> {
        judge(&self.facts())
    }

    /// The worst of it, and its code.
    #[track_caller]
    fn says(&self, verdict: DataVerdict, code: &str) -> String {
        let evidence = self.evidence();
        let worst = &evidence[0];
        assert_eq!(
            (worst.verdict, worst.code),
            (verdict, code),
            "{evidence:#?}"
        );
        worst.what.clone()
    }
}

fn class(oid: u32, name: &str, kind: u8, file: u32) -> (u32, u32, u16, Vec<u8>) {
    (
        7,
        0,
        FROZEN,
        catalog::tests::class_row(oid, name, kind, file, 17),
    )
}

fn database_row(name: &str, oid: u32) -> Vec<u8> {
    let mut row = vec![0; 120];
    row[..4].copy_from_slice(&oid.to_le_bytes());
    row[4..4 + name.len()].copy_from_slice(name.as_bytes());
    row[92..96].copy_from_slice(&1663u32.to_le_bytes());
    row
}

fn holder(pid: i32, own_pid: i64) -> Holder {
    Holder { pid, own_pid }
}

#[test]
fn a_cluster_that_stopped_in_order_is_sound() {
    let cluster = Cluster::new();
    let evidence = cluster.evidence();
    assert!(
        evidence.iter().all(|one| one.verdict == Sound),
        "{evidence:#?}"
    );
    let relations = evidence.iter().find(|one| one.code == "relations").unwrap();
    assert_eq!(relations.what, "5 relations in 2 databases were looked for");
}

#[test]
fn one_that_did_not_needs_recovery_and_a_lock_that_nobody_holds_is_stale() {
    let cluster = Cluster::new();
    cluster.stop(false);
    cluster.put("postmaster.pid", b"1\n/data\n1\n5432\n\n*\n");
    cluster.says(NeedsRecovery, "not-stopped-in-order");
    assert!(
        cluster
            .evidence()
            .iter()
            .any(|one| one.code == "stale-lock")
    );
}

#[test]
fn one_that_runs_is_sound_and_two_servers_in_it_are_told() {
    let mut cluster = Cluster::new();
    cluster.stop(false);
    cluster.put("postmaster.pid", b"1\n/data\n1\n5432\n\n*\n");
    cluster.around.holders = vec![holder(4711, 1)];
    let evidence = cluster.evidence();
    assert!(
        evidence.iter().all(|one| one.verdict == Sound),
        "{evidence:#?}"
    );
    cluster.around.holders = vec![holder(4711, 7)];
    cluster.says(Unknown, "lock-of-another");
    cluster.around.holders = vec![holder(4711, 1), holder(4712, 1)];
    cluster.says(Unknown, "two-servers");
}

#[test]
fn an_index_of_a_catalog_is_told_from_the_catalog() {
    let cluster = Cluster::new();
    cluster.remove("global/2671");
    let what = cluster.says(IndexBroken, "system-index-missing");
    assert!(what.contains("pg_database_datname_index"), "{what}");
    cluster.remove("global/1262");
    let what = cluster.says(DataLost, "system-table-missing");
    assert!(
        what.contains("pg_database") && what.contains("global/1262"),
        "{what}"
    );
    // The index is evidence still.
    assert!(
        cluster
            .evidence()
            .iter()
            .any(|one| one.code == "system-index-missing")
    );
}

#[test]
fn what_is_not_in_the_map_is_known_by_pg_class() {
    for (file, verdict, code, name) in [
        (
            "2680",
            IndexBroken,
            "system-index-missing",
            "pg_inherits_relid_seqno_index",
        ),
        ("2611", DataLost, "system-table-missing", "pg_inherits"),
        ("16388", IndexBroken, "index-missing", "users_pkey"),
        ("16390", DataLost, "table-missing", "users"),
        ("16389", DataLost, "sequence-missing", "users_id_seq"),
        ("1249", DataLost, "system-table-missing", "pg_attribute"),
        (
            "2662",
            IndexBroken,
            "system-index-missing",
            "pg_class_oid_index",
        ),
    ] {
        let cluster = Cluster::new();
        cluster.remove(&format!("base/16384/{file}"));
        let what = cluster.says(verdict, code);
        assert!(
            what.contains(name) && what.contains("of database shop"),
            "{what}"
        );
    }
}

#[test]
fn a_row_that_may_be_none_is_not_missed() {
    let cluster = Cluster::new();
    let removed = class(16_400, "removed", b'r', 16_400);
    cluster.relations(&[
        (7, 9, 0x0100 | 0x0400, removed.3.clone()),
        (3_000_000, 0, 0x0800, removed.3.clone()),
        class(16_385, "users", b'r', 16_390),
    ]);
    let evidence = cluster.evidence();
    assert!(
        evidence.iter().all(|one| one.verdict == Sound),
        "{evidence:#?}"
    );
    // The log of transactions says of number 100 that it ended well.
    cluster.relations(&[(100, 0, 0x0800, removed.3)]);
    cluster.says(DataLost, "table-missing");
}

#[test]
fn what_was_made_since_the_last_checkpoint_is_left_to_recovery() {
    let cluster = Cluster::new();
    let fresh = catalog::tests::class_row(16_400, "fresh", b'r', 16_400, 17);
    cluster.relations(&[(741, 0, FROZEN, fresh)]);
    cluster.says(DataLost, "table-missing");
    cluster.stop(false);
    cluster.says(NeedsRecovery, "not-stopped-in-order");
}

#[test]
fn an_empty_file_counts_where_pages_must_be() {
    let cluster = Cluster::new();
    cluster.put("base/16384/16388", &[]);
    cluster.says(IndexBroken, "index-empty");
    // While it is not certain that everything is written, only what is never empty counts.
    cluster.stop(false);
    cluster.says(NeedsRecovery, "not-stopped-in-order");
    cluster.put("global/1260", &[]);
    cluster.says(DataLost, "system-table-empty");
}

#[test]
fn a_table_that_lacks_one_of_its_parts_is_lost() {
    let cluster = Cluster::new();
    cluster.put("base/16384/16390.1", &[1; 8192]);
    assert_eq!(cluster.evidence()[0].verdict, Sound);
    cluster.put("base/16384/16390.3", &[1; 8192]);
    let what = cluster.says(DataLost, "table-missing");
    assert!(what.contains("lacks its part .2"), "{what}");
}

#[test]
fn the_control_file_missing_flipped_or_cut_off_is_lost() {
    let cluster = Cluster::new();
    let whole = fs::read(cluster.path.join("global/pg_control")).unwrap();
    for (bytes, words) in [
        (whole[..100].to_vec(), "holds 100 bytes only"),
        ([&whole[..70], &[1], &whole[71..]].concat(), "checksum"),
        ([&whole[..9], &[1], &whole[10..]].concat(), "format"),
    ] {
        cluster.put("global/pg_control", &bytes);
        let what = cluster.says(DataLost, "control-file-damaged");
        assert!(what.contains(words), "{what}");
    }
    cluster.put("global/pg_control", &whole[..4096]);
    cluster.says(Unknown, "control-file-size");
    cluster.remove("global/pg_control");
    cluster.says(DataLost, "control-file-missing");
}

#[test]
fn a_version_that_nobody_knows_is_unknown_and_not_lost() {
    let cluster = Cluster::new();
    let mut bytes = fs::read(cluster.path.join("global/pg_control")).unwrap();
    bytes[8..12].copy_from_slice(&2500u32.to_le_bytes());
    cluster.put("global/pg_control", &bytes);
    for file in ["PG_VERSION", "base/1/PG_VERSION"] {
        cluster.put(file, b"25\n");
    }
    cluster.says(Unknown, "control-file-unknown");
}

#[test]
fn the_log_missing_zeroed_or_of_another_cluster_is_damaged() {
    let segment = format!("pg_wal/{SEGMENT}");
    for in_order in [true, false] {
        let cluster = Cluster::new();
        cluster.stop(in_order);
        let whole = fs::read(cluster.path.join(&segment)).unwrap();
        cluster.put(&segment, &vec![0; 16 << 20]);
        cluster.says(WalDamaged, "wal-segment-damaged");
        let mut other = whole.clone();
        other[24] ^= 1;
        cluster.put(&segment, &other);
        cluster.says(WalDamaged, "wal-segment-damaged");
        cluster.put(&segment, &whole[..1 << 20]);
        cluster.says(WalDamaged, "wal-segment-damaged");
        let mut record = whole;
        record[0x60 + 50] ^= 1;
        cluster.put(&segment, &record);
        cluster.says(WalDamaged, "checkpoint-lost");
        cluster.remove(&segment);
        cluster.says(WalDamaged, "wal-segment-missing");
        // A standby gets it elsewhere, perhaps: then nobody knows.
        cluster.put("standby.signal", b"");
        cluster.says(Unknown, "wal-segment-missing");
    }
}

#[test]
fn a_gap_before_a_written_segment_counts_only_when_it_will_be_read() {
    let cluster = Cluster::new();
    cluster.segment(5);
    assert_eq!(
        cluster.evidence()[0].verdict,
        Sound,
        "stopped in order: nothing is read"
    );
    cluster.stop(false);
    let what = cluster.says(WalDamaged, "wal-segment-missing");
    assert!(what.contains("000000010000000000000004"), "{what}");
    // One that was only made ready says so by its old address.
    let cluster = Cluster::new();
    cluster.stop(false);
    let ready = fs::read(cluster.path.join(format!("pg_wal/{SEGMENT}"))).unwrap();
    cluster.put("pg_wal/000000010000000000000005", &ready);
    cluster.says(NeedsRecovery, "not-stopped-in-order");
}

#[test]
fn the_log_s_folder_elsewhere_is_followed_or_unknown() {
    let mut cluster = Cluster::new();
    let other = cluster.path.with_extension("wal");
    fs::rename(cluster.path.join("pg_wal"), &other).unwrap();
    symlink("/mnt/wal", cluster.path.join("pg_wal")).unwrap();
    cluster.says(Unknown, "unreadable");
    let ways = Ways::new(vec![("/mnt/wal".into(), other)]);
    let directory = Directory::open(&cluster.path, ways).unwrap();
    cluster.around.holders.clear();
    let facts = facts::read(&directory, cluster.around.clone());
    assert_eq!(facts.wal.segments.len(), 1);
    assert_eq!(facts.wal.checkpoint, Some(Ok(true)));
}

#[test]
fn broken_maps_missing_folders_and_missing_transactions_are_lost() {
    let cluster = Cluster::new();
    let map = "base/16384/pg_filenode.map";
    let mut bytes = fs::read(cluster.path.join(map)).unwrap();
    bytes[20] ^= 1;
    cluster.put(map, &bytes);
    cluster.says(DataLost, "filenode-map-damaged");
    cluster.remove(map);
    cluster.says(DataLost, "filenode-map-missing");
    let cluster = Cluster::new();
    cluster.remove("pg_xact/0000");
    cluster.says(DataLost, "transactions-missing");
    let cluster = Cluster::new();
    fs::remove_dir_all(cluster.path.join("base/16384")).unwrap();
    let what = cluster.says(DataLost, "database-missing");
    assert!(what.contains("database shop"), "{what}");
    let cluster = Cluster::new();
    fs::remove_dir(cluster.path.join("pg_notify")).unwrap();
    cluster.says(Unknown, "empty-folder-missing");
    let cluster = Cluster::new();
    fs::remove_dir_all(cluster.path.join("pg_wal")).unwrap();
    cluster.says(WalDamaged, "wal-folder-missing");
}

#[test]
fn the_version_s_file_and_the_settings_are_asked_for() {
    let mut cluster = Cluster::new();
    cluster.remove("postgresql.conf");
    cluster.says(Unknown, "settings-missing");
    cluster.around.config_file = Some("/etc/postgresql.conf".to_owned());
    assert_eq!(cluster.evidence()[0].verdict, Sound);
    cluster.remove("PG_VERSION");
    let what = cluster.says(DataLost, "version-file-missing");
    assert!(what.contains("base/1 says that it is 17"), "{what}");
}

#[test]
fn what_the_server_may_not_read_is_never_sound() {
    let cluster = Cluster::new();
    let mut facts = cluster.facts();
    facts.owner = 0;
    assert_eq!(judge(&facts)[0].code, "wrong-owner");
    let users = cluster.path.join("base/16384/16390");
    fs::set_permissions(&users, fs::Permissions::from_mode(0o000)).unwrap();
    let what = cluster.says(Unknown, "wrong-mode");
    assert!(
        what.contains("base/16384/16390 has the mode 0000"),
        "{what}"
    );
    fs::set_permissions(&cluster.path, fs::Permissions::from_mode(0o755)).unwrap();
    let what = cluster.evidence();
    assert!(
        what.iter()
            .any(|one| one.what.contains("wants 0700 or 0750")),
        "{what:#?}"
    );
}

#[test]
fn a_file_in_the_way_is_unreadable_and_never_sound() {
    let cluster = Cluster::new();
    cluster.remove("global/pg_control");
    symlink("/etc/passwd", cluster.path.join("global/pg_control")).unwrap();
    cluster.says(Unknown, "unreadable");
}

#[test]
fn an_empty_directory_has_lost_everything() {
    let cluster = Cluster::new();
    fs::remove_dir_all(&cluster.path).unwrap();
    fs::create_dir(&cluster.path).unwrap();
    cluster.says(DataLost, "data-directory-empty");
}

#[test]
fn the_log_of_the_server_is_believed_where_the_files_bear_it_out() {
    let mut cluster = Cluster::new();
    let say = |line: &str| log::heard([line], holdfast_proto::fleet::Engine::Postgres);
    cluster.around.heard = say("PANIC:  could not locate a valid checkpoint record");
    cluster.says(WalDamaged, "checkpoint-lost");
    // It is there: what was said is over.
    cluster.around.heard =
        say("FATAL:  could not open file \"global/2671\": No such file or directory");
    assert_eq!(cluster.evidence()[0].verdict, Sound);
    cluster.around.heard = say("ERROR:  invalid page in block 3 of relation base/16384/16388");
    cluster.says(IndexBroken, "page-damaged");
    cluster.around.heard = say("ERROR:  invalid page in block 3 of relation base/16384/16390");
    cluster.says(DataLost, "page-damaged");
    // Of a relation that was removed since.
    cluster.around.heard = say("ERROR:  invalid page in block 3 of relation base/16384/99999");
    assert_eq!(cluster.evidence()[0].verdict, Sound);
}

#[test]
fn damaged_pages_of_pg_class_are_told() {
    let cluster = Cluster::new();
    cluster.put("base/16384/1259", &[9; 8192]);
    cluster.says(DataLost, "page-damaged");
}
