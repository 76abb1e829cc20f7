//! The agent's side: what the guard has refused and the controller does not have yet, told again until it is stored there.

use std::{
    fs, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use holdfast_chassis::identity::write_private;
use holdfast_proto::{fleet::HostSnapshot, guard::GuardRefusal};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    journal::{self, Refused},
    paths::Paths,
};

/// When nothing else makes the agent look.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);
/// Told at once; the rest when these are stored.
const AT_ONCE: usize = 100;

type Version = (u64, SystemTime);

/// Where the journal is, and how far the controller has it.
#[derive(Debug)]
struct Untold {
    journal: PathBuf,
    mark: PathBuf,
    /// Of the newest refusal that is stored.
    stored_until: Option<DateTime<Utc>>,
    /// Of the journal when it was read last: length and time.
    seen: Option<Version>,
    waiting: Vec<GuardRefusal>,
    trouble: String,
}

/// Works until `shutdown`. What waits goes into `untold` with every look; `stored`: until when the controller has them.
pub async fn run(
    paths: Paths,
    mut snapshots: watch::Receiver<Option<Arc<HostSnapshot>>>,
    untold: watch::Sender<Vec<GuardRefusal>>,
    mut stored: watch::Receiver<Option<DateTime<Utc>>>,
    shutdown: CancellationToken,
) {
    let mut tick = interval(AT_LEAST_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut own = Untold::new(&paths);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = snapshots.changed() => if changed.is_err() { return },
            changed = stored.changed() => if changed.is_err() { return },
            _ = tick.tick() => {}
        }
        snapshots.mark_unchanged();
        own.note(*stored.borrow_and_update());
        // Asked all the time, read seldom.
        if let Some(now) = own.is_other() {
            let read = spawn_blocking(move || {
                own.read(now);
                own
            });
            match read.await {
                Ok(back) => own = back,
                // A defect: `ctl guard status` still shows the newest.
                Err(error) => {
                    warn!(%error, "telling what the guard has refused broke off");
                    return;
                }
            }
        }
        if !own.waiting.is_empty() || !untold.borrow().is_empty() {
            untold.send_replace(own.waiting.clone());
        }
    }
}

impl Untold {
    fn new(paths: &Paths) -> Self {
        let mark = paths.told();
        let stored_until = match fs::read_to_string(&mark) {
            Ok(text) => text.trim().parse().ok(),
            Err(_) => None,
        };
        Self {
            journal: paths.refusals(),
            mark,
            stored_until,
            seen: None,
            waiting: vec![],
            trouble: String::new(),
        }
    }

    /// The controller has them until then. A mark that cannot be written lets it be told them again after a start.
    fn note(&mut self, until: Option<DateTime<Utc>>) {
        let Some(until) = until.filter(|until| Some(*until) != self.stored_until) else {
            return;
        };
        self.stored_until = Some(until);
        self.seen = None;
        if let Err(error) = write_private(&self.mark, until.to_rfc3339().as_bytes()) {
            warn!(%error, "how far the controller knows what the guard refused could not be noted");
        }
    }

    /// The journal, when it is not what was read last.
    fn is_other(&mut self) -> Option<Version> {
        let found =
            fs::metadata(&self.journal).and_then(|found| Ok((found.len(), found.modified()?)));
        match found {
            Ok(now) => Some(now).filter(|_| self.seen != Some(now)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    fn read(&mut self, now: Version) {
        match journal::read(&self.journal) {
            Ok(all) => {
                self.seen = Some(now);
                self.trouble.clear();
                self.waiting = waiting(all, self.stored_until);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let trouble = error.to_string();
        if trouble != self.trouble {
            warn!(%error, "what the guard has refused cannot be read");
        }
        self.trouble = trouble;
    }
}

/// Behind the one that is stored, wherever the clock stood meanwhile; where that one is not there any more, the younger ones.
fn waiting(all: Vec<Refused>, stored_until: Option<DateTime<Utc>>) -> Vec<GuardRefusal> {
    let last = all.iter().rposition(|one| Some(one.at) == stored_until);
    let begin = match (last, stored_until) {
        (Some(last), _) => last + 1,
        (None, Some(until)) => all
            .iter()
            .position(|one| one.at > until)
            .unwrap_or(all.len()),
        (None, None) => 0,
    };
    let behind = all.into_iter().skip(begin).take(AT_ONCE);
    behind.map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::refusal::Rule;

    fn refused(seconds: i64) -> Refused {
        Refused {
            at: DateTime::from_timestamp(seconds, 5).unwrap(),
            rule: Rule::Loss,
            place: "shop_db".to_owned(),
            call: "DELETE volumes/shop_db".to_owned(),
            sentence: "no".to_owned(),
        }
    }

    fn look(own: &mut Untold) {
        if let Some(now) = own.is_other() {
            own.read(now);
        }
    }

    fn times(waiting: &[GuardRefusal]) -> Vec<i64> {
        waiting.iter().map(|one| one.at.timestamp()).collect()
    }

    #[test]
    fn what_is_stored_is_not_told_again_by_this_agent_or_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::of(folder.path());
        paths.prepare().unwrap();
        let mut own = Untold::new(&paths);
        look(&mut own);
        assert_eq!(own.waiting, []);
        for at in [1, 2] {
            journal::append(&paths.refusals(), &refused(at)).unwrap();
        }
        look(&mut own);
        assert_eq!(times(&own.waiting), [1, 2]);
        own.note(Some(refused(1).at));
        look(&mut own);
        assert_eq!(times(&own.waiting), [2]);
        let mut next = Untold::new(&paths);
        look(&mut next);
        assert_eq!(times(&next.waiting), [2]);
        next.note(Some(refused(2).at));
        look(&mut next);
        assert_eq!(next.waiting, []);
        journal::append(&paths.refusals(), &refused(3)).unwrap();
        look(&mut next);
        assert_eq!(times(&next.waiting), [3]);
    }

    #[test]
    fn a_clock_that_was_set_back_hides_nothing() {
        let all = || vec![refused(10), refused(20), refused(5)];
        let told = |until| times(&waiting(all(), Some(refused(until).at)));
        assert_eq!(told(20), [5]);
        // The one that is stored has gone with the older half.
        assert_eq!(told(7), [10, 20, 5]);
        assert_eq!(told(30), [0; 0]);
        assert_eq!(times(&waiting(all(), None)), [10, 20, 5]);
    }

    #[test]
    fn many_are_told_in_turns() {
        let all: Vec<_> = (0..250).map(refused).collect();
        let first = waiting(all.clone(), None);
        assert_eq!(first.len(), AT_ONCE);
        let next = waiting(all, first.last().map(|one| one.at));
        assert_eq!(times(&next)[0], 100);
    }
}
