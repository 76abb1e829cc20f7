//! Follow a job: its stored events, then new ones and progress as they come, until it has ended.

use futures::Stream;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{Engine, JobError, JobId, JobProgress, JobSummary, Update, requests::lines};

/// Updates that a slow watcher may lag behind before it is waited for.
const AHEAD: usize = 64;

/// What a watcher waits for.
enum Woken {
    /// Something may have changed in the catalog.
    Look,
    Progress(JobProgress),
}

impl Engine {
    /// Events with a sequence above `after`, then live ones with progress in between; the job
    /// whenever it changes and last of all, when it has ended.
    ///
    /// # Errors
    /// At once when there is no such job; later, as the last item, when the catalog fails.
    pub async fn watch(
        &self,
        id: JobId,
        after: u64,
    ) -> Result<impl Stream<Item = Result<Update, JobError>> + Send + use<>, JobError> {
        // Before the first look, so that nothing falls in between.
        let rung = self.inner.rung.subscribe();
        let progress = self.inner.board.subscribe();
        self.row(id).await?;
        let (updates, stream) = mpsc::channel(AHEAD);
        let watcher = Watcher {
            engine: self.clone(),
            id,
            after,
            known: None,
            updates,
        };
        tokio::spawn(watcher.follow(rung, progress));
        Ok(ReceiverStream::new(stream))
    }
}

struct Watcher {
    engine: Engine,
    id: JobId,
    after: u64,
    known: Option<JobSummary>,
    updates: mpsc::Sender<Result<Update, JobError>>,
}

/// The watcher has gone, or the job has ended.
struct Over;

impl Watcher {
    async fn follow(
        mut self,
        mut rung: broadcast::Receiver<JobId>,
        mut progress: broadcast::Receiver<(JobId, JobProgress)>,
    ) {
        if self.look().await.is_err() {
            return;
        }
        for told in self.engine.inner.board.latest(self.id) {
            if self.send(Update::Progress(told)).await.is_err() {
                return;
            }
        }
        loop {
            let woken = tokio::select! {
                () = self.updates.closed() => return,
                woken = self.woken(&mut rung, &mut progress) => woken,
            };
            let told = match woken {
                Woken::Look => self.look().await,
                Woken::Progress(progress) => self.send(Update::Progress(progress)).await,
            };
            if told.is_err() {
                return;
            }
        }
    }

    async fn woken(
        &self,
        rung: &mut broadcast::Receiver<JobId>,
        progress: &mut broadcast::Receiver<(JobId, JobProgress)>,
    ) -> Woken {
        let poll = tokio::time::sleep(self.engine.inner.settings.poll);
        tokio::pin!(poll);
        loop {
            tokio::select! {
                () = &mut poll => return Woken::Look,
                ring = rung.recv() => match ring {
                    Ok(job) if job != self.id => {}
                    _ => return Woken::Look,
                },
                told = progress.recv() => match told {
                    Ok((job, progress)) if job == self.id => return Woken::Progress(progress),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return Woken::Look,
                },
            }
        }
    }

    /// Tells what is new in the catalog; over when the job has ended.
    async fn look(&mut self) -> Result<(), Over> {
        let news = self.news().await;
        let (events, job) = match news {
            Ok(news) => news,
            Err(error) => {
                // It ends either way.
                let _ = self.updates.send(Err(error)).await;
                return Err(Over);
            }
        };
        for event in events {
            self.after = event.sequence;
            self.send(Update::Event(event)).await?;
        }
        let has_ended = job.state.has_ended();
        if self.known.as_ref() != Some(&job) {
            self.known = Some(job.clone());
            self.send(Update::Job(job)).await?;
        }
        if has_ended { Err(Over) } else { Ok(()) }
    }

    async fn news(&self) -> Result<(Vec<super::EventLine>, JobSummary), JobError> {
        // The job first: an event that comes in between is told now, its job at the next look.
        let row = self.engine.row(self.id).await?;
        let catalog = &self.engine.inner.world.catalog;
        let events = catalog.job_events(self.id, self.after).await?;
        Ok((lines(&row.spec, &events), row.view()))
    }

    async fn send(&self, update: Update) -> Result<(), Over> {
        self.updates.send(Ok(update)).await.map_err(|_| Over)
    }
}
