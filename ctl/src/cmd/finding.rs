//! `ctl finding`: what detectors saw.

use clap::Subcommand;

use crate::{
    client::Doing as _, exit::Exit, failure::Failure, session::Session, view::finding::FindingList,
};

#[derive(Debug, Subcommand)]
pub enum Finding {
    /// List open findings, the worst first.
    List {
        /// Show closed ones too.
        #[arg(long)]
        all: bool,
    },
}

impl Finding {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Self::List { all } = self;
        let mut client = session.connect().await?;
        let findings = client
            .findings(all)
            .await
            .doing(|| "list the findings".to_owned())?;
        session.show(&FindingList::sorted(findings))?;
        Ok(Exit::Ok)
    }
}
