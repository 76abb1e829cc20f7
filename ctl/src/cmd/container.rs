//! `ctl container`: what runs where.

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::HostName;

use crate::{
    client::Doing as _, complete, exit::Exit, failure::Failure, session::Session,
    suggest::known_host, view::container::ContainerList,
};

#[derive(Debug, Subcommand)]
pub enum Container {
    /// List containers.
    List {
        /// Only of this host.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        host: Option<HostName>,
    },
}

impl Container {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Self::List { host } = self;
        let mut client = session.connect().await?;
        if let Some(host) = &host {
            known_host(&mut client, host).await?;
        }
        let of = host.map(String::from).unwrap_or_default();
        let containers = client
            .containers(of)
            .await
            .doing(|| "list the containers".to_owned())?;
        session.show(&ContainerList { containers })?;
        Ok(Exit::Ok)
    }
}
