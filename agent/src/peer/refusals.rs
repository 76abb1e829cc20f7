//! Who was refused at this agent's own port, for the controller's audit log: bounded, repeats collapsed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_proto::link::PeerRefused;
use tokio::{sync::Notify, time::Instant};

/// Different refusals that wait at most; those beyond are counted together.
const KEPT: usize = 16;
/// Between two tellings. A flood reaches the session as so many lines, however long it lasts.
const PAUSE: Duration = Duration::from_secs(10);
/// Of what a stranger may say of itself.
const LONGEST: usize = 200;

/// Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    counts: BTreeMap<(String, String, String), u64>,
    /// When the last ones were told.
    told: Option<Instant>,
}

impl Refusals {
    /// Never waits.
    pub fn note(&self, actor: &str, what: &str, reason: &str) {
        let mut waiting = self.waiting();
        let key = (cut(actor), cut(what), cut(reason));
        let is_room = waiting.counts.len() < KEPT || waiting.counts.contains_key(&key);
        let key = if is_room { key } else { many() };
        *waiting.counts.entry(key).or_default() += 1;
        drop(waiting);
        self.0.news.notify_one();
    }

    /// All that wait, as soon as there are some and the last telling is long enough ago. Who stops waiting
    /// for it loses nothing.
    pub async fn next(&self) -> Vec<PeerRefused> {
        loop {
            let heard = self.0.news.notified();
            let told = self.waiting().told;
            if let Some(told) = told {
                tokio::time::sleep_until(told + PAUSE).await;
            }
            let taken = self.take();
            if !taken.is_empty() {
                return taken;
            }
            heard.await;
        }
    }

    fn take(&self) -> Vec<PeerRefused> {
        let mut waiting = self.waiting();
        let counts = std::mem::take(&mut waiting.counts);
        if !counts.is_empty() {
            waiting.told = Some(Instant::now());
        }
        let refused = counts.into_iter();
        refused
            .map(|((actor, what, reason), times)| PeerRefused {
                actor,
                what,
                reason,
                times,
            })
            .collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn many() -> (String, String, String) {
    let words = [
        "many",
        "",
        "more different refusals than are told one by one",
    ];
    let [actor, what, reason] = words.map(str::to_owned);
    (actor, what, reason)
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST.min(text.len()))].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_becomes_a_few_lines() {
        let refusals = Refusals::default();
        refusals.note("host/web-3", "image", "not yours");
        assert_eq!(refusals.next().await[0].times, 1);
        let begun = Instant::now();
        for n in 0..10_000 {
            refusals.note("host/web-3", "image", "not yours");
            refusals.note(&format!("10.0.0.{n}"), "tls", "unknown authority");
        }
        let told = refusals.next().await;
        assert!(begun.elapsed() >= PAUSE - Duration::from_millis(1));
        assert_eq!(told.len(), KEPT + 1);
        assert_eq!(
            told.iter().map(|refused| refused.times).sum::<u64>(),
            20_000
        );
        let times = |actor: &str| told.iter().find(|r| r.actor == actor).map(|r| r.times);
        assert_eq!(times("host/web-3"), Some(10_000));
        assert_eq!(times("many"), Some(10_000 - KEPT as u64 + 1));
        let nothing = tokio::time::timeout(PAUSE * 3, refusals.next()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_of_the_first_at_once() {
        let refusals = Refusals::default();
        let waiting = tokio::spawn({
            let refusals = refusals.clone();
            async move { refusals.next().await }
        });
        tokio::task::yield_now().await;
        refusals.note("10.0.0.1", &"é".repeat(300), "plaintext");
        let told = waiting.await.unwrap();
        assert_eq!(told[0].actor, "10.0.0.1");
        assert_eq!(told[0].what.len(), LONGEST);
    }
}
