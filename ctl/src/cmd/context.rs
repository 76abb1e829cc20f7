//! `ctl context`: the controllers in the contexts file.

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use holdfast_chassis::identity::Identity;

use crate::{
    complete,
    context::{Context as Entry, Contexts},
    exit::Exit,
    failure::Failure,
    session::Session,
    view::{
        account,
        context::{ContextChanged, ContextList, ContextRow},
    },
};

#[derive(Debug, Subcommand)]
pub enum Context {
    /// List the contexts.
    List,
    /// Make a context the current one.
    Use {
        /// Context to use from now on.
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: String,
    },
    /// Forget a context; its certificate stays valid at the controller until it expires.
    Remove {
        /// Context to forget.
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: String,
    },
}

impl Context {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let path = session.contexts_file()?;
        let mut contexts = Contexts::load(&path)?;
        match self {
            Self::List => {
                let rows = contexts
                    .contexts
                    .iter()
                    .map(|(name, entry)| row(&contexts, name, entry));
                session.show(&ContextList {
                    contexts: rows.collect(),
                })?;
            }
            Self::Use { name } => {
                contexts.switch_to(&name)?;
                contexts.save(&path)?;
                session.show(&ContextChanged {
                    context: name,
                    change: "current",
                })?;
            }
            Self::Remove { name } => {
                contexts.remove(&name)?;
                contexts.save(&path)?;
                session.show(&ContextChanged {
                    context: name,
                    change: "removed",
                })?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn row(contexts: &Contexts, name: &str, entry: &Entry) -> ContextRow {
    let certificate = entry.credentials(name).ok();
    let certificate = certificate
        .as_ref()
        .map(holdfast_chassis::identity::Credentials::certificate);
    let (operator, role) = match certificate.map(|certificate| &certificate.identity) {
        Some(Identity::Operator { name, role }) => (name.clone(), account::word(*role).to_owned()),
        Some(other) => (other.to_string(), String::new()),
        None => (String::new(), String::new()),
    };
    ContextRow {
        name: name.to_owned(),
        current: contexts.current.as_deref() == Some(name),
        controller: entry.controller.clone(),
        operator,
        role,
        certificate_expires_at: certificate.map(|certificate| certificate.expires_at),
    }
}
