//! Staying with a job until it ends: through broken connections, until Ctrl-C.

use std::time::{Duration, Instant};

use crate::{
    client::{CallError, Client, Doing as _, Update, Watch},
    failure::Failure,
    output::console::Console,
    session::Session,
    view::{job::JobDetail, proof::preflight_text},
};

pub mod narrate;
pub mod progress;
mod stage;

use narrate::Teller;
use stage::Stage;

/// How long a controller may be away while a job is watched.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two attempts to reach it again.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub enum Followed {
    Ended(Box<JobDetail>),
    /// Ctrl-C: the job goes on without us.
    Detached,
}

/// Whether the preflight is talk (shown when it is there) or the result itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preflight {
    Tell,
    Leave,
}

struct Follower<'a> {
    id: u64,
    client: &'a mut Client,
    console: Console,
    stage: Stage,
    teller: Teller,
    preflight: Preflight,
    heard: Instant,
    lost: bool,
}

/// Tells on stderr what the job does, and hands back its evidence when it has ended.
///
/// # Errors
/// There is no such job, or the controller stays away for ten minutes; the job is not touched.
pub async fn follow(
    session: &Session,
    client: &mut Client,
    id: u64,
    preflight: Preflight,
) -> Result<Followed, Failure> {
    let console = session.console;
    let mut follower = Follower {
        id,
        client,
        console,
        stage: Stage::new(console),
        teller: Teller::new(console.talk_paint()),
        preflight,
        heard: Instant::now(),
        lost: false,
    };
    let followed = tokio::select! {
        ended = follower.run() => ended.map(|detail| Followed::Ended(Box::new(detail))),
        _ = tokio::signal::ctrl_c() => Ok(Followed::Detached),
    };
    follower.stage.close();
    if matches!(followed, Ok(Followed::Detached)) {
        console.say(&format!(
            "\ndetached; job {id} goes on\n  next: ctl job watch {id}"
        ));
    }
    followed
}

impl Follower<'_> {
    async fn run(&mut self) -> Result<JobDetail, Failure> {
        loop {
            let after = self.teller.last_sequence();
            let watching = self.client.watch_job(self.id, after).await;
            let heard = match watching {
                Ok(watch) => self.listen(watch).await,
                Err(error) => Err(error),
            };
            match heard {
                Ok(()) if self.teller.has_ended() => return self.finish().await,
                Ok(()) => tokio::time::sleep(PAUSE).await,
                Err(error) => self.wait_or_give_up(error).await?,
            }
        }
    }

    /// Until the stream ends.
    async fn listen(&mut self, mut watch: Watch) -> Result<(), CallError> {
        while let Some(update) = watch.next().await? {
            self.heard = Instant::now();
            if std::mem::take(&mut self.lost) {
                self.stage.line("the controller is back");
            }
            let told = self.teller.take(&update);
            let asked = told.preflight_is_there && self.preflight == Preflight::Tell;
            if asked && !self.teller.preflight_told {
                self.tell_preflight().await?;
            }
            for line in &told.lines {
                self.stage.line(line);
            }
            if matches!(update, Update::Progress(_)) {
                self.stage.progress(self.teller.board());
            }
        }
        Ok(())
    }

    async fn tell_preflight(&mut self) -> Result<(), CallError> {
        let detail = self.client.job(self.id).await?;
        self.tell(&detail);
        Ok(())
    }

    fn tell(&mut self, detail: &JobDetail) {
        if detail.preflight.is_empty() {
            return;
        }
        self.teller.preflight_told = true;
        let text = preflight_text(&detail.preflight, self.console.talk_paint());
        for line in text.lines() {
            self.stage.line(line);
        }
    }

    /// What stays with the job; the controller may just be starting again.
    async fn finish(&mut self) -> Result<JobDetail, Failure> {
        loop {
            match self.client.job(self.id).await {
                Ok(detail) => {
                    if self.preflight == Preflight::Tell && !self.teller.preflight_told {
                        self.tell(&detail);
                    }
                    return Ok(detail);
                }
                Err(error) => self.wait_or_give_up(error).await?,
            }
        }
    }

    async fn wait_or_give_up(&mut self, error: CallError) -> Result<(), Failure> {
        if !error.may_pass() || self.heard.elapsed() > PATIENCE {
            let mut error = error;
            if error.may_pass() {
                error.told_advice =
                    Some(format!("the job is not touched; ctl job watch {}", self.id));
            }
            return Err(error).doing(|| format!("watch job {}", self.id));
        }
        if !std::mem::replace(&mut self.lost, true) {
            self.stage.line(&format!(
                "lost the controller ({error}); the job goes on, trying to reach it again"
            ));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}
