//! A small data directory made of files, damaged in every way.

use std::{fs, path::PathBuf};

use holdfast_proto::task::DataVerdict::{
    self, DataLost, NeedsRecovery, Sound, Unknown, WalDamaged,
};

use super::{facts, judge::judge, tablespace};
use crate::triage::{
    bytes::crc32c,
    directory::{Directory, Ways},
    evidence::Evidence,
};

/// Removed when dropped.
struct Data {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Data {
    /// MariaDB with one table of InnoDB and one of Aria.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = Self {
            path: folder.path().to_owned(),
            _folder: folder,
        };
        for folder in ["mysql", "shop"] {
            fs::create_dir(data.path.join(folder)).unwrap();
        }
        data.put("ibdata1", &long(0, 4));
        let mut header = vec![7; 508];
        header.extend(crc32c(&[&header]).to_be_bytes());
        data.put("ib_logfile0", &header);
        let mut control = vec![0xfe, 0xfe, 0x0c, 1];
        control.resize(52, 9);
        data.put("aria_log_control", &control);
        data.put("mysql/global_priv.MAD", b"x");
        data.put("mysql/global_priv.MAI", b"x");
        data.put("shop/users.frm", &[0xfe, 1, 10, 12]);
        data.put("shop/users.ibd", &long(5, 4));
        data
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path.join(name), bytes).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path.join(name)).unwrap();
    }

    fn evidence(&self) -> Vec<Evidence> {
        let directory = Directory::open(&self.path, Ways::default()).unwrap();
        judge(&facts::read(&directory, Vec::new(), Vec::new()))
    }

    #[track_caller]
    fn says(&self, verdict: DataVerdict, code: &str) {
        let evidence = self.evidence();
        let worst = (evidence[0].verdict, evidence[0].code);
        assert_eq!(worst, (verdict, code), "{evidence:#?}");
    }
}

/// A file of that many pages.
fn long(space: u32, pages: u32) -> Vec<u8> {
    let mut bytes = tablespace::tests::page(space, pages, true);
    bytes.resize(pages as usize * 16384, 0);
    bytes
}

#[test]
fn a_server_that_stopped_in_order_is_sound_and_one_that_did_not_recovers() {
    let data = Data::new();
    let evidence = data.evidence();
    assert!(
        evidence.iter().all(|one| one.verdict == Sound),
        "{evidence:#?}"
    );
    data.put("ibtmp1", b"");
    data.says(NeedsRecovery, "not-stopped-in-order");
}

#[test]
fn each_file_that_is_missing_is_told_for_what_it_is() {
    for (file, verdict, code) in [
        ("ibdata1", DataLost, "system-tablespace-missing"),
        ("ib_logfile0", WalDamaged, "redo-log-missing"),
        ("aria_log_control", WalDamaged, "aria-control-missing"),
        ("mysql/global_priv.MAD", DataLost, "table-missing"),
        ("shop/users.ibd", Unknown, "tablespace-missing"),
    ] {
        let data = Data::new();
        data.remove(file);
        data.says(verdict, code);
    }
}

#[test]
fn what_is_cut_off_or_flipped_is_damaged() {
    let data = Data::new();
    for bytes in [&long(5, 4)[..32768], &long(5, 4)[..100], &[0; 65536]] {
        data.put("shop/users.ibd", bytes);
        data.says(DataLost, "tablespace-damaged");
    }
    let mut flipped = long(5, 4);
    flipped[9000] ^= 1;
    data.put("shop/users.ibd", &flipped);
    data.says(DataLost, "tablespace-damaged");
    let data = Data::new();
    data.put("ib_logfile0", &[7; 512]);
    data.says(WalDamaged, "redo-log-damaged");
    data.put("ibdata1", &flipped);
    data.says(DataLost, "system-tablespace-damaged");
}

#[test]
fn a_table_that_a_killed_server_has_not_written_yet_is_recovered() {
    let data = Data::new();
    data.put("shop/users.ibd", &[0; 65536]);
    data.put("ibtmp1", b"");
    let evidence = data.evidence();
    let unwritten = evidence.iter().find(|one| one.code == "not-yet-written");
    assert_eq!(unwritten.unwrap().verdict, NeedsRecovery, "{evidence:#?}");
    assert_eq!(evidence[0].verdict, NeedsRecovery);
    // A file is never shorter than what was written of it says.
    data.put("shop/users.ibd", &long(5, 4)[..32768]);
    data.says(DataLost, "tablespace-damaged");
    data.put("shop/users.ibd", &long(5, 4));
    data.put("ibdata1", &[0; 65536]);
    data.says(DataLost, "system-tablespace-damaged");
}

#[test]
fn a_mysql_keeps_its_dictionary_in_a_file_of_its_own_and_has_no_aria() {
    let data = Data::new();
    data.remove("aria_log_control");
    data.remove("ib_logfile0");
    fs::create_dir(data.path.join("#innodb_redo")).unwrap();
    let mut header = vec![7; 508];
    header.extend(crc32c(&[&header]).to_be_bytes());
    data.put("#innodb_redo/#ib_redo9", &header);
    data.put("#innodb_redo/#ib_redo10_tmp", b"");
    data.put("mysql.ibd", &long(3, 4));
    let evidence = data.evidence();
    assert!(
        evidence.iter().all(|one| one.verdict == Sound),
        "{evidence:#?}"
    );
    data.remove("mysql.ibd");
    data.says(DataLost, "system-tablespace-missing");
}
