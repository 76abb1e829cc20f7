//! `ctl backup before-deploy`: for pipelines. Everything of a project is backed up, its volumes and user counts
//! are noted; `--after` compares.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::HostName;

use super::create::wait;
use crate::{
    client::{BackupSpec, Doing as _},
    complete,
    exit::Exit,
    failure::Failure,
    session::Session,
    view::deployment::BeforeDeploy as Ready,
};

/// Each user count may take as long as its own limit.
const PATIENCE: Duration = Duration::from_secs(11 * 60);

#[derive(Debug, Args)]
pub struct BeforeDeploy {
    /// Compose project.
    #[arg(long)]
    project: String,
    /// Only on this host.
    #[arg(long, add = ArgValueCompleter::new(complete::hosts))]
    host: Option<HostName>,
    /// After the deployment: compare volumes, data and user counts with what was noted; nothing is backed up.
    #[arg(long)]
    after: bool,
}

impl BeforeDeploy {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Self {
            project,
            host,
            after,
        } = self;
        let host = host.map(String::from).unwrap_or_default();
        let mut client = session.connect().await?;
        if after {
            let mut patient = client.patient(PATIENCE);
            let diff = patient.compare_deployment(project.clone(), host).await;
            let diff = diff.doing(|| format!("compare project {project}"))?;
            session.show(&diff)?;
            return Ok(diff.exit());
        }
        let spec = BackupSpec {
            project: project.clone(),
            host: host.clone(),
            ..BackupSpec::default()
        };
        let started = client.create_backups(spec).await;
        let started = started.doing(|| format!("back up project {project}"))?;
        let Some(backups) = wait(session, &mut client, started).await? else {
            return Ok(Exit::Interrupted);
        };
        let mut ready = Ready {
            backups,
            deployment: None,
        };
        // What is noted is what one may rely on: without every backup there is nothing to rely on.
        if ready.exit() == Exit::Ok {
            let mut patient = client.patient(PATIENCE);
            let noted = patient.record_deployment(project.clone(), host).await;
            ready.deployment = Some(noted.doing(|| format!("note what {project} has"))?);
        }
        session.show(&ready)?;
        Ok(ready.exit())
    }
}
