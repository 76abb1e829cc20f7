//! The database of the benches: pgbench beside a shop, 2.4 GB, the same on every run.

use std::fs;

use e2e::{
    host::{Host, repository, succeed},
    postgres::{Version, psql, run_postgres},
};

/// Of the server and of the database that holds the dataset.
pub const SERVER: &str = "shop-db";
pub const DATABASE: &str = "bench";

const SETTINGS: [&str; 5] = [
    "shared_buffers=1GB",
    "max_wal_size=16GB",
    "checkpoint_timeout=30min",
    "wal_level=replica",
    "autovacuum=off",
];

pub fn start_server(host: &Host) {
    let docker = ["--shm-size", "2g", "-p", "5432:5432"];
    run_postgres(host, SERVER, Version::V15, &docker, &SETTINGS);
}

pub fn fill(host: &Host) {
    psql(
        host,
        SERVER,
        "postgres",
        &format!("create database {DATABASE}"),
    );
    let mut pgbench = host.command("docker");
    pgbench.args([
        "exec", SERVER, "pgbench", "-U", "postgres", "-i", "-q", "-s", "100", DATABASE,
    ]);
    succeed(pgbench);
    let dataset =
        fs::read_to_string(repository().join("tests/bench/dataset.sql")).expect("dataset.sql");
    psql(host, SERVER, DATABASE, &dataset);
    psql(host, SERVER, DATABASE, "vacuum (freeze, analyze)");
}

/// A copy of the dataset has every row, index and foreign key.
pub fn judge(target: &Host, database: &str) {
    let counts = psql(
        target,
        SERVER,
        database,
        "select (select count(*) from shop.orders), (select count(*) from pgbench_accounts),
            (select count(*) from pg_constraint where contype = 'f' and convalidated),
            (select count(*) from pg_index where indisvalid and indrelid >= 16384)",
    );
    assert!(counts.starts_with("1000000|10000000|4|"), "{counts}");
}

pub fn round(ratio: f64) -> f64 {
    (ratio * 100.0).round() / 100.0
}
