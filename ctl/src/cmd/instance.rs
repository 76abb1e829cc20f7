//! `ctl instance`: database servers, found or registered.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::{
    fleet::Engine,
    names::{HostName, InstanceName},
};

use super::triage::triage;
use crate::{
    client::{Doing as _, NewInstance, TriageOf},
    complete,
    confirm::{Given, confirm},
    exit::Exit,
    failure::Failure,
    nearest::nearest,
    session::Session,
    suggest::{Typed, known_host, with_suggestion},
    view::{
        data_store::{Accepted, History},
        instance::{InstanceDetail, InstanceList, RemovedInstance},
    },
};

/// The agent tries the address before it answers.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub enum Instance {
    /// List instances: who is up, and why not.
    List {
        /// Only of this host.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        host: Option<HostName>,
    },
    /// Show one instance: health, databases, long queries, replication slots.
    Show {
        /// HOST/INSTANCE.
        #[arg(add = ArgValueCompleter::new(complete::instances))]
        name: InstanceName,
    },
    /// Show what an instance's data lay on, from when to when.
    History {
        /// HOST/INSTANCE.
        #[arg(add = ArgValueCompleter::new(complete::instances))]
        name: InstanceName,
    },
    /// Say that what an instance's data lie on now is what they shall lie on (or that nothing shall).
    Accept {
        /// HOST/INSTANCE.
        #[arg(add = ArgValueCompleter::new(complete::instances))]
        name: InstanceName,
        /// Why; it is kept in the history.
        #[arg(long)]
        reason: String,
    },
    /// Say from the files alone how an instance's data are, whether it runs or not; reads only.
    Triage {
        /// HOST/INSTANCE.
        #[arg(add = ArgValueCompleter::new(complete::instances))]
        name: InstanceName,
    },
    /// Register a server that is not in a container; its password stays on the agent's host.
    Add(Add),
    /// Forget a registered server; the server itself is not touched.
    Remove {
        /// HOST/INSTANCE.
        #[arg(add = ArgValueCompleter::new(complete::instances))]
        name: InstanceName,
        /// Do not ask; with a value, only when it is HOST/INSTANCE.
        #[arg(short, long, value_name = "NAME", num_args = 0..=1, require_equals = true)]
        yes: Option<Option<String>>,
    },
}

#[derive(Debug, Args)]
pub struct Add {
    /// HOST/NAME: the host whose agent reaches it, and the name to give it.
    name: InstanceName,
    /// Address as seen from that host.
    #[arg(long)]
    address: String,
    /// What kind of server it is.
    #[arg(long, value_enum, default_value_t = EngineArg::Postgres)]
    engine: EngineArg,
    /// Port of the server; 5432, or 3306 of MariaDB and MySQL.
    #[arg(long)]
    port: Option<u16>,
    /// Role or account to connect as; postgres, or root of MariaDB and MySQL.
    #[arg(long)]
    user: Option<String>,
    /// Database of PostgreSQL to connect to.
    #[arg(long, default_value = "postgres")]
    database: String,
    /// TLS between the agent and the server.
    #[arg(long, value_enum, default_value_t = TlsArg::Prefer)]
    tls: TlsArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TlsArg {
    Disable,
    Prefer,
    Require,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineArg {
    Postgres,
    Mariadb,
    Mysql,
}

impl EngineArg {
    fn engine(self) -> Engine {
        match self {
            Self::Postgres => Engine::Postgres,
            Self::Mariadb => Engine::Mariadb,
            Self::Mysql => Engine::Mysql,
        }
    }

    /// Port and account when none is given.
    fn usual(self) -> (u16, &'static str) {
        match self {
            Self::Postgres => (5432, "postgres"),
            Self::Mariadb | Self::Mysql => (3306, "root"),
        }
    }
}

impl TlsArg {
    fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
        }
    }
}

impl Instance {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::List { host } => list(session, host).await?,
            Self::Show { name } => show(session, &name).await?,
            Self::History { name } => history(session, name).await?,
            Self::Accept { name, reason } => accept(session, name, reason).await?,
            Self::Triage { name } => {
                let (host, instance) = (name.host.clone(), name.instance.clone());
                let of = TriageOf::Instance(instance);
                return triage(session, host, of, Typed::Instance(name)).await;
            }
            Self::Add(add) => register(session, add).await?,
            Self::Remove { name, yes } => remove(session, name, yes.into()).await?,
        }
        Ok(Exit::Ok)
    }
}

async fn list(session: &Session, host: Option<HostName>) -> Result<(), Failure> {
    let mut client = session.connect().await?;
    if let Some(host) = &host {
        known_host(&mut client, host).await?;
    }
    let of = host.map(String::from).unwrap_or_default();
    let instances = client
        .instances(of)
        .await
        .doing(|| "list the instances".to_owned())?;
    session.show(&InstanceList { instances })
}

async fn show(session: &Session, name: &InstanceName) -> Result<(), Failure> {
    let mut client = session.connect().await?;
    let all = client.instances(String::new()).await;
    let all = all.doing(|| format!("show instance {name}"))?;
    let text = name.to_string();
    let names: Vec<String> = all
        .iter()
        .map(crate::view::instance::Instance::full_name)
        .collect();
    match all
        .into_iter()
        .find(|instance| instance.full_name() == text)
    {
        Some(instance) => session.show(&InstanceDetail { instance }),
        None => Err(Failure::Missing {
            noun: "instance",
            suggestion: nearest(&text, names.iter().map(String::as_str)).map(str::to_owned),
            name: text,
            advice: "ctl instance list".to_owned(),
        }),
    }
}

async fn history(session: &Session, name: InstanceName) -> Result<(), Failure> {
    let mut client = session.connect().await?;
    let events = client.instance_history(&name).await;
    match events.doing(|| format!("read the history of instance {name}")) {
        Ok(events) => session.show(&History { events }),
        Err(failure) => Err(with_suggestion(&mut client, failure, &[Typed::Instance(name)]).await),
    }
}

async fn accept(session: &Session, name: InstanceName, reason: String) -> Result<(), Failure> {
    let mut client = session.connect().await?;
    let event = client.accept_instance(&name, reason).await;
    match event.doing(|| format!("accept what the data of {name} lie on")) {
        Ok(event) => session.show(&Accepted { event }),
        Err(failure) => Err(with_suggestion(&mut client, failure, &[Typed::Instance(name)]).await),
    }
}

async fn register(session: &Session, add: Add) -> Result<(), Failure> {
    let mut client = session.connect().await?;
    let name = add.name.clone();
    let (port, user) = add.engine.usual();
    let new = NewInstance {
        name: add.name,
        engine: add.engine.engine(),
        address: add.address,
        port: add.port.unwrap_or(port),
        user: add.user.unwrap_or_else(|| user.to_owned()),
        database: add.database,
        tls_mode: add.tls.word().to_owned(),
    };
    let added = client.clone().patient(PATIENCE).add_instance(new).await;
    match added.doing(|| format!("register instance {name}")) {
        Ok(added) => session.show(&added),
        Err(failure) => {
            let typed = [Typed::Host(name.host)];
            Err(with_suggestion(&mut client, failure, &typed).await)
        }
    }
}

async fn remove(session: &Session, name: InstanceName, given: Given) -> Result<(), Failure> {
    let mut client = session.connect().await?;
    confirm(
        &session.console,
        &format!("removing instance {name}"),
        &format!("{name} will no longer be watched or copied; the server itself is not touched."),
        &name.to_string(),
        given,
    )?;
    match client
        .remove_instance(&name)
        .await
        .doing(|| format!("remove instance {name}"))
    {
        Ok(()) => session.show(&RemovedInstance {
            host: name.host.to_string(),
            name: name.instance,
        }),
        Err(failure) => Err(with_suggestion(&mut client, failure, &[Typed::Instance(name)]).await),
    }
}
