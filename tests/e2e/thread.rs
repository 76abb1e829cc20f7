//! The thin thread through everything: enrol → report → copy → proof → `ctl` shows it.

use e2e::{
    fleet::Fleet,
    postgres::{Version, psql, start_postgres},
};

#[test]
fn a_live_database_is_copied_from_one_host_to_the_other_and_proven() {
    let fleet = Fleet::start(2);
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    start_postgres(one, "shop-db", Version::V15);
    start_postgres(two, "shop-db", Version::V15);
    psql(
        one,
        "shop-db",
        "postgres",
        "create database shop;
         \\c shop
         create table users (id int primary key, email text not null, created_at timestamptz not null);
         insert into users select i, 'u' || i || '@example.org', now() from generate_series(1, 5000) i;",
    );
    fleet.wait_instance("web-1/shop-db");
    fleet.wait_instance("web-2/shop-db");

    fleet.ctl.ok(&[
        "check",
        "set",
        "web-1/shop-db/shop",
        "users",
        "--count",
        "select count(*) from users",
        "--newest",
        "select max(created_at) from users",
        "--min",
        "10",
        "--every",
        "1m",
    ]);
    let copy = fleet.ctl.json(&[
        "copy",
        "database",
        "web-1/shop-db/shop",
        "web-2/shop-db/shop_test",
    ]);

    assert_eq!(copy["green"], true, "{copy}");
    assert_eq!(copy["rows"], 5000, "{copy}");
    assert_eq!(
        psql(
            two,
            "shop-db",
            "shop_test",
            "select count(*), sum(id) from users"
        ),
        "5000|12502500"
    );
    let status = fleet.ctl.json(&["status"]);
    assert_eq!(
        status["hosts"].as_array().map(Vec::len),
        Some(2),
        "{status}"
    );
}
