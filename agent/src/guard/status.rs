//! How the guard of this host is, for people and for programs.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    daemon_json::DaemonJson,
    facts::Facts,
    gate::Standing,
    install::Sites,
    journal::{self, Refused},
    probe,
    refusal::age,
};

/// Refusals that are shown.
const SHOWN: usize = 5;

#[derive(Debug, Serialize)]
pub struct Status {
    /// The engine asks it, it answers, and what it knows is fresh.
    pub guards: bool,
    /// It is in the engine's settings; unset: they could not be read.
    pub installed: Option<bool>,
    /// Unset: it does not answer.
    pub guard: Option<Standing>,
    /// What is wrong, each with what to do.
    pub troubles: Vec<String>,
    /// The newest, oldest first.
    pub refusals: Vec<Refused>,
}

#[must_use]
pub fn status(sites: &Sites, now: DateTime<Utc>) -> Status {
    let mut troubles = Vec::new();
    let installed = match DaemonJson::load(&sites.daemon_json) {
        Ok(settings) => Some(settings.has_guard()),
        Err(error) => {
            troubles.push(error.to_string());
            None
        }
    };
    let guard = match probe::standing(&sites.socket, probe::PATIENCE) {
        Ok(standing) => Some(standing),
        Err(error) => {
            let socket = sites.socket.display();
            troubles.push(match installed {
                Some(true) => format!(
                    "the guard does not answer on {socket} ({error}), and Docker waits for it; run: holdfast-agent guard recover"
                ),
                _ => format!("no guard answers on {socket} ({error})"),
            });
            None
        }
    };
    if installed == Some(false) {
        troubles
            .push("Docker does not ask the guard; run: holdfast-agent guard install".to_owned());
    }
    if let Some(trouble) = guard
        .as_ref()
        .and_then(|guard| guard.facts_trouble.as_ref())
    {
        troubles.push(format!("{trouble}; older facts are used"));
    }
    match Facts::load(&sites.paths.facts()) {
        Ok(Some(facts)) if facts.is_fresh(now) => {}
        Ok(Some(facts)) => troubles.push(format!(
            "the agent has told nothing for {}: the guard goes on with what it knew then; start the agent",
            age(now - facts.written_at)
        )),
        Ok(None) => troubles.push("the agent has never told the guard anything; start the agent".to_owned()),
        Err(error) => troubles.push(error.to_string()),
    }
    let mut refusals = journal::read(&sites.paths.refusals()).unwrap_or_else(|error| {
        troubles.push(format!("what was refused cannot be read: {error}"));
        Vec::new()
    });
    let older = refusals.len().saturating_sub(SHOWN);
    refusals.drain(..older);
    Status {
        guards: troubles.is_empty() && installed == Some(true) && guard.is_some(),
        installed,
        guard,
        troubles,
        refusals,
    }
}

impl Status {
    #[must_use]
    pub fn as_text(&self, now: DateTime<Utc>) -> String {
        let mut text = String::new();
        let word = if self.guards {
            "guards"
        } else {
            "does NOT guard as it should"
        };
        let _ = writeln!(text, "the guard {word}");
        if let Some(guard) = &self.guard {
            let _ = writeln!(
                text,
                "  pid {}, version {}, for {}: {} calls, {} refused",
                guard.pid,
                guard.version,
                age(now - guard.since),
                guard.calls,
                guard.refused
            );
            let told = guard
                .facts_at
                .map(|at| format!("told {} ago", age(now - at)));
            let told = told.unwrap_or_else(|| "never told anything".to_owned());
            let _ = writeln!(
                text,
                "  knows {} data directories, {told}",
                guard.data_directories
            );
        }
        for trouble in &self.troubles {
            let _ = writeln!(text, "  ! {trouble}");
        }
        for refused in &self.refusals {
            let at = refused.at.format("%Y-%m-%d %H:%M:%S");
            let _ = writeln!(
                text,
                "  {at} refused {}: {}",
                refused.call, refused.sentence
            );
        }
        text
    }
}
