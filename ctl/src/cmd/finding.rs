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
    /// Show one finding with what it was told from.
    Show {
        /// Its number, as `ctl finding list` shows it.
        id: u64,
    },
    /// Say what a kind of finding means, and what to do.
    Explain {
        /// Code or kind: HF0101, double-mount.
        kind: String,
    },
}

impl Finding {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        match self {
            Self::List { all } => {
                let findings = client
                    .findings(all)
                    .await
                    .doing(|| "list the findings".to_owned())?;
                session.show(&FindingList::sorted(findings))?;
            }
            Self::Show { id } => {
                let finding = client.finding(id).await;
                session.show(&finding.doing(|| format!("show finding {id}"))?)?;
            }
            Self::Explain { kind } => {
                let page = client.explain_finding(kind.clone()).await;
                session.show(&page.doing(|| format!("explain {kind}"))?)?;
            }
        }
        Ok(Exit::Ok)
    }
}
