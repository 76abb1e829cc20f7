//! `ctl status`: is all well, and if not, what hurts.

use std::time::Duration;

use clap::Args;

use crate::{
    client::Doing as _,
    exit::Exit,
    failure::Failure,
    output::{View as _, console::Format},
    session::Session,
};

const EVERY: Duration = Duration::from_secs(2);
/// Cursor home, then everything behind it cleared: no flicker.
const REDRAW: &str = "\u{1b}[H\u{1b}[J";

#[derive(Debug, Args)]
pub struct Status {
    /// Draw it anew every two seconds, until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
}

impl Status {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        if !self.watch {
            let status = client
                .status()
                .await
                .doing(|| "ask for the status".to_owned())?;
            session.show(&status)?;
            return Ok(Exit::Ok);
        }
        if session.console.format == Format::Json {
            return Err(Failure::Usage {
                what: "--watch draws for people; it does not go with -o json".to_owned(),
                advice: "leave one of them away".to_owned(),
            });
        }
        loop {
            let screen = match client.status().await {
                Ok(status) => status.text(&session.console.page(session.now())),
                Err(error) if error.may_pass() => format!("{error}\n"),
                Err(error) => return Err(error).doing(|| "ask for the status".to_owned()),
            };
            session.console.raw(&format!("{REDRAW}{screen}"))?;
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
            }
        }
    }
}
