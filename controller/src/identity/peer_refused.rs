//! Refusals that agents report of their own port: an audit line each, with the reporting host named.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{link::PeerRefused, names::HostName};

use super::{Registrar, registrar::locked};

const ACTION: &str = "peer.refused";
/// Lines that one host may cause in a [`WINDOW`]; what is beyond is one line.
const LINES: u32 = 30;
const WINDOW: TimeDelta = TimeDelta::minutes(1);
/// Of each text: an agent cuts them too, but this is what an agent says.
const LONGEST: usize = 200;

/// How many lines each host has caused lately.
#[derive(Debug, Default)]
pub struct Budgets(HashMap<HostName, (DateTime<Utc>, u32)>);

impl Budgets {
    /// Whether the host may cause one more line.
    fn take(&mut self, host: &HostName, now: DateTime<Utc>) -> bool {
        let (since, used) = self.0.entry(host.clone()).or_insert((now, 0));
        if now - *since >= WINDOW {
            (*since, *used) = (now, 0);
        }
        *used = used.saturating_add(1);
        *used <= LINES
    }
}

impl Registrar {
    /// Writes what the host reported, beside the caller's work; repeats and floods are collapsed.
    pub fn peer_refused(&self, host: &HostName, refused: &PeerRefused) {
        let subject = format!("host/{host}");
        let now = self.0.clock.now();
        let PeerRefused {
            actor,
            what,
            reason,
            times,
        } = refused;
        let (actor, why) = if locked(&self.0.peer_budgets).take(host, now) {
            let why = format!("{} wanted: {} ({host} reports)", cut(what), cut(reason));
            (cut(actor), why)
        } else {
            let why = format!("more different refusals than are written ({host} reports)");
            ("many".to_owned(), why)
        };
        self.note_refusals(ACTION, &actor, &subject, (&why, (*times).max(1)));
    }
}

fn cut(text: &str) -> String {
    let cut = &text[..text.floor_char_boundary(LONGEST.min(text.len()))];
    cut.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_floods_is_cut_off_until_the_next_minute() {
        let mut budgets = Budgets::default();
        let (one, other) = ("web-1".parse().unwrap(), "web-2".parse().unwrap());
        let now = Utc::now();
        let taken = (0..1000).filter(|_| budgets.take(&one, now)).count();
        assert_eq!(taken, LINES as usize);
        assert!(budgets.take(&other, now));
        assert!(!budgets.take(&one, now + TimeDelta::seconds(59)));
        assert!(budgets.take(&one, now + WINDOW));
    }

    #[test]
    fn what_an_agent_says_is_one_short_line() {
        assert_eq!(cut("a\nb"), "a b");
        assert_eq!(cut(&"é".repeat(500)).len(), LONGEST);
    }
}
