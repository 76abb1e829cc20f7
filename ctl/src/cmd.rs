//! The commands, one noun a file.

use clap::Subcommand;

use crate::{exit::Exit, failure::Failure, session::Session};

pub mod apply;
pub mod audit;
pub mod backup;
pub mod check;
pub mod completions;
pub mod compose;
pub mod container;
pub mod context;
pub mod copy;
pub mod database;
pub mod drill;
pub mod finding;
pub mod guard;
pub mod host;
pub mod incident;
pub mod instance;
pub mod job;
pub mod login;
pub mod objectives;
pub mod operator;
pub mod policy;
pub mod repository;
pub mod restore;
pub mod retention;
pub mod status;
mod triage;
pub mod version;
pub mod volume;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The fleet on one screen: hosts, instances, findings, running jobs.
    Status(status::Status),
    /// Become an operator of a controller.
    Login(login::Login),
    /// Controllers that this file knows.
    #[command(subcommand)]
    Context(context::Context),
    /// Machines with an agent.
    #[command(subcommand)]
    Host(host::Host),
    /// Containers on the hosts.
    #[command(subcommand)]
    Container(container::Container),
    /// Volumes on the hosts.
    #[command(subcommand)]
    Volume(volume::Volume),
    /// Database servers.
    #[command(subcommand)]
    Instance(instance::Instance),
    /// Databases.
    #[command(subcommand)]
    Database(database::Database),
    /// Compose files, before they lose a database.
    #[command(subcommand)]
    Compose(compose::Compose),
    /// Copy from one host to another.
    #[command(subcommand)]
    Copy(copy::Copy),
    /// Backups: made, seen, compared, pinned, deleted.
    #[command(subcommand)]
    Backup(backup::Backup),
    /// Bring a backup back.
    Restore(Box<restore::Restore>),
    /// Backups proven by restoring them.
    #[command(subcommand)]
    Drill(drill::Drill),
    /// Make the policies those of a file.
    Apply(apply::Apply),
    /// Show what applying a file would change.
    Diff(apply::Diff),
    /// Print the policies as a file that applies without a change.
    Export(apply::Export),
    /// What shall hold for which database.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Which backups stay and which go.
    #[command(subcommand)]
    Retention(retention::Retention),
    /// Targets for recovery and what was measured.
    Objectives(objectives::Objectives),
    /// User-count checks.
    #[command(subcommand)]
    Check(check::Check),
    /// Work that runs or ran.
    #[command(subcommand)]
    Job(job::Job),
    /// What keeps Docker from destroying databases.
    #[command(subcommand)]
    Guard(guard::Guard),
    /// What detectors saw.
    #[command(subcommand)]
    Finding(finding::Finding),
    /// What went wrong, who sees to it, and how it ended.
    #[command(subcommand)]
    Incident(incident::Incident),
    /// Where backups are kept.
    #[command(subcommand)]
    Repository(repository::Repository),
    /// People who may use this controller.
    #[command(subcommand)]
    Operator(operator::Operator),
    /// The log of every change.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Print what makes the shell complete names.
    Completions(completions::Completions),
    /// Versions of ctl and of the controller.
    Version(version::Version),
}

impl Command {
    /// Its name in traces.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Login(_) => "login",
            Self::Context(_) => "context",
            Self::Guard(_) => "guard",
            Self::Host(_) => "host",
            Self::Compose(_) => "compose",
            Self::Container(_) => "container",
            Self::Volume(_) => "volume",
            Self::Instance(_) => "instance",
            Self::Database(_) => "database",
            Self::Copy(_) => "copy",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::Drill(_) => "drill",
            Self::Apply(_) => "apply",
            Self::Diff(_) => "diff",
            Self::Export(_) => "export",
            Self::Policy(_) => "policy",
            Self::Retention(_) => "retention",
            Self::Objectives(_) => "objectives",
            Self::Check(_) => "check",
            Self::Job(_) => "job",
            Self::Finding(_) => "finding",
            Self::Incident(_) => "incident",
            Self::Repository(_) => "repository",
            Self::Operator(_) => "operator",
            Self::Audit(_) => "audit",
            Self::Completions(_) => "completions",
            Self::Version(_) => "version",
        }
    }

    /// # Errors
    /// Whatever kept it from doing what was asked; the exit code is in the failure.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Status(command) => command.run(session).await,
            Self::Login(command) => command.run(session).await,
            Self::Context(command) => command.run(session),
            Self::Guard(command) => command.run(session).await,
            Self::Host(command) => command.run(session).await,
            Self::Compose(command) => command.run(session),
            Self::Container(command) => command.run(session).await,
            Self::Volume(command) => command.run(session).await,
            Self::Instance(command) => command.run(session).await,
            Self::Database(command) => command.run(session).await,
            Self::Copy(command) => command.run(session).await,
            Self::Backup(command) => command.run(session).await,
            Self::Restore(command) => command.run(session).await,
            Self::Drill(command) => command.run(session).await,
            Self::Apply(command) => command.run(session).await,
            Self::Diff(command) => command.run(session).await,
            Self::Export(command) => command.run(session).await,
            Self::Policy(command) => command.run(session).await,
            Self::Retention(command) => command.run(session).await,
            Self::Objectives(command) => command.run(session).await,
            Self::Check(command) => command.run(session).await,
            Self::Job(command) => command.run(session).await,
            Self::Finding(command) => command.run(session).await,
            Self::Incident(command) => command.run(session).await,
            Self::Repository(command) => command.run(session).await,
            Self::Operator(command) => command.run(session).await,
            Self::Audit(command) => command.run(session).await,
            Self::Completions(command) => command.run(session),
            Self::Version(command) => command.run(session).await,
        }
    }
}
