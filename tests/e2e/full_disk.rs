//! The controller's disk is full in the middle of a backup.

use std::{path::Path, process::Command};

use e2e::{
    fleet::{Fleet, Plan},
    host::succeed,
    postgres::{Version, psql, start_postgres},
};

use crate::copy::fill_users;

const SHOP: &str = "web-1/shop-db/shop";

/// A small disk of its own for the repositories; gone with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn of_megabytes(size: u32) -> Self {
        let disk = Self(tempfile::tempdir().expect("a directory"));
        disk.mount(&format!("size={size}m"));
        disk
    }

    fn grow(&self, size: u32) {
        self.mount(&format!("remount,size={size}m"));
    }

    fn mount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]);
        mount.arg(self.path());
        succeed(mount);
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a controller may end a moment later.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_repository_fails_the_backup_aloud_and_harms_none_that_is_there() {
    let disk = SmallDisk::of_megabytes(24);
    let fleet = Fleet::start_with(
        1,
        Plan {
            controller_settings: format!("[repository]\nlocation = {:?}\n", disk.path()),
            ..Plan::default()
        },
    );
    let one = fleet.host("web-1");
    start_postgres(one, "shop-db", Version::V15);
    fleet.wait_instance("web-1/shop-db");
    fill_users(one, 5_000);
    fleet.ctl.ok(&["backup", "create", SHOP]);
    // Some forty megabytes that nobody can compress.
    psql(
        one,
        "shop-db",
        "shop",
        "create extension pgcrypto;
         create table scans as select n as id, gen_random_bytes(1000) as scan from generate_series(1, 40000) n",
    );

    let full = fleet.ctl.run(&["backup", "create", SHOP]);
    assert_ne!(full.code, 0, "{full:#?}");
    let said = format!("{}{}", full.out, full.err);
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.contains("make room"), "what to do: {said}");
    let listed = fleet.ctl.json(&["backup", "list", SHOP]);
    assert_eq!(listed["backups"].as_array().map(Vec::len), Some(1));
    // A restore writes nothing there.
    let latest = format!("{SHOP}@latest");
    let saved = ["restore", &latest, "--to", "web-1/shop-db/saved"];
    assert_eq!(fleet.ctl.json(&saved)["green"], true);

    disk.grow(300);
    fleet.ctl.ok(&["backup", "create", SHOP]);
    let check = ["repository", "check", "web-1", "--read-data", "100%"];
    assert_eq!(fleet.ctl.json(&check)["sound"], true);
    let again = ["restore", &latest, "--to", "web-1/shop-db/whole"];
    let again = fleet.ctl.json(&again);
    assert_eq!(
        (&again["green"], &again["rows"]),
        (&true.into(), &45_000.into())
    );
}
