//! `ctl job`: see work, stay with it, stop it, take it back.

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;

use crate::{
    client::{Client, Doing as _},
    complete,
    exit::Exit,
    failure::Failure,
    follow::{Followed, Preflight, follow},
    session::Session,
    view::{
        copy::JobEnded,
        job::{JobList, JobState, JobTaken},
    },
};

#[derive(Debug, Subcommand)]
pub enum Job {
    /// List jobs, newest first.
    List {
        /// Only those that have not ended.
        #[arg(long)]
        active: bool,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show a job: preflight, proof, every event.
    Show {
        /// Number of the job.
        #[arg(add = ArgValueCompleter::new(complete::jobs))]
        id: u64,
    },
    /// Stay with a job until it ends; Ctrl-C leaves it running.
    Watch {
        /// Number of the job.
        #[arg(add = ArgValueCompleter::new(complete::jobs))]
        id: u64,
    },
    /// Stop a job; everything it has done is undone.
    Cancel {
        /// Number of the job.
        #[arg(add = ArgValueCompleter::new(complete::jobs))]
        id: u64,
        /// Do not wait until it is undone.
        #[arg(long)]
        detach: bool,
    },
    /// Take a job back that has succeeded: what it replaced is put back.
    Undo {
        /// Number of the job.
        #[arg(add = ArgValueCompleter::new(complete::jobs))]
        id: u64,
        /// Do not wait until it is undone.
        #[arg(long)]
        detach: bool,
    },
}

impl Job {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        match self {
            Self::List { active, limit } => {
                let jobs = client
                    .jobs(limit, active)
                    .await
                    .doing(|| "list the jobs".to_owned())?;
                session.show(&JobList { jobs })?;
                Ok(Exit::Ok)
            }
            Self::Show { id } => {
                let detail = client.job(id).await.doing(|| format!("show job {id}"));
                let detail = detail.map_err(with_list)?;
                session.show(&detail)?;
                Ok(Exit::Ok)
            }
            Self::Watch { id } => watch(session, &mut client, id, None).await,
            Self::Cancel { id, detach } => {
                let job = client
                    .cancel_job(id)
                    .await
                    .doing(|| format!("cancel job {id}"));
                let job = job.map_err(with_list)?;
                taken(
                    session,
                    &mut client,
                    JobTaken { job },
                    detach,
                    JobState::Cancelled,
                )
                .await
            }
            Self::Undo { id, detach } => {
                let job = client.undo_job(id).await.doing(|| format!("undo job {id}"));
                let job = job.map_err(with_list)?;
                taken(
                    session,
                    &mut client,
                    JobTaken { job },
                    detach,
                    JobState::Undone,
                )
                .await
            }
        }
    }
}

/// A job that is to be `wanted`: wait for it, unless told not to.
async fn taken(
    session: &Session,
    client: &mut Client,
    taken: JobTaken,
    detach: bool,
    wanted: JobState,
) -> Result<Exit, Failure> {
    let id = taken.job.id;
    if detach {
        session.show(&taken)?;
        session.console.hint(&format!("next: ctl job watch {id}"));
        return Ok(Exit::Ok);
    }
    watch(session, client, id, Some(wanted)).await
}

/// `wanted`: the end that was asked for, which is then a success.
async fn watch(
    session: &Session,
    client: &mut Client,
    id: u64,
    wanted: Option<JobState>,
) -> Result<Exit, Failure> {
    match follow(session, client, id, Preflight::Tell)
        .await
        .map_err(with_list)?
    {
        Followed::Detached => Ok(Exit::Interrupted),
        Followed::Ended(detail) => {
            let exit = detail.exit();
            let as_wanted = wanted.is_some_and(|wanted| is_as_good(detail.job.state, wanted));
            session.show(&JobEnded(*detail))?;
            Ok(if as_wanted { Exit::Ok } else { exit })
        }
    }
}

/// The undo of a stuck job ends as the job would have ended without it: undone all the same.
fn is_as_good(state: JobState, wanted: JobState) -> bool {
    let nothing_is_left = matches!(state, JobState::Failed | JobState::Cancelled);
    state == wanted || (wanted == JobState::Undone && nothing_is_left)
}

/// A number that names no job: the list is the next thing to look at.
fn with_list(failure: Failure) -> Failure {
    match failure {
        Failure::Call { doing, mut cause } if cause.exit() == Exit::NotFound => {
            cause
                .told_advice
                .get_or_insert_with(|| "ctl job list".to_owned());
            Failure::Call { doing, cause }
        }
        other => other,
    }
}
