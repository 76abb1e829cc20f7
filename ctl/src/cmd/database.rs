//! `ctl database`: names that every other command takes.

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::HostName;

use crate::{
    client::Doing as _, complete, exit::Exit, failure::Failure, session::Session,
    suggest::known_host, view::database::DatabaseList,
};

#[derive(Debug, Subcommand)]
pub enum Database {
    /// List the databases of the instances that answer.
    List {
        /// Only of this host.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        host: Option<HostName>,
        /// Show templates too.
        #[arg(long)]
        templates: bool,
    },
}

impl Database {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Self::List { host, templates } = self;
        let mut client = session.connect().await?;
        if let Some(host) = &host {
            known_host(&mut client, host).await?;
        }
        let of = host.map(String::from).unwrap_or_default();
        let instances = client
            .instances(of)
            .await
            .doing(|| "list the databases".to_owned())?;
        session.show(&DatabaseList::of(&instances, templates))?;
        Ok(Exit::Ok)
    }
}
