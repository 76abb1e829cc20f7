//! `ctl host`: who is in the fleet, who joins, who leaves.

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::HostName;

use crate::{
    client::{CallProblem, Doing as _},
    complete,
    confirm::{Given, confirm},
    exit::Exit,
    failure::Failure,
    output::units,
    session::Session,
    suggest::{Typed, known_host, with_suggestion},
    view::{
        finding::FindingList,
        host::{HostDetail, HostList},
    },
};

/// How many of the last events of a host are shown with it.
const EVENTS: u32 = 10;

#[derive(Debug, Subcommand)]
pub enum Host {
    /// List the hosts: who is connected, who is silent.
    List,
    /// Show one host with its instances, containers, last events and findings.
    Show {
        /// Host to show.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        name: HostName,
    },
    /// Print the one command that joins a host; it works once, for an hour.
    Enrol {
        /// New name: 2 to 40 of a-z, 0-9 and -, beginning with a letter.
        name: HostName,
        /// Address under which the host reaches the controller [default: the one it is configured with].
        #[arg(long = "controller-address", value_name = "HOST:PORT")]
        address: Option<String>,
    },
    /// Remove a host: its certificates are revoked and its session ends at once.
    Remove {
        /// Host to remove.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        name: HostName,
        /// Do not ask; with a value, only when it is the host's name.
        #[arg(short, long, value_name = "NAME", num_args = 0..=1, require_equals = true)]
        yes: Option<Option<String>>,
    },
}

impl Host {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::List => {
                let mut client = session.connect().await?;
                let hosts = client.hosts().await.doing(|| "list the hosts".to_owned())?;
                session.show(&HostList { hosts })?;
            }
            Self::Show { name } => show(session, &name).await?,
            Self::Enrol { name, address } => enrol(session, &name, address).await?,
            Self::Remove { name, yes } => remove(session, &name, yes.into()).await?,
        }
        Ok(Exit::Ok)
    }
}

async fn show(session: &Session, name: &HostName) -> Result<(), Failure> {
    let mut client = session.connect().await?;
    let doing = || format!("show host {name}");
    let hosts = client.hosts().await.doing(doing)?;
    let Some(host) = hosts.into_iter().find(|host| host.name == name.as_str()) else {
        known_host(&mut client, name).await?;
        return Ok(());
    };
    let findings = client.findings(false).await.doing(doing)?;
    let events = client.engine_events(name.to_string(), EVENTS).await;
    let events = match events {
        // A controller from before there were any.
        Err(error) if error.problem == CallProblem::TooOld => Vec::new(),
        events => events.doing(doing)?,
    };
    let below = format!("{name}/");
    let findings = findings
        .into_iter()
        .filter(|finding| finding.subject == name.as_str() || finding.subject.starts_with(&below));
    session.show(&HostDetail {
        host,
        instances: client.instances(name.to_string()).await.doing(doing)?,
        containers: client.containers(name.to_string()).await.doing(doing)?,
        findings: FindingList::sorted(findings.collect()).findings,
        events,
    })
}

async fn enrol(session: &Session, name: &HostName, address: Option<String>) -> Result<(), Failure> {
    let mut client = session.connect().await?;
    let enrolled = client
        .enrol_host(name, address.unwrap_or_default())
        .await
        .doing(|| format!("enrol host {name}"))?;
    session.console.hint(&format!(
        "run this on {name} as root; it works once and expires {}:",
        units::ago(session.now(), enrolled.expires_at)
    ));
    session.show(&enrolled)
}

async fn remove(session: &Session, name: &HostName, given: Given) -> Result<(), Failure> {
    // No look at the list: a host that never joined is not in it, but its token is to be withdrawn.
    let mut client = session.connect().await?;
    confirm(
        &session.console,
        &format!("removing host {name}"),
        &format!(
            "{name} will be shut out at once: its certificates are revoked, its session ends, \
             jobs on it fail. Its containers and databases are not touched."
        ),
        name.as_str(),
        given,
    )?;
    match client
        .remove_host(name)
        .await
        .doing(|| format!("remove host {name}"))
    {
        Ok(removed) => session.show(&removed),
        Err(failure) => {
            Err(with_suggestion(&mut client, failure, &[Typed::Host(name.clone())]).await)
        }
    }
}
