//! The engine's warnings reach the log, where it says what it left out.
#![allow(clippy::unwrap_used, reason = "what panics here has failed the test")]

#[path = "support/backups.rs"]
mod backups;

use std::{
    io,
    sync::{Arc, Mutex},
};

use backups::{House, content, plan};
use tracing_subscriber::{
    fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Set up as the processes do it; the only test of this program, as there is one log.
#[tokio::test(flavor = "multi_thread")]
async fn a_warning_of_the_engine_is_a_line_of_ours() {
    let lines = Lines::default();
    let layer = tracing_subscriber::fmt::layer().with_writer(lines.clone());
    tracing_subscriber::registry().with(layer).init();
    let house = House::new();
    let repository = house.repository().await;
    let mut writing = repository.write(plan(&content(1)));
    writing.next().await.unwrap().fail("the server went away");
    writing.finish("manifest").await.unwrap_err();
    let log = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(
        log.contains("WARN") && log.contains("ignoring error"),
        "{log}"
    );
    assert!(!log.contains(house.key.password()), "{log}");
}
