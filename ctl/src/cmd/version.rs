//! `ctl version`: do both ends fit?

use std::time::Duration;

use clap::Args;

use crate::{
    client::CallError, exit::Exit, failure::Failure, session::Session, view::version::Versions,
};

/// A version is no reason to wait.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub struct Version {
    /// Do not ask the controller.
    #[arg(long)]
    client: bool,
}

impl Version {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut versions = Versions {
            ctl: env!("CARGO_PKG_VERSION").to_owned(),
            controller: None,
            controller_error: String::new(),
        };
        if !self.client {
            match ask(session).await {
                Ok(version) => versions.controller = Some(version),
                Err(why) => versions.controller_error = why,
            }
        }
        session.show(&versions)?;
        Ok(Exit::Ok)
    }
}

async fn ask(session: &Session) -> Result<String, String> {
    let asking = async {
        let client = session
            .connect()
            .await
            .map_err(|failure| failure.to_string())?;
        let version = client.hasty(PATIENCE).controller_version().await;
        version.map_err(|error: CallError| error.to_string())
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| Err("no answer within 3 s".to_owned()))
}
