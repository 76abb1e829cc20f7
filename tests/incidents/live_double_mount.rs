//! Incident 1: a second server on a live volume. The commands are those of the write-up.

use e2e::{
    fleet::Fleet,
    postgres::{Version, start_postgres},
};

use super::{found, over};

#[test]
fn a_second_server_on_a_live_volume_is_told_of_with_both_names_while_it_starts() {
    let fleet = Fleet::start(1);
    let host = fleet.host("web-1");
    start_postgres(host, "agent-02-postgres", Version::V15);
    fleet.wait_instance("web-1/agent-02-postgres");

    // What somebody ran who wanted a copy of the database.
    let volume = "agent-02-postgres-data:/var/lib/postgresql/data";
    let mut run = vec!["run", "-d", "--name", "agent-01-postgres", "-v", volume];
    run.extend(["-e", "POSTGRES_PASSWORD=secret", Version::V15.image()]);
    host.docker(&run);
    let finding = found(
        &fleet,
        "double-mount",
        "agent-02-postgres and agent-01-postgres",
    );
    assert_eq!(finding["severity"], "critical");
    assert_eq!(finding["code"], "HF0101");
    assert_eq!(
        finding["subject"], "web-1/agent-02-postgres",
        "who was first"
    );
    let advice = finding["advice"].as_str().expect("advice");
    assert!(advice.contains("docker stop agent-01-postgres"), "{advice}");

    let shown = fleet
        .ctl
        .ok(&["finding", "show", &finding["id"].to_string()]);
    for word in ["agent-01-postgres", "agent-02-postgres", "/_data", "HF0101"] {
        assert!(shown.contains(word), "{word}\n{shown}");
    }
    let page = fleet.ctl.ok(&["finding", "explain", "hf0101"]);
    assert!(page.contains("## What to do"), "{page}");

    host.docker(&["rm", "-f", "agent-01-postgres"]);
    over(&fleet, "double-mount");

    // By the path on the host, under another name: it is the same place.
    let path = host.docker(&[
        "volume",
        "inspect",
        "-f",
        "{{.Mountpoint}}",
        "agent-02-postgres-data",
    ]);
    let bind = format!("{}:/srv", path.trim());
    let mut tool = vec!["run", "-d", "--name", "tool", "-v", &bind];
    tool.extend(["--entrypoint", "sleep", Version::V15.image(), "6000"]);
    host.docker(&tool);
    let finding = found(&fleet, "double-mount", "container tool can write");
    assert_eq!(finding["severity"], "warning");
    host.docker(&["rm", "-f", "tool"]);
    over(&fleet, "double-mount");
    let read_only = format!("{bind}:ro");
    tool[5] = &read_only;
    host.docker(&tool);
    // It is seen, and not told of.
    host.sleeper("later");
    fleet.wait_container("later", true);
    assert!(super::findings(&fleet, "double-mount").is_empty());
}
