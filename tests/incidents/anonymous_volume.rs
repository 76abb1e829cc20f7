//! Incident 5: a database on an anonymous volume, and what took it.

use e2e::{
    fleet::Fleet,
    postgres::{Version, run_postgres, start_postgres, wait_for_postgres},
};

use super::{findings, found, over};

#[test]
fn a_database_without_a_name_for_its_volume_is_told_of_and_so_is_a_volume_that_was_removed() {
    let fleet = Fleet::start(1);
    let host = fleet.host("web-1");
    let mut run = vec!["run", "-d", "--name", "timescale"];
    run.extend(["-e", "POSTGRES_PASSWORD=secret", Version::V15.image()]);
    host.docker(&run);
    wait_for_postgres(host, "timescale");
    let finding = found(&fleet, "anonymous-volume", "web-1/timescale");
    assert_eq!(finding["severity"], "critical");
    let advice = finding["advice"].as_str().expect("advice");
    assert!(
        advice.contains("timescale_data:/var/lib/postgresql/data"),
        "{advice}"
    );
    host.docker(&["rm", "-f", "-v", "timescale"]);
    over(&fleet, "anonymous-volume");
    found(
        &fleet,
        "volume-gone",
        "with the data of web-1/timescale is gone",
    );
    let accept = [
        "instance",
        "accept",
        "web-1/timescale",
        "--reason",
        "it was a try",
    ];
    let said = fleet.ctl.ok(&accept);
    assert!(said.contains("nothing is expected"), "{said}");
    over(&fleet, "volume-gone");
    let again = fleet.ctl.run(&accept);
    assert_eq!(again.code, 3, "{}", again.err);

    start_postgres(host, "shop-db", Version::V15);
    fleet.wait_instance("web-1/shop-db");
    // `down` alone takes nothing, and is nothing to be told of at once.
    host.docker(&["rm", "-f", "shop-db"]);
    fleet.wait_container("shop-db", false);
    assert!(findings(&fleet, "volume-gone").is_empty());
    // What `down -v` does after that.
    host.docker(&["volume", "rm", "shop-db-data"]);
    let finding = found(&fleet, "volume-gone", "shop-db-data");
    assert_eq!(finding["severity"], "critical");
    // A new one under its name is not the old one.
    run_postgres(host, "shop-db", Version::V15, &[], &[]);
    over(&fleet, "volume-gone");
    let swapped = found(&fleet, "identity-swapped", "web-1/shop-db");
    let evidence = format!("{} {}", swapped["message"], swapped["evidence"]);
    assert!(evidence.contains("creation"), "{evidence}");
}
