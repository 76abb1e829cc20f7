//! Instances that an operator registered for this host, kept for the time without a controller.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use holdfast_proto::link::RegisteredInstance;
use tokio::sync::watch;
use tracing::warn;

/// Where they are kept below the state directory.
#[must_use]
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("registered.json")
}

/// What was last heard. A damaged file counts as none: the controller tells all again.
#[must_use]
pub fn load(path: &Path) -> Vec<RegisteredInstance> {
    let known = fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    known.unwrap_or_default()
}

/// Stores each list that is heard, until nobody can say one any more.
pub async fn keep(path: PathBuf, mut heard: watch::Receiver<Vec<RegisteredInstance>>) {
    while heard.changed().await.is_ok() {
        let list = heard.borrow_and_update().clone();
        if let Err(error) = store(&path, &list) {
            let path = path.display();
            warn!(%error, %path, "registered instances are not stored: a restart without controller forgets them");
        }
    }
}

fn store(path: &Path, list: &[RegisteredInstance]) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    fs::write(&fresh, serde_json::to_vec_pretty(list)?)?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use holdfast_proto::{fleet::Engine, link::TlsMode};

    use super::*;

    #[test]
    fn what_was_registered_is_known_again_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let path = path(state.path());
        assert!(load(&path).is_empty());
        let rds = RegisteredInstance {
            name: "rds".to_owned(),
            engine: Engine::Postgres,
            address: "db.internal".to_owned(),
            port: 5432,
            user: "holdfast".to_owned(),
            database: "postgres".to_owned(),
            tls_mode: TlsMode::Require,
        };
        store(&path, std::slice::from_ref(&rds)).unwrap();
        assert_eq!(load(&path), [rds]);
        fs::write(&path, "{").unwrap();
        assert!(load(&path).is_empty());
    }
}
