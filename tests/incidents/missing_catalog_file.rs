//! Incident 2: files of the catalog are gone after an unclean stop. Each is told from the files alone, and what is only
//! an index comes back without any restore.

use e2e::{
    ctl::Said,
    fleet::Fleet,
    host::{Host, succeed},
    postgres::{Version, psql, start_postgres, try_psql, wait_for_postgres},
};
use serde_json::Value;

use super::{found, over};

const INSTANCE: &str = "web-1/shop-db";

/// A shop with as many users as theirs, killed.
fn killed_shop() -> Fleet {
    let fleet = Fleet::start(1);
    let host = fleet.host("web-1");
    start_postgres(host, "shop-db", Version::V15);
    let sql = "create table users as select generate_series(1, 5012) as id; checkpoint";
    psql(host, "shop-db", "postgres", sql);
    fleet.wait_instance(INSTANCE);
    host.docker(&["kill", "shop-db"]);
    fleet
}

/// The path on the host of a file in its data directory.
fn path(host: &Host, name: &str) -> String {
    let format = ["volume", "inspect", "-f", "{{.Mountpoint}}", "shop-db-data"];
    format!("{}/{name}", host.docker(&format).trim())
}

fn rename(host: &Host, from: &str, to: &str) {
    let mut command = host.command("mv");
    command.args([path(host, from), path(host, to)]);
    succeed(command);
}

/// The verdict, a code of what it is told from, and the runbook.
#[track_caller]
fn triage(fleet: &Fleet, code: i32, expected: [&str; 3]) -> Said {
    let said = fleet
        .ctl
        .run(&["-o", "json", "instance", "triage", INSTANCE]);
    assert_eq!(said.code, code, "{}\n{}", said.out, said.err);
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    let directory = &report["directories"][0];
    let [verdict, evidence, runbook] = expected;
    let told = [&report["verdict"], &directory["runbook"]];
    assert_eq!(told, [verdict, runbook], "{report:#}");
    let mut all = directory["evidence"].as_array().into_iter().flatten();
    assert!(all.any(|one| one["code"] == evidence), "{report:#}");
    fleet.ctl.run(&["instance", "triage", INSTANCE])
}

/// As `docs/triage.md` has it.
fn reindex(host: &Host) {
    let image = Version::V15.image();
    let mut command = host.command("sh");
    command.arg("-c").arg(format!(
        "echo 'REINDEX SYSTEM \"postgres\";' | docker run --rm -i --volumes-from shop-db --user postgres \
         --entrypoint postgres {image} --single -P postgres 2>&1"
    ));
    let said = succeed(command);
    assert!(!said.contains("ERROR") && !said.contains("FATAL"), "{said}");
}

#[test]
fn an_index_of_the_catalog_is_built_anew_and_nothing_is_restored() {
    let fleet = killed_shop();
    let host = fleet.host("web-1");
    let mut remove = host.command("rm");
    remove.arg(path(host, "global/2671"));
    succeed(remove);

    // It starts, and takes nobody in.
    host.docker(&["start", "shop-db"]);
    let refused = e2e::eventually::eventually(
        std::time::Duration::from_secs(60),
        "the words of the incident",
        || match try_psql(host, "shop-db", "postgres", "select 1") {
            Err(error) if error.contains("global/2671") => Ok(error),
            other => Err(other),
        },
    );
    assert!(refused.contains("No such file or directory"), "{refused}");
    let damaged = found(&fleet, "data-damaged", "nothing is lost: global/2671");
    assert_eq!(damaged["severity"], "critical");
    assert_eq!(damaged["code"], "HF0110");
    let advice = damaged["advice"].as_str().expect("advice");
    assert!(
        advice.contains("ctl backup create --volume web-1/shop-db-data"),
        "{advice}"
    );
    let index = ["index-broken", "system-index-missing", "catalog-damage"];
    let told = triage(&fleet, 8, index).out;
    for part in ["global/2671 is missing", "pg_database_datname_index"] {
        assert!(told.contains(part), "{part}\n{told}");
    }

    host.docker(&["stop", "shop-db"]);
    triage(&fleet, 8, index);
    reindex(host);
    host.docker(&["start", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    over(&fleet, "data-damaged");
    let counted = psql(host, "shop-db", "postgres", "select count(*) from users");
    assert_eq!(counted, "5012");
    host.docker(&["stop", "shop-db"]);
    let said = fleet.ctl.run(&["instance", "triage", INSTANCE]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
}

#[test]
fn a_table_of_the_catalog_and_the_control_file_are_no_index() {
    let fleet = killed_shop();
    let host = fleet.host("web-1");
    let said = fleet.ctl.run(&["instance", "triage", INSTANCE]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(said.out.contains("needs crash recovery"), "{}", said.out);
    for (file, code, runbook) in [
        ("global/1262", "system-table-missing", "catalog-damage"),
        (
            "global/pg_control",
            "control-file-missing",
            "wal-corruption",
        ),
    ] {
        rename(host, file, "aside");
        let told = triage(&fleet, 8, ["data-lost", code, runbook]);
        assert!(
            told.out.contains(file) && told.out.contains("next: ctl backup create"),
            "{}",
            told.out
        );
        rename(host, "aside", file);
    }
    host.docker(&["start", "shop-db"]);
    wait_for_postgres(host, "shop-db");
    let counted = psql(host, "shop-db", "postgres", "select count(*) from users");
    assert_eq!(counted, "5012");
}
