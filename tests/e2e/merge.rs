//! Incident 4 in small: restored from the morning's backup, and the user who registered since is kept.

use e2e::{
    fleet::Fleet,
    host::Host,
    mariadb::{self, sql, start_mariadb},
    postgres::{Version, psql, start_postgres},
};
use serde_json::Value;

/// What a test does to a server, whichever it is.
struct Shop<'a> {
    fleet: &'a Fleet,
    database: &'static str,
    ask: fn(&Host, &str) -> String,
}

impl Shop<'_> {
    fn ask(&self, statements: &str) -> String {
        (self.ask)(self.fleet.host("web-1"), statements)
    }

    fn users(&self) -> String {
        self.ask("select count(*) from users")
    }

    fn merge(&self, more: &[&str], code: i32) -> Value {
        let line = ["-o", "json", "restore", "merge", self.database];
        let said = self.fleet.ctl.run(&[&line[..], more].concat());
        assert_eq!(said.code, code, "{said:#?}");
        serde_json::from_str(&said.out).expect("a result")
    }

    /// 14 users, a backup, one more and a changed one, a restore; and the merge, and its undo.
    fn keeps_the_new_user(&self) {
        let fleet = self.fleet;
        let none = fleet.ctl.run(&["restore", "merge", self.database]);
        assert_eq!(none.code, 3, "nothing was replaced yet: {none:#?}");
        fleet.ctl.ok(&["backup", "create", self.database]);
        self.ask("insert into users (id, email) values (15, 'new@example.org')");
        self.ask("insert into orders (id, buyer) values (15, 15)");
        self.ask("update users set email = 'moved@example.org' where id = 5");
        let latest = format!("{}@latest", self.database);
        let restored = fleet.ctl.json(&["restore", &latest, "--replace", "--yes"]);
        let restore = restored["job"]["id"].to_string();
        assert_eq!(self.users(), "14");

        let dry = self.merge(&["--dry-run"], 12);
        assert_eq!(self.users(), "14", "a dry run changes nothing");
        assert_eq!(dry["replaced_by"].to_string(), restore, "{dry:#}");
        let merged = self.merge(&[], 12);
        assert_eq!(
            merged["merged"], dry["merged"],
            "a dry run says what would come"
        );
        let tables = merged["merged"]["tables"].as_array().expect("tables");
        let users = tables
            .iter()
            .find(|table| table["name"] == "users")
            .expect("users");
        assert_eq!(
            (&users["merged"], &users["conflicts"], &users["equal"]),
            (&1.into(), &1.into(), &13.into()),
            "{users:#}"
        );
        assert_eq!(users["rows"][0]["key"], "id=5", "{users:#}");
        assert_eq!(users["rows"][0]["columns"][0], "email", "{users:#}");
        assert_eq!(
            self.ask("select email from users where id = 15"),
            "new@example.org"
        );
        assert_eq!(
            self.ask("select count(*) from orders where buyer = 15"),
            "1"
        );
        assert_eq!(
            self.ask("select email from users where id = 5"),
            "u5@example.org"
        );
        let job = merged["job"]["id"].to_string();
        let shown = fleet.ctl.ok(&["job", "show", &job]);
        for part in [
            "merge-rows",
            "MERGED",
            "id=5: differs in email",
            "takes 2 merged rows out",
        ] {
            assert!(shown.contains(part), "{part:?} is not in {shown}");
        }

        // Somebody works on with it: it stays, until that is taken back.
        self.ask("update users set email = 'mine@example.org' where id = 15");
        let refused = fleet.ctl.run(&["job", "undo", &job]);
        assert_eq!(refused.code, 9, "{refused:#?}");
        assert!(refused.out.contains("id=15"), "{refused:#?}");
        self.ask("update users set email = 'new@example.org' where id = 15");
        fleet.ctl.ok(&["job", "undo", &job]);
        assert_eq!(self.users(), "14");

        // By the number of the restore, and this time the row that was changed since wins: nothing is left.
        let line = [
            "-o",
            "json",
            "restore",
            "merge",
            &restore,
            "--on-conflict",
            "take",
        ];
        let taken = fleet.ctl.run(&line);
        assert_eq!(taken.code, 0, "{taken:#?}");
        assert_eq!(self.users(), "15");
        assert_eq!(
            self.ask("select email from users where id = 5"),
            "moved@example.org"
        );
        let audit = fleet.ctl.ok(&["audit", "list"]);
        assert!(audit.contains("job.merge"), "{audit}");
    }
}

#[test]
fn the_user_who_came_after_the_backup_is_kept_in_postgresql() {
    let fleet = Fleet::start(1);
    let host = fleet.host("web-1");
    start_postgres(host, "shop-db", Version::V15);
    fleet.wait_instance("web-1/shop-db");
    psql(host, "shop-db", "postgres", "create database shop");
    let shop = Shop {
        fleet: &fleet,
        database: "web-1/shop-db/shop",
        ask: |host, statements| psql(host, "shop-db", "shop", statements),
    };
    shop.ask(
        "create table users (id int primary key, email text unique);
         create table orders (id serial primary key, buyer int not null references users (id));
         insert into users select n, 'u' || n || '@example.org' from generate_series(1, 14) n",
    );
    shop.keeps_the_new_user();
}

#[test]
fn the_user_who_came_after_the_backup_is_kept_in_mariadb() {
    let fleet = Fleet::start(1);
    let host = fleet.host("web-1");
    start_mariadb(host, "shop-db", mariadb::Version::V10);
    fleet.wait_instance("web-1/shop-db");
    sql(host, "shop-db", "mysql", "create database shop");
    let shop = Shop {
        fleet: &fleet,
        database: "web-1/shop-db/shop",
        ask: |host, statements| sql(host, "shop-db", "shop", statements),
    };
    shop.ask(
        "create table users (id int auto_increment primary key, email varchar(80) unique);
         create table orders (id int auto_increment primary key, buyer int not null,
             foreign key (buyer) references users (id));
         insert into users select seq, concat('u', seq, '@example.org') from seq_1_to_14",
    );
    shop.keeps_the_new_user();
}
