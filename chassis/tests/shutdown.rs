//! A process that is told to end: first in order, then at once.

use std::{
    env,
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

const CHILD: &str = "HOLDFAST_TEST_SHUTDOWN_CHILD";

/// Run by the tests below as a process of its own; says what happens to it on stdout.
#[tokio::test]
async fn child() {
    let Ok(ends_in_order) = env::var(CHILD) else {
        return;
    };
    let shutdown = holdfast_chassis::shutdown::on_signal().unwrap();
    println!("\nwaiting");
    shutdown.cancelled().await;
    println!("cancelled");
    if ends_in_order == "no" {
        std::future::pending::<()>().await;
    }
    println!("ended in order");
}

struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(ends_in_order: &str) -> Self {
        let mut child = Command::new(env::current_exe().expect("the path of this test"))
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD, ends_in_order)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test as a child");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    fn until(&mut self, wanted: &str) {
        let found = self
            .lines
            .by_ref()
            .any(|line| line.expect("a line of the child") == wanted);
        assert!(found, "the child ended without saying {wanted:?}");
    }

    fn kill(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .expect("kill runs")
                .success()
        );
    }
}

#[test]
fn the_first_signal_cancels_and_the_process_ends_by_itself() {
    for signal in ["-TERM", "-INT"] {
        let mut running = Running::start("yes");
        running.until("waiting");
        running.kill(signal);
        running.until("cancelled");
        running.until("ended in order");
        assert!(running.child.wait().unwrap().success());
    }
}

#[test]
fn the_second_signal_ends_a_process_that_hangs() {
    for (signal, status) in [("-TERM", 143), ("-INT", 130)] {
        let mut running = Running::start("no");
        running.until("waiting");
        running.kill("-TERM");
        running.until("cancelled");
        running.kill(signal);
        assert_eq!(running.child.wait().unwrap().code(), Some(status));
    }
}
