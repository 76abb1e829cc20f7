//! MariaDB and MySQL from host to host, into a repository and back.

use e2e::{
    fleet::Fleet,
    host::Host,
    mariadb::{Version, sql, start_mariadb},
};

const SHOP: &str = "web-1/wiki-db/wiki";

/// Numbers from 0 to 9999, of either engine.
const NUMBERS: &str = "with recursive d (n) as (select 0 union all select n + 1 from d where n < 99), \
                       seq (n) as (select a.n * 100 + b.n from d a, d b)";

fn fill(host: &Host) {
    sql(
        host,
        "wiki-db",
        "mysql",
        &format!("create database wiki;
         create table wiki.users (id int auto_increment primary key, name varchar(80) not null, key (name));
         insert into wiki.users (id, name) {NUMBERS} select n + 1, concat('user ', n) from seq where n < 5000;
         create table wiki.pages (id int primary key, author int not null, body longtext,
             foreign key (author) references wiki.users (id));
         insert into wiki.pages {NUMBERS} select n + 1, 1 + n, repeat(sha2(n, 256), 20) from seq where n < 3000;
         create view wiki.busy as select author, count(*) as pages from wiki.pages group by author;
         create user app@'%' identified by 'as before'; grant select on wiki.* to app@'%'"),
    );
}

/// Sums over every row.
fn content(host: &Host, database: &str) -> String {
    let both = format!(
        "select count(*), sum(crc32(concat(id, name))) from `{database}`.users;
         select count(*), sum(crc32(concat(id, author, body))) from `{database}`.pages;
         select count(*), sum(pages) from `{database}`.busy"
    );
    sql(host, "wiki-db", "mysql", &both)
}

#[test]
fn a_mariadb_database_is_copied_backed_up_and_restored_on_a_newer_server() {
    goes_round(Version::V10, Version::V11, "mariadb", |_| {});
}

#[test]
fn a_mysql_database_is_copied_backed_up_and_restored() {
    goes_round(Version::Mysql9, Version::Mysql9, "mysql", |fleet| {
        // As it is set up it takes no rows over a connection, and the preflight says what to do.
        let to = ["copy", "database", SHOP, "web-2/wiki-db/wiki_test"];
        let refused = fleet.ctl.run(&to);
        assert_eq!(refused.code, 6, "{refused:?}");
        let told = refused.out + &refused.err;
        assert!(told.contains("set local_infile = ON"), "{told}");
        for name in ["web-1", "web-2"] {
            sql(
                fleet.host(name),
                "wiki-db",
                "mysql",
                "set global local_infile = on",
            );
        }
    });
}

/// Copied to another server, backed up, lost, restored, drilled, and restored where the server is gone.
fn goes_round(from: Version, to: Version, engine: &str, prepare: fn(&Fleet)) {
    let fleet = Fleet::start(2);
    let (one, two) = (fleet.host("web-1"), fleet.host("web-2"));
    start_mariadb(one, "wiki-db", from);
    start_mariadb(two, "wiki-db", to);
    fleet.wait_instance("web-1/wiki-db");
    fleet.wait_instance("web-2/wiki-db");
    fill(one);
    prepare(&fleet);
    let users = "select count(*) from users";
    fleet.ctl.ok(&[
        "check", "set", SHOP, "users", "--count", users, "--min", "100",
    ]);
    let before = content(one, "wiki");

    let to = ["copy", "database", SHOP, "web-2/wiki-db/wiki_test"];
    let copied = fleet.ctl.json(&to);
    assert_eq!(copied["green"], true, "{copied:#}");
    assert_eq!(content(two, "wiki_test"), before);

    fleet.ctl.ok(&["backup", "create", SHOP]);
    let shown = fleet
        .ctl
        .json(&["backup", "show", "web-1/wiki-db/wiki@latest"]);
    assert_eq!(shown["backup"]["engine"], engine, "{shown:#}");

    // Somebody deletes too much: what was there comes back, and goes again by one command.
    sql(one, "wiki-db", "wiki", "delete from pages where id > 10");
    let after = content(one, "wiki");
    let latest = "web-1/wiki-db/wiki@latest";
    let restored = fleet.ctl.json(&["restore", latest, "--replace", "--yes"]);
    assert_eq!(restored["green"], true, "{restored:#}");
    let held = &restored["proof"]["checks"][0];
    assert_eq!(held["outcome"]["count"], 5_000, "{restored:#}");
    assert_eq!(content(one, "wiki"), before);
    let id = restored["job"]["id"].to_string();
    fleet.ctl.ok(&["job", "undo", &id]);
    assert_eq!(content(one, "wiki"), after);

    // The backup is proven in a throwaway server of the same image, which is gone then.
    let drilled = fleet.ctl.json(&["drill", "run", SHOP]);
    assert_eq!(drilled["report"]["verdict"], "proven", "{drilled:#}");
    let all = "name=holdfast-sandbox";
    assert_eq!(one.docker(&["ps", "-aq", "--filter", all]), "");
    let shown = fleet
        .ctl
        .json(&["backup", "show", "web-1/wiki-db/wiki@latest-proven"]);
    assert_eq!(shown["backup"]["state"], "proven", "{shown:#}");

    // The server is gone: another host takes it, of a newer version.
    one.docker(&["rm", "-f", "wiki-db"]);
    let there = ["restore", latest, "--to", "web-2/wiki-db/wiki"];
    let there = fleet.ctl.json(&there);
    assert_eq!(there["green"], true, "{there:#}");
    assert_eq!(content(two, "wiki"), before);
}
