//! The guards of hosts, and the data that they keep.

use holdfast_proto::guard::{Allowance, CountedDatabase, GuardRefusal, GuardStatus};
use serde::Serialize;

use super::{Time, job::moment};
use crate::output::{
    Page, View,
    grid::{Grid, plain, toned},
    paint::Tone,
    units::ago,
};

/// How the guard of a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Guards,
    /// Nothing is refused there.
    NotInstalled,
    /// It is there, and something is wrong.
    Troubled,
    /// It could not be asked.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostGuard {
    pub host: String,
    pub state: State,
    /// Why it could not be asked.
    pub error: String,
    pub version: String,
    pub since: Option<Time>,
    pub calls: u64,
    pub refused: u64,
    pub told_at: Option<Time>,
    pub data: Vec<Guarded>,
    pub troubles: Vec<String>,
    /// The newest, oldest first.
    pub refusals: Vec<GuardRefusal>,
}

/// A data directory that a guard knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guarded {
    pub place: String,
    pub server: String,
    pub instance: String,
    pub in_use: bool,
    pub databases: Vec<CountedDatabase>,
    pub proven_at: Option<Time>,
    pub fresh_until: Option<Time>,
    pub allowance: Option<Allowance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardList {
    pub guards: Vec<HostGuard>,
}

/// Something that was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostRefusal {
    pub host: String,
    #[serde(flatten)]
    pub refusal: GuardRefusal,
}

/// Newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusalList {
    pub refusals: Vec<HostRefusal>,
}

/// One of them, in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardDetail {
    pub guard: HostGuard,
}

/// What a guard knows of a place now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardedPlace {
    pub host: String,
    pub data: Guarded,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Guards => "guards",
            Self::NotInstalled => "not installed",
            Self::Troubled => "does not guard as it should",
            Self::Unknown => "unknown",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Guards => Tone::Good,
            Self::NotInstalled => Tone::Plain,
            Self::Troubled => Tone::Bad,
            Self::Unknown => Tone::Warn,
        }
    }
}

impl HostGuard {
    /// `error`: why there is no status.
    #[must_use]
    pub fn of(host: String, status: Option<GuardStatus>, error: String) -> Self {
        let state = match &status {
            None => State::Unknown,
            Some(status) if status.guards => State::Guards,
            Some(status) if status.installed == Some(false) && status.process.is_none() => {
                State::NotInstalled
            }
            Some(_) => State::Troubled,
        };
        let status = status.unwrap_or_default();
        let process = status.process.as_ref();
        Self {
            host,
            state,
            error,
            version: process.map(|one| one.version.clone()).unwrap_or_default(),
            since: process.map(|one| one.since),
            calls: process.map_or(0, |one| one.calls),
            refused: process.map_or(0, |one| one.refused),
            told_at: process.and_then(|one| one.told_at),
            data: status
                .process
                .map(|one| one.data.into_iter().map(Guarded::from).collect())
                .unwrap_or_default(),
            troubles: status.troubles,
            refusals: status.refusals,
        }
    }

    /// What an operator has to know beside the state.
    fn trouble(&self) -> String {
        match self.state {
            State::Unknown => self.error.clone(),
            State::NotInstalled => "on the host, as root: holdfast-agent guard install".to_owned(),
            State::Guards | State::Troubled => self.troubles.join("\n"),
        }
    }
}

impl Guarded {
    /// "shop (5012 users)".
    fn held(&self) -> String {
        let names = self.databases.iter().map(|database| match database.users {
            Some(users) => format!("{} ({users} users)", database.name),
            None => database.name.clone(),
        });
        names.collect::<Vec<_>>().join("\n")
    }

    /// Whether its removal passes, and why.
    fn removal(&self, page: &Page) -> (Tone, String) {
        if let Some(allowance) = self.allowance.as_ref().filter(|one| page.now < one.until) {
            let until = moment(allowance.until);
            let (by, reason) = (&allowance.by, &allowance.reason);
            return (
                Tone::Warn,
                format!("all passes until {until}\n{by}: {reason}"),
            );
        }
        match self.fresh_until.filter(|until| page.now < *until) {
            Some(until) => (Tone::Good, format!("passes until {}", moment(until))),
            None => (Tone::Plain, "refused".to_owned()),
        }
    }

    /// A line for each database, where one has to have its own.
    fn proven(&self, page: &Page) -> String {
        let by_database = self.databases.iter();
        let by_database = by_database.map(|database| ago(page.now, database.proven_at));
        let each: Vec<_> = by_database.collect();
        let whole = || ago(page.now, self.proven_at);
        match self.proven_at {
            // Of the volume with everything in it.
            Some(at) if self.databases.iter().all(|one| one.proven_at < Some(at)) => whole(),
            _ if each.is_empty() => whole(),
            _ => each.join("\n"),
        }
    }
}

impl View for GuardList {
    fn text(&self, page: &Page) -> String {
        let head = ["HOST", "GUARD", "DATA", "CALLS", "REFUSED", "SINCE", ""];
        let mut grid = Grid::new(page, &head, "there are no hosts").right(&[2, 3, 4]);
        for guard in &self.guards {
            let number = |number: u64| match guard.since {
                Some(_) => number.to_string(),
                None => String::new(),
            };
            grid.row(vec![
                toned(Tone::Strong, &guard.host),
                toned(guard.state.tone(), guard.state.word()),
                plain(number(guard.data.len() as u64)),
                plain(number(guard.calls)),
                plain(number(guard.refused)),
                plain(guard.since.map(moment).unwrap_or_default()),
                plain(guard.trouble()),
            ]);
        }
        grid.render()
    }
}

impl View for RefusalList {
    fn text(&self, page: &Page) -> String {
        let head = ["WHEN", "HOST", "RULE", "PLACE", "CALL", "WHY"];
        let mut grid = Grid::new(page, &head, "nothing was refused");
        for HostRefusal { host, refusal } in &self.refusals {
            grid.row(vec![
                plain(moment(refusal.at)),
                plain(host),
                plain(&refusal.rule),
                toned(Tone::Strong, &refusal.place),
                plain(&refusal.call),
                plain(&refusal.sentence),
            ]);
        }
        grid.render()
    }
}

impl View for GuardDetail {
    fn text(&self, page: &Page) -> String {
        let guard = &self.guard;
        let state = page.paint.tone(guard.state.tone(), guard.state.word());
        let mut out = format!("{}: {state}\n", guard.host);
        if let Some(since) = guard.since {
            out.push_str(&format!(
                "  version {}, since {}: {} calls, {} refused; told {}\n",
                guard.version,
                moment(since),
                guard.calls,
                guard.refused,
                ago(page.now, guard.told_at),
            ));
        }
        for line in guard.trouble().lines() {
            out.push_str(&format!("  ! {line}\n"));
        }
        if guard.since.is_some() {
            out.push('\n');
            out.push_str(&places(&guard.data, page));
        }
        if !guard.refusals.is_empty() {
            out.push_str("\nrefused last:\n");
        }
        for refused in &guard.refusals {
            out.push_str(&format!(
                "  {} {}: {}\n",
                moment(refused.at),
                refused.call,
                refused.sentence
            ));
        }
        out
    }
}

impl View for GuardedPlace {
    fn text(&self, page: &Page) -> String {
        let place = format!("{}/{}", self.host, self.data.place);
        let (tone, removal) = self.data.removal(page);
        let removal = page.paint.tone(tone, &removal.replace('\n', ", "));
        format!("{place}: {removal}\n")
    }
}

fn places(data: &[Guarded], page: &Page) -> String {
    let head = ["DATA IN", "OF", "HOLDS", "PROVEN BACKUP", "REMOVAL"];
    let mut grid = Grid::new(page, &head, "it knows of no database on this host");
    for one in data {
        let (tone, removal) = one.removal(page);
        let server = match one.instance.as_str() {
            "" => one.server.clone(),
            instance => format!("{instance} ({})", one.server),
        };
        let used = if one.in_use { ", in use" } else { "" };
        grid.row(vec![
            toned(Tone::Strong, &one.place),
            plain(format!("{server}{used}")),
            plain(one.held()),
            plain(one.proven(page)),
            toned(tone, removal),
        ]);
    }
    grid.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        output::testing::page,
        view::samples::guard::{allowed, detail, list, refusals},
    };

    #[test]
    fn a_list_says_where_nothing_is_refused_and_what_is_unknown() {
        let text = list().text(&page());
        for part in [
            "web-1  guards",
            "not installed",
            "holdfast-agent guard install",
            "unknown",
            "host web-3 is not connected",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
    }

    #[test]
    fn what_was_refused_is_told_with_host_and_place() {
        assert_eq!(
            refusals().text(&page()),
            "WHEN                     HOST   RULE  PLACE    CALL                    WHY\n\
             2026-11-20 11:40:00 UTC  web-1  loss  shop_db  DELETE volumes/shop_db  volume shop_db holds database \
             shop (5 012 users), last proven backup 9 hours ago\n"
        );
    }

    #[test]
    fn a_guard_tells_what_may_go_and_what_was_refused() {
        let text = detail().text(&page());
        for part in [
            "web-1: guards",
            "shop (5012 users)",
            "10 h ago",
            "never",
            "refused",
            "passes until",
            "DELETE volumes/shop_db: volume shop_db holds",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        let text = allowed().text(&page());
        assert!(
            text.starts_with("web-1/shop_db: all passes until 2026-11-20"),
            "{text}"
        );
        assert!(text.contains("ann: moved to web-2"), "{text}");
    }
}
