//! `ctl audit`: who changed what, and whether the log is whole.

use std::time::Duration;

use clap::Subcommand;

use crate::{
    client::Doing as _, exit::Exit, failure::Failure, session::Session, view::audit::AuditList,
};

/// Every entry is hashed again.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List changes and refusals, newest first.
    List {
        /// How many.
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Compute the chain of hashes again; exits with 8 when it is broken.
    Verify,
}

impl Audit {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        match self {
            Self::List { limit } => {
                let entries = client
                    .audit(limit)
                    .await
                    .doing(|| "list the audit log".to_owned())?;
                session.show(&AuditList { entries })?;
                Ok(Exit::Ok)
            }
            Self::Verify => {
                let verdict = client.patient(PATIENCE).verify_audit().await;
                let verdict = verdict.doing(|| "verify the audit log".to_owned())?;
                session.show(&verdict)?;
                Ok(verdict.exit())
            }
        }
    }
}
