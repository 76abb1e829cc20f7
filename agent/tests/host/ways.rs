//! Ways to a server without a unix socket: the container's address, with the password that its environment names.
//!
//! Needs Docker on its usual socket and the images `holdfast-test/postgres:15` and `:17`.

use std::{io::Write as _, os::unix::fs::PermissionsExt as _};

use crate::observed::{Observed, SERVER_START, Started, down, up};
use holdfast_proto::fleet::HostSnapshot;

/// Reached by its socket, then without one. Not with `-c` at its first start: the image prepares the data directory
/// through a server of the same settings, and goes down with it.
async fn close_socket(server: &Started, observed: &Observed) {
    let is_up = |s: &HostSnapshot| up(s, &server.0);
    let is_down = |s: &HostSnapshot| up(s, &server.0).is_none().then_some(());
    // A server that starts listens on its address a moment before its socket: who asks just then stays with that.
    while let (instance, _) = observed
        .until("the server is up", SERVER_START, is_up)
        .await
        && !instance.reached_by.starts_with("socket ")
    {
        crate::observed::said(&["stop", &server.0]);
        let stopped = observed.until("the server is down", SERVER_START, is_down);
        stopped.await;
        crate::observed::said(&["start", &server.0]);
    }
    // ALTER SYSTEM would write it as a list of one directory without a name.
    let write = "echo \"unix_socket_directories = ''\" >> \"$PGDATA/postgresql.auto.conf\"";
    server.exec(&["bash", "-c", write]);
}

/// Its first way is gone; it comes back by another.
async fn reached_by_address(server: &Started, observed: &Observed) {
    let by_address = |s: &HostSnapshot| {
        up(s, &server.0).filter(|instance| !instance.reached_by.starts_with("socket "))
    };
    let reached = observed.until(
        "the server is up without a socket",
        SERVER_START,
        by_address,
    );
    let (found, _) = reached.await;
    let address = server.inspect("{{.NetworkSettings.IPAddress}}");
    assert!(found.reached_by.contains(&address), "{found:?}");
    let route = observed
        .instances
        .locate(&server.0)
        .expect("it is up")
        .route;
    let client = route.connect("postgres").await.expect("let in");
    let row = client
        .query_one("select inet_server_addr() is not null", &[])
        .await;
    assert!(row.expect("an address").get::<_, bool>(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_socket_is_reached_by_its_container_s_address() {
    for version in [15, 17] {
        let server = Started::server(&format!("nosocket{version}"), version, &[], &[]);
        let observed = Observed::start();
        close_socket(&server, &observed).await;
        crate::observed::said(&["restart", &server.0]);
        reached_by_address(&server, &observed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_password_may_be_in_a_file_that_the_environment_names() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "from a file").unwrap();
    // The image reads it as the server's own user.
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(file.path(), open).unwrap();
    let mount = format!("{}:/run/password:ro", file.path().display());
    let options = ["-e", "POSTGRES_PASSWORD_FILE=/run/password", "-v", &mount];
    let server = Started::run("pwfile", &options, "holdfast-test/postgres:15", &[]);
    let observed = Observed::start();
    close_socket(&server, &observed).await;
    crate::observed::said(&["restart", &server.0]);
    reached_by_address(&server, &observed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_what_a_server_is_down_for() {
    let server = Started::server("wrongpw", 17, &[], &[]);
    let observed = Observed::start();
    close_socket(&server, &observed).await;
    server.psql("alter role postgres password 'another one'");
    crate::observed::said(&["restart", &server.0]);
    let refused = |s: &HostSnapshot| down(s, &server.0, "password authentication failed");
    let told = observed.until("the refusal", SERVER_START, refused);
    let (told, _) = told.await;
    assert!(!told.down_reason.contains("another one"), "{told:?}");
    assert!(!told.down_reason.contains("secret"), "{told:?}");
}
