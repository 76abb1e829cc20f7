//! `ctl operator`: who may use this controller.

use clap::{Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use holdfast_chassis::identity::Role;
use holdfast_proto::names::OperatorName;

use crate::{
    client::Doing as _,
    complete,
    confirm::{Given, confirm},
    exit::Exit,
    failure::Failure,
    output::units,
    session::Session,
    suggest::{Typed, with_suggestion},
    view::account::OperatorList,
};

#[derive(Debug, Subcommand)]
pub enum Operator {
    /// List operators, their roles, and until when their certificates hold.
    List,
    /// Print the one command that logs a person in; it works once.
    Invite {
        /// Name of the operator.
        name: OperatorName,
        /// viewer reads; operator runs jobs and checks; admin also handles hosts and operators.
        #[arg(long, value_enum, default_value_t = RoleArg::Operator)]
        role: RoleArg,
        /// Address under which they reach the controller [default: the one it is configured with].
        #[arg(long = "controller-address", value_name = "HOST:PORT")]
        address: Option<String>,
    },
    /// Remove an operator: their certificates are revoked at once.
    Remove {
        /// Operator to remove.
        #[arg(add = ArgValueCompleter::new(complete::operators))]
        name: OperatorName,
        /// Do not ask; with a value, only when it is the operator's name.
        #[arg(short, long, value_name = "NAME", num_args = 0..=1, require_equals = true)]
        yes: Option<Option<String>>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    Viewer,
    Operator,
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Admin => Self::Admin,
        }
    }
}

impl Operator {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        match self {
            Self::List => {
                let operators = client
                    .operators()
                    .await
                    .doing(|| "list the operators".to_owned())?;
                session.show(&OperatorList { operators })?;
            }
            Self::Invite {
                name,
                role,
                address,
            } => {
                let invitation = client
                    .invite_operator(&name, role.into(), address.unwrap_or_default())
                    .await
                    .doing(|| format!("invite operator {name}"))?;
                session.console.hint(&format!(
                    "{name} runs this where their ctl is; it works once and expires {}:",
                    units::ago(session.now(), invitation.expires_at)
                ));
                session.show(&invitation)?;
            }
            Self::Remove { name, yes } => {
                confirm(
                    &session.console,
                    &format!("removing operator {name}"),
                    &format!("{name} will be shut out at once; jobs that {name} started go on."),
                    name.as_str(),
                    Given::from(yes),
                )?;
                let removed = client.remove_operator(&name).await;
                match removed.doing(|| format!("remove operator {name}")) {
                    Ok(removed) => session.show(&removed)?,
                    Err(failure) => {
                        let typed = [Typed::Operator(name.to_string())];
                        return Err(with_suggestion(&mut client, failure, &typed).await);
                    }
                }
            }
        }
        Ok(Exit::Ok)
    }
}
