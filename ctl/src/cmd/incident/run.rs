//! `ctl incident run`: a runbook, step by step.

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use crate::{
    client::{Agreed, Client, Doing as _},
    complete,
    confirm::{self, ConfirmError, Given},
    exit::Exit,
    failure::Failure,
    follow::{Followed, Preflight, follow},
    session::Session,
    view::runbook::{Consent, Runbook, Stage, Step},
};

/// Between two looks while somebody's hands are waited for.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub struct Run {
    /// Number of the incident.
    #[arg(add = ArgValueCompleter::new(complete::incidents))]
    id: u64,
    /// Another one than that for what is found.
    #[arg(long, value_name = "NAME", default_value = "")]
    runbook: String,
    /// Print every step with its command, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do what needs a yes without asking; what must be typed is asked for all the same.
    #[arg(long)]
    yes: bool,
    /// Type this, where a step asks for just this.
    #[arg(long = "type", value_name = "NAME")]
    typed: Vec<String>,
    /// Leave this step, the next one, out; needs --reason.
    #[arg(long, value_name = "STEP", requires = "reason")]
    leave_out: Option<String>,
    /// Why it is left out.
    #[arg(long, requires = "leave_out", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
}

impl Run {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut client = session.connect().await?;
        let mut book = self.look(&mut client).await?;
        if self.dry_run {
            session.show(&book)?;
            return Ok(Exit::Ok);
        }
        if let Some((step, reason)) = self.leave_out.clone().zip(self.reason.clone()) {
            let agreed = Agreed::LeaveOut { reason };
            let left_out = client.take_step(self.id, self.runbook.clone(), step.clone(), agreed);
            let left_out = left_out.await;
            (book, _) = left_out.doing(|| format!("leave step {step} out"))?;
        }
        let (mut heading, mut told) = (String::new(), String::new());
        while let Some((number, step)) = book.next() {
            let step = step.clone();
            // When one is over, the next can be for what it has brought about.
            if heading != book.name {
                session.console.say(&format!(
                    "incident {}, runbook {}: {}",
                    self.id, book.name, book.says
                ));
                heading.clone_from(&book.name);
            }
            // What is tried again may be another command.
            if told != step.name || step.stage == Stage::Failed {
                let head = format!("\n{number}/{} {}", book.steps.len(), step.name);
                session.console.say(&head);
                session.console.say(step.told_in_full().trim_end());
                told.clone_from(&step.name);
            }
            match self.go(session, &mut client, &step).await? {
                Gone::On => book = self.look(&mut client).await?,
                Gone::Away => return Ok(Exit::Interrupted),
                Gone::Nowhere => break,
            }
        }
        session.show(&book)?;
        Ok(book.exit())
    }

    async fn look(&self, client: &mut Client) -> Result<Runbook, Failure> {
        let book = client.runbook(self.id, self.runbook.clone()).await;
        book.doing(|| format!("open the runbook of incident {}", self.id))
    }

    async fn go(
        &self,
        session: &Session,
        client: &mut Client,
        step: &Step,
    ) -> Result<Gone, Failure> {
        match (step.stage, step.job) {
            (Stage::Ready, _) | (Stage::Failed, _) => {
                if step.stage == Stage::Failed {
                    session.console.say(&format!("  failed: {}", step.told));
                    // It is asked for before it is tried again: the next try can be with another backup.
                    if self.yes || !self.typed.is_empty() {
                        return Ok(Gone::Nowhere);
                    }
                }
                let word = self.agree(session, step)?;
                let agreed = Agreed::Do { word };
                let taken =
                    client.take_step(self.id, self.runbook.clone(), step.name.clone(), agreed);
                let taken = taken.await;
                let (_, job) = taken.doing(|| format!("do step {}", step.name))?;
                match job {
                    Some(job) => self.stay(session, client, job).await,
                    None => Ok(Gone::On),
                }
            }
            (Stage::UnderWay, Some(job)) => self.stay(session, client, job).await,
            (Stage::UnderWay, None) => {
                session.console.hint(&format!(
                    "  waiting for {} (Ctrl-C leaves it; go on later with the same command)",
                    step.told
                ));
                self.wait(client, step).await
            }
            (Stage::Blocked | Stage::Later | Stage::Done | Stage::Needless, _) => Ok(Gone::Nowhere),
        }
    }

    /// What is typed where the controller wants to see it. What failed is not tried again by itself.
    fn agree(&self, session: &Session, step: &Step) -> Result<String, Failure> {
        let is_asked = match step.consent {
            Some(Consent::Typed) => true,
            Some(Consent::Confirmed) => !self.yes,
            Some(Consent::Automatic) | None => step.stage == Stage::Failed,
        };
        if !is_asked {
            return Ok(String::new());
        }
        let word = if step.word.is_empty() {
            "yes"
        } else {
            &step.word
        };
        let typed = self.typed.iter().find(|typed| *typed == &step.word);
        let given = typed.map_or(Given::Nothing, |typed| Given::Name(typed.clone()));
        confirm::confirm(&session.console, &step.name, &step.says, word, given).map_err(
            |error| match error {
                ConfirmError::NoTerminal { what, .. } if !step.word.is_empty() => {
                    let way = format!("give --type {}", step.word);
                    ConfirmError::NoTerminal { what, way }
                }
                other => other,
            },
        )?;
        Ok(step.word.clone())
    }

    async fn stay(
        &self,
        session: &Session,
        client: &mut Client,
        job: u64,
    ) -> Result<Gone, Failure> {
        match follow(session, client, job, Preflight::Tell).await? {
            Followed::Detached => Ok(Gone::Away),
            Followed::Ended(_) => Ok(Gone::On),
        }
    }

    async fn wait(&self, client: &mut Client, step: &Step) -> Result<Gone, Failure> {
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Ok(Gone::Away),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            let book = self.look(client).await?;
            let now = book.steps.iter().find(|one| one.name == step.name);
            if now.is_none_or(|now| now.stage != Stage::UnderWay) {
                return Ok(Gone::On);
            }
        }
    }
}

/// What became of a step.
enum Gone {
    On,
    /// The operator left; the step goes on without us.
    Away,
    /// Nothing can be done about it now.
    Nowhere,
}
