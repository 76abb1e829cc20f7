//! Incident 5: `docker compose down -v` takes the only copy, and everything comes back from the repository. Then somebody
//! deletes rows.

use std::fs;

use e2e::{
    fleet::Fleet,
    host::succeed,
    postgres::{Version, psql, wait_for_postgres},
};

use super::{found, kind_of_one_incident, resolved, run_with_hands, wait_for_count};

const COMPOSE: &str = "
version: '3'
services:
  db:
    image: holdfast-test/postgres:15
    environment: {POSTGRES_PASSWORD: secret, POSTGRES_DB: timescale}
    volumes: ['data:/var/lib/postgresql/data']
volumes:
  data:
";

const FLEET: &str = "
policies:
  - name: metrics
    select: {name: timescale}
    checks: [{name: users, count: select count(*) from users, every: 5s, max_drop: 10%}]
";

const DATABASE: &str = "web-1/metrics_db_1/timescale";

struct Project<'a>(&'a Fleet);

impl Project<'_> {
    fn compose(&self, args: &[&str]) {
        let mut command = self.0.host("web-1").command("docker-compose");
        let directory = self.0.dir().join("metrics");
        command
            .arg("-f")
            .arg(directory.join("compose.yml"))
            .args(args);
        succeed(command);
    }

    fn sql(&self, sql: &str) -> String {
        psql(self.0.host("web-1"), "metrics_db_1", "timescale", sql)
    }

    /// What its application's first start makes.
    fn up(&self, users: u32) {
        self.compose(&["up", "-d"]);
        wait_for_postgres(self.0.host("web-1"), "metrics_db_1");
        self.sql(&format!(
            "create table users (id int primary key, email text);
             insert into users select n, 'user' || n from generate_series(1, {users}) n"
        ));
    }
}

#[test]
fn after_down_with_v_and_after_a_wrong_delete_one_runbook_brings_everybody_back() {
    let fleet = Fleet::start(1);
    assert!(Version::V15.image().ends_with("postgres:15"));
    let directory = fleet.dir().join("metrics");
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join("compose.yml"), COMPOSE).expect("a file");
    let file = fleet.dir().join("fleet.yaml");
    fs::write(&file, FLEET).expect("a file");
    let file = file.to_str().expect("UTF-8");
    fleet.ctl.ok(&["apply", "-f", file, "--yes"]);
    let project = Project(&fleet);
    project.up(14);
    fleet.wait_instance("web-1/metrics_db_1");
    wait_for_count(&fleet, DATABASE, 14);
    fleet.ctl.ok(&["backup", "create", DATABASE]);

    project.compose(&["down", "-v"]);
    found(&fleet, "volume-gone", "metrics_data");
    let incident = kind_of_one_incident(&fleet, "volume-gone");
    let plan = fleet.ctl.ok(&["incident", "run", &incident, "--dry-run"]);
    assert!(plan.contains("docker compose -p metrics up -d"), "{plan}");
    let (said, code) = run_with_hands(
        &fleet,
        &[&incident, "--yes", "--type", "timescale"],
        "the server to come up on a new metrics_data",
        || {
            project.compose(&["up", "-d"]);
            wait_for_postgres(fleet.host("web-1"), "metrics_db_1");
        },
    );
    // The server's own database, of which nobody made a backup, is there again by itself.
    assert_eq!(code, Some(12), "{said}");
    assert!(
        said.contains("there is no good backup of postgres") && said.contains("--leave-out"),
        "{said}"
    );
    let wrong = ["--leave-out", "accept", "--reason", "it is empty"];
    let refused = fleet
        .ctl
        .run(&[&["incident", "run", &incident][..], &wrong].concat());
    assert!(
        refused.err.contains("only the next step can be left out"),
        "{}",
        refused.err
    );
    let close = ["incident", "close", &incident, "--cause", "down -v"];
    let early = fleet.ctl.run(&close);
    assert!(early.err.contains("is not over"), "{}", early.err);
    let mut rest = vec!["incident", "run", &incident, "--yes", "--type", "timescale"];
    rest.extend([
        "--leave-out",
        "rows-beside postgres",
        "--reason",
        "it is empty",
    ]);
    let said = fleet.ctl.ok(&rest);
    assert!(said.contains("left out: it is empty"), "{said}");
    assert_eq!(project.sql("select count(*) from users"), "14");
    resolved(&fleet, &incident);
    fleet.ctl.ok(&close);

    // Nobody meant these.
    wait_for_count(&fleet, DATABASE, 14);
    project
        .sql("insert into users values (100, 'new'); delete from users where id between 5 and 14");
    found(&fleet, "check-suspicious", "users");
    let incident = kind_of_one_incident(&fleet, "check-suspicious");
    let said = fleet.ctl.ok(&["incident", "run", &incident, "--yes"]);
    assert!(said.contains("nothing is missing any more"), "{said}");
    let counted = "select count(*), count(*) filter (where email = 'new') from users";
    assert_eq!(project.sql(counted), "15|1");
    let report = fleet.ctl.ok(&["incident", "report", &incident]);
    assert!(report.contains("step: merge timescale"), "{report}");
}
