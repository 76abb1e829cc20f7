//! `ctl container`: what runs where, and what happened to it of late.

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::HostName;

use crate::{
    client::{Client, Doing as _},
    complete,
    exit::Exit,
    failure::Failure,
    session::Session,
    suggest::known_host,
    view::{container::ContainerList, event::EventList},
};

#[derive(Debug, Subcommand)]
pub enum Container {
    /// List containers.
    List {
        /// Only of this host.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        host: Option<HostName>,
    },
    /// List what the container engines told of late, newest first.
    Events {
        /// Only of this host.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        host: Option<HostName>,
        /// How many of each host.
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
}

impl Container {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        match self {
            Self::List { host } => {
                let of = one_or_all(&mut client, host).await?;
                let containers = client.containers(of).await;
                let containers = containers.doing(|| "list the containers".to_owned())?;
                session.show(&ContainerList { containers })?;
            }
            Self::Events { host, limit } => {
                let of = one_or_all(&mut client, host).await?;
                let events = client.engine_events(of, limit).await;
                let events = events.doing(|| "list the events".to_owned())?;
                session.show(&EventList { events })?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// As the controller wants it: empty means all hosts.
async fn one_or_all(client: &mut Client, host: Option<HostName>) -> Result<String, Failure> {
    if let Some(host) = &host {
        known_host(client, host).await?;
    }
    Ok(host.map(String::from).unwrap_or_default())
}
