//! `ctl incident`: what went wrong, who sees to it, and how it ended.

mod run;

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;

use self::run::Run;
use crate::{
    client::Doing as _,
    complete,
    exit::Exit,
    failure::Failure,
    session::Session,
    view::incident::{IncidentChanged, IncidentList, Timeline},
};

#[derive(Debug, Subcommand)]
pub enum Incident {
    /// List the incidents that nobody has closed, the worst first.
    List {
        /// Show closed ones too.
        #[arg(long)]
        all: bool,
    },
    /// Show one: what is found, what happened last, and what to do.
    Show {
        /// Number of the incident.
        #[arg(add = ArgValueCompleter::new(complete::incidents))]
        id: u64,
    },
    /// Print everything that happened, in order: findings, jobs, commands, notes.
    Timeline {
        /// Number of the incident.
        #[arg(add = ArgValueCompleter::new(complete::incidents))]
        id: u64,
    },
    /// Open one for a finding that opened none by itself.
    Open {
        /// Number of the finding, as `ctl finding list` shows it.
        finding: u64,
    },
    /// Write something into its timeline.
    Note {
        /// Number of the incident.
        #[arg(add = ArgValueCompleter::new(complete::incidents))]
        id: u64,
        /// What there is to say.
        text: String,
    },
    /// Say who sees to it.
    Assign {
        /// Number of the incident.
        #[arg(add = ArgValueCompleter::new(complete::incidents))]
        id: u64,
        /// Name of an operator [default: you].
        #[arg(conflicts_with = "nobody")]
        to: Option<String>,
        /// Nobody has it any more.
        #[arg(long)]
        nobody: bool,
    },
    /// Say what it was, and that it is over.
    Close {
        /// Number of the incident.
        #[arg(add = ArgValueCompleter::new(complete::incidents))]
        id: u64,
        /// What it was; the report tells it.
        #[arg(long)]
        cause: String,
        /// Also while something of it is still found, or left of its runbook; what is found opens no other incident then.
        #[arg(long)]
        still_found: bool,
    },
    /// Go through its runbook, step by step; who comes later goes on where it was left.
    Run(Run),
    /// Print what is to be learned from it, as Markdown.
    Report {
        /// Number of the incident.
        #[arg(add = ArgValueCompleter::new(complete::incidents))]
        id: u64,
    },
}

impl Incident {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        match self {
            Self::List { all } => {
                let incidents = client.incidents(all).await;
                let incidents = incidents.doing(|| "list the incidents".to_owned())?;
                session.show(&IncidentList::sorted(incidents))?;
            }
            Self::Show { id } => {
                let shown = client.incident(id).await;
                session.show(&shown.doing(|| format!("show incident {id}"))?)?;
            }
            Self::Timeline { id } => {
                let shown = client.incident(id).await;
                let shown = shown.doing(|| format!("tell what happened in incident {id}"))?;
                session.show(&Timeline {
                    incident: id,
                    timeline: shown.timeline,
                })?;
            }
            Self::Open { finding } => {
                let opened = client.open_incident(finding).await;
                let opened = opened.doing(|| format!("open an incident for finding {finding}"))?;
                session.show(&IncidentChanged::of("opened", opened))?;
            }
            Self::Note { id, text } => {
                let noted = client.note_incident(id, text).await;
                let noted = noted.doing(|| format!("note something of incident {id}"))?;
                session.show(&IncidentChanged::of("noted", noted))?;
            }
            Self::Assign { id, to, nobody } => {
                let to = to.unwrap_or_default();
                let assigned = client.assign_incident(id, to, nobody).await;
                let assigned = assigned.doing(|| format!("assign incident {id}"))?;
                session.show(&IncidentChanged::of("assigned", assigned))?;
            }
            Self::Close {
                id,
                cause,
                still_found,
            } => {
                let closed = client.close_incident(id, cause, still_found).await;
                let closed = closed.doing(|| format!("close incident {id}"))?;
                session.show(&IncidentChanged::of("closed", closed))?;
            }
            Self::Run(run) => return run.run(session).await,
            Self::Report { id } => {
                let report = client.report_incident(id).await;
                session.show(&report.doing(|| format!("report incident {id}"))?)?;
            }
        }
        Ok(Exit::Ok)
    }
}
