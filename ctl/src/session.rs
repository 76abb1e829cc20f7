//! One run of `ctl`: where it talks to, as whom, and how it shows what it hears.

use std::{path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use holdfast_chassis::clock::{SharedClock, SystemClock};
use tonic::transport::Channel;

use crate::{
    args::Globals,
    client::Client,
    connect::{
        DialError, dial,
        renew::{is_due, renew},
    },
    context::{Context, Contexts, default_path},
    failure::Failure,
    output::{View, console::Console},
};

/// How long a connection may take to come about.
const DIAL: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct Session {
    pub console: Console,
    pub clock: SharedClock,
    pub globals: Globals,
}

impl Session {
    #[must_use]
    pub fn new(globals: Globals) -> Self {
        Self {
            console: Console::new(globals.output, globals.no_color),
            clock: Arc::new(SystemClock),
            globals,
        }
    }

    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// # Errors
    /// stdout cannot be written.
    pub fn show(&self, view: &impl View) -> Result<(), Failure> {
        Ok(self.console.show(view, self.now())?)
    }

    /// # Errors
    /// Nobody has said where it is.
    pub fn contexts_file(&self) -> Result<PathBuf, Failure> {
        match &self.globals.contexts_file {
            Some(path) => Ok(path.clone()),
            None => Ok(default_path()?),
        }
    }

    /// Connects with the context in use and renews its certificate when it is time.
    ///
    /// # Errors
    /// Not logged in, nobody answers, or the controller refuses us.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let path = self.contexts_file()?;
        let contexts = Contexts::load(&path)?;
        let (name, context) = contexts.pick(self.globals.context.as_deref(), &path)?;
        let address = self
            .globals
            .controller
            .as_deref()
            .unwrap_or(&context.controller);
        let channel = dial(name, context, address, DIAL.min(self.globals.timeout)).await?;
        self.renew_when_due(channel.clone(), &path, name, context)
            .await;
        Ok(Client::new(channel, self.globals.timeout))
    }

    /// A renewal that fails is worth a line, never the command that was asked for.
    async fn renew_when_due(
        &self,
        channel: Channel,
        path: &std::path::Path,
        name: &str,
        held: &Context,
    ) {
        let Ok(credentials) = held.credentials(name) else {
            return;
        };
        let certificate = credentials.certificate();
        if !is_due(certificate, self.now()) {
            return;
        }
        if let Err(error) = renew(channel, path, name, held).await {
            let cause = std::error::Error::source(&error)
                .map(|cause| format!(": {cause}"))
                .unwrap_or_default();
            self.console.say(&format!(
                "warning: the certificate of context {name} expires {} and could not be renewed: {error}{cause}",
                crate::output::units::ago(self.now(), Some(certificate.expires_at)),
            ));
        }
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Context(error) => error.into(),
            DialError::Connect(error) => error.into(),
        }
    }
}
