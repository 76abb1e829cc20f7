//! `ctl login`: a key made here, a certificate for it, both in the contexts file.

use std::path::PathBuf;

use clap::Args;
use holdfast_chassis::identity::Identity;

use crate::{
    connect::login::{bootstrap_token, log_in},
    context::Contexts,
    exit::Exit,
    failure::Failure,
    session::Session,
    view::{account, context::LoggedIn},
};

/// Where a controller keeps its state when nobody says otherwise.
const STATE_DIR: &str = "/var/lib/holdfast";
/// The controller is on this machine when its state directory is.
const HERE: &str = "127.0.0.1:7443";

#[derive(Debug, Args)]
#[command(
    after_help = "On the controller's own machine, as root: ctl login\nElsewhere: the line that `ctl operator invite` printed."
)]
pub struct Login {
    /// One-time token of `ctl operator invite`; needs --controller.
    #[arg(long, env = "HOLDFAST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// State directory of the controller on this machine, which holds the token of the first login.
    #[arg(long, value_name = "PATH", default_value = STATE_DIR, conflicts_with = "token")]
    state_dir: PathBuf,
    /// Name of the context to make [default: --context, or "default"].
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
}

impl Login {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let path = session.contexts_file()?;
        // Before the token is spent.
        let mut contexts = Contexts::load(&path)?;
        let address = match (&session.globals.controller, &self.token) {
            (Some(address), _) => address.clone(),
            (None, None) => HERE.to_owned(),
            (None, Some(_)) => {
                return Err(Failure::Usage {
                    what: "--token needs the address of its controller".to_owned(),
                    advice: "run the whole command that `ctl operator invite` printed".to_owned(),
                });
            }
        };
        let token = match self.token {
            Some(token) => token,
            None => bootstrap_token(&self.state_dir)?,
        };
        let context = log_in(&address, &token, session.globals.timeout).await?;
        let name = self
            .name
            .or_else(|| session.globals.context.clone())
            .unwrap_or_else(|| "default".to_owned());
        let credentials = context.credentials(&name)?;
        let certificate = credentials.certificate();
        let (operator, role) = match &certificate.identity {
            Identity::Operator { name, role } => (name.clone(), account::word(*role).to_owned()),
            other => (other.to_string(), String::new()),
        };
        let logged_in = LoggedIn {
            context: name.clone(),
            controller: context.controller.clone(),
            operator,
            role,
            certificate_expires_at: Some(certificate.expires_at),
            file: path.display().to_string(),
        };
        contexts.contexts.insert(name.clone(), context);
        contexts.current = Some(name);
        contexts.save(&path)?;
        session.show(&logged_in)?;
        session.console.hint("next: ctl status");
        Ok(Exit::Ok)
    }
}
