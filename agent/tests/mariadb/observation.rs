//! MariaDB servers in containers: found by their processes, reached, and told about.

use holdfast_proto::fleet::{Engine, Instance};

use crate::observed::{self, EVENT, Observed, SERVER_START, Started, down, up};

fn server(word: &str, version: &str, options: &[&str], settings: &[&str]) -> Started {
    let image = format!("holdfast-test/mariadb:{version}");
    let mut command = vec!["mariadbd"];
    command.extend(settings);
    Started::run(word, options, &image, &command)
}

fn sql(server: &Started, password: &str, statement: &str) -> String {
    let password = format!("-p{password}");
    server.exec(&["mariadb", "-uroot", &password, "-N", "-e", statement])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_found_by_its_process_and_tells_how_it_is() {
    let observed = Observed::start();
    for (version, num) in [("10.11", 101_100), ("11.8", 110_800)] {
        let word = format!("maria-{}", num);
        let options = [
            "-e",
            "MARIADB_ROOT_PASSWORD=it's \\ it",
            "-e",
            "MARIADB_DATABASE=shop",
        ];
        let started = server(&word, version, &options, &["--max-connections=77"]);
        let show = |s: &_| up(s, &started.0);
        let (instance, _) = observed.until("the server is up", SERVER_START, show).await;
        assert_eq!(instance.engine, Engine::Mariadb);
        assert_eq!(instance.reached_by, "socket /run/mysqld/mysqld.sock");
        let health = instance.health.unwrap();
        assert_eq!(health.version_num / 100, num / 100, "{}", health.version);
        assert_eq!(health.connections_max, 77);
        assert!(health.connections_used >= 1 && health.disk_total_bytes > 0);
        assert_eq!(health.data_directory, "/var/lib/mysql");
        assert!(health.untold.is_empty(), "{:?}", health.untold);
        let mariadb = health.mariadb.unwrap();
        assert!(!mariadb.read_only && !mariadb.binary_log_on && mariadb.sources.is_empty());
        let age = chrono::Utc::now() - health.started_at.unwrap();
        assert!((0..120).contains(&age.num_seconds()), "{age}");
        let own: Vec<_> = health.databases.iter().filter(|d| !d.is_template).collect();
        assert_eq!(own.len(), 1);
        let server_set = sql(&started, "it's \\ it", "select @@character_set_server");
        assert_eq!(
            (own[0].name.as_str(), &own[0].encoding),
            ("shop", &server_set)
        );
        uuid::Uuid::parse_str(&health.system_identifier).unwrap();

        // The identity stays, whatever else changes; the rest is new at each look.
        sql(
            &started,
            "it's \\ it",
            "set global read_only = 1; create table shop.t (a int) select seq a from mysql.seq_1_to_1 union select 2",
        );
        observed.look_at(&started.0).await;
        let is_read_only = |i: &Instance| {
            let health = i.health.as_ref();
            health.is_some_and(|h| h.mariadb.as_ref().is_some_and(|m| m.read_only))
        };
        let changed = |s: &_| up(s, &started.0).filter(is_read_only);
        observed.until("it is read-only", EVENT, changed).await;
        observed::said(&["restart", "-t", "30", &started.0]);
        // The server tells its start in whole seconds, and may be back within one: what was set
        // while it ran is forgotten.
        let again = |s: &_| up(s, &started.0).filter(|i| !is_read_only(i));
        let (instance, _) = observed.until("it is up again", SERVER_START, again).await;
        assert_eq!(
            instance.health.unwrap().system_identifier,
            health.system_identifier
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ways_in_other_than_a_password_in_the_environment() {
    let observed = Observed::start();
    // Its socket is elsewhere, and it has another port.
    let empty = server(
        "maria-empty",
        "11.8",
        &["-e", "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1"],
        &["--port=3310", "--socket=/run/mysqld/other.sock"],
    );
    let (instance, _) = observed
        .until("no password", SERVER_START, |s| up(s, &empty.0))
        .await;
    assert_eq!(instance.reached_by, "socket /run/mysqld/other.sock");

    // Root of the system is root of the server, as Debian sets it up: the password in the environment is wrong by now.
    let changed = server(
        "maria-socket",
        "10.11",
        &["-e", "MYSQL_ROOT_PASSWORD=first"],
        &[],
    );
    observed
        .until("by password", SERVER_START, |s| up(s, &changed.0))
        .await;
    sql(
        &changed,
        "first",
        "alter user root@localhost identified via unix_socket; drop user root@'%'",
    );
    let answer = observed.look_at(&changed.0).await;
    assert!(answer.up, "{answer:?}");

    // A secret in a file, which only exists inside.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("root"), "from a file\n").unwrap();
    let mount = format!("{}:/run/secrets:ro", folder.path().display());
    let options = [
        "-v",
        &mount,
        "-e",
        "MARIADB_ROOT_PASSWORD_FILE=/run/secrets/root",
    ];
    let filed = server("maria-file", "11.8", &options, &[]);
    let (instance, _) = observed
        .until("by a file", SERVER_START, |s| up(s, &filed.0))
        .await;
    assert!(instance.reached_by.starts_with("socket "));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_told_is_named_and_what_is_down_says_why() {
    let observed = Observed::start();
    let started = server(
        "maria-small",
        "11.8",
        &[
            "-e",
            "MARIADB_ROOT_PASSWORD=deep",
            "-e",
            "MARIADB_USER=app",
            "-e",
            "MARIADB_PASSWORD=x",
            "-e",
            "MARIADB_DATABASE=shop",
        ],
        &[],
    );
    observed
        .until("as root", SERVER_START, |s| up(s, &started.0))
        .await;
    let lock_out =
        "alter user root@localhost identified by 'new'; alter user root@'%' identified by 'new'";
    sql(&started, "deep", lock_out);
    observed.look_at(&started.0).await;
    let limited =
        |s: &_| up(s, &started.0).filter(|i| !i.health.as_ref().unwrap().untold.is_empty());
    let (instance, _) = observed.until("as the application", EVENT, limited).await;
    let untold: Vec<_> = instance
        .health
        .unwrap()
        .untold
        .into_iter()
        .map(|u| u.part)
        .collect();
    assert_eq!(untold, ["databases", "running statements", "replication"]);

    sql(&started, "new", "drop user app@'%'");
    observed.look_at(&started.0).await;
    let words = "password authentication failed for user";
    let (instance, _) = observed
        .until("nobody is let in", EVENT, |s| down(s, &started.0, words))
        .await;
    assert!(
        instance
            .down_reason
            .contains("holdfast-agent credential set"),
        "{instance:?}"
    );
    assert_eq!(instance.engine, Engine::Mariadb);

    observed::said(&["stop", "-t", "30", &started.0]);
    let words = "the container exited with code 0";
    observed
        .until("it is stopped", EVENT, |s| down(s, &started.0, words))
        .await;
}
