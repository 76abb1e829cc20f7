//! Processes whose collector is away, hangs or is named wrongly: they work on and end in time.

use std::{
    env,
    net::TcpListener,
    process::{Command, Output},
    time::{Duration, Instant},
};

use holdfast_chassis::telemetry::{self, LogFormat, Settings};

const CHILD: &str = "HOLDFAST_TEST_TELEMETRY_CHILD";
const BATCH_MS: u64 = 5;

/// Run by the tests below as a process of its own, on a runtime of one thread: it works for many batches.
#[tokio::test]
async fn child() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let started = telemetry::init(&Settings {
        service: "holdfast-test",
        version: "0.0.0",
        format: LogFormat::Text,
        default_filter: "info".into(),
    });
    let guard = match started {
        Ok(guard) => guard,
        Err(error) => {
            println!("\nrefused: {}", telemetry::Chain(&error));
            return;
        }
    };
    let mut ticks = tokio::time::interval(Duration::from_millis(BATCH_MS));
    for number in 0..40 {
        ticks.tick().await;
        tracing::info_span!(target: "holdfast_test", "work", number).in_scope(|| ());
    }
    println!("\nworked");
    drop(guard);
}

fn run(endpoint: &str, more: &[(&str, &str)]) -> (Output, Duration) {
    let begin = Instant::now();
    let output = Command::new(env::current_exe().expect("the path of this test"))
        .args(["--exact", "child", "--nocapture"])
        .env_remove("HOLDFAST_LOG")
        .env_remove("RUST_LOG")
        .env(CHILD, "yes")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_BSP_SCHEDULE_DELAY", BATCH_MS.to_string())
        .envs(more.iter().copied())
        .output()
        .expect("this test as a child");
    (output, begin.elapsed())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn warnings(output: &Output) -> usize {
    text(&output.stderr)
        .lines()
        .filter(|line| line.contains("could not send traces to http://127.0.0.1:"))
        .count()
}

#[test]
fn a_collector_that_is_away_is_told_of_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (output, _) = run(&endpoint, &[]);
    assert!(text(&output.stdout).contains("worked"), "{output:?}");
    assert_eq!(warnings(&output), 1, "{}", text(&output.stderr));
}

#[test]
fn a_collector_that_hangs_holds_nobody_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (output, took) = run(&endpoint, &[]);
    assert!(text(&output.stdout).contains("worked"), "{output:?}");
    assert_eq!(warnings(&output), 1, "{}", text(&output.stderr));
    // Two hundred milliseconds of work, three seconds to flush; the rest is for a busy machine.
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let cases = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
        ("HOLDFAST_LOG", "info,=loud="),
    ];
    for (variable, value) in cases {
        let (output, _) = run("http://127.0.0.1:1", &[(variable, value)]);
        let said = text(&output.stdout);
        let refusal = said.lines().find(|line| line.starts_with("refused: "));
        assert!(
            refusal.is_some_and(|line| line.contains(variable) && line.contains(value)),
            "{said}"
        );
    }
}
