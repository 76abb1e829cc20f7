//! How the guard of this host is, for people and for programs.

use std::{fmt::Write as _, path::Path};

use chrono::{DateTime, Utc};
use holdfast_proto::guard::{GuardStatus, GuardedData};

use super::{
    daemon_json::{self, DaemonJson},
    facts::Facts,
    journal,
    paths::{self, Paths},
    probe,
    refusal::age,
};

/// Refusals that are shown.
const SHOWN: usize = 5;

/// Where a guard and its engine are.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    pub socket: &'a Path,
    pub daemon_json: &'a Path,
    pub paths: &'a Paths,
}

impl<'a> Places<'a> {
    /// Where they are unless somebody says otherwise.
    #[must_use]
    pub fn usual(paths: &'a Paths) -> Self {
        Self {
            socket: Path::new(paths::SOCKET),
            daemon_json: Path::new(daemon_json::USUAL),
            paths,
        }
    }
}

/// Asks the process that answers, and reads what it left; the newest refusals are in it.
#[must_use]
pub fn status(places: &Places<'_>, now: DateTime<Utc>) -> GuardStatus {
    let mut troubles = Vec::new();
    let installed = match DaemonJson::load(places.daemon_json) {
        Ok(settings) => Some(settings.has_guard()),
        Err(error) => {
            troubles.push(error.to_string());
            None
        }
    };
    let process = match probe::standing(places.socket, probe::PATIENCE) {
        Ok(standing) => Some(standing),
        Err(error) => {
            let socket = places.socket.display();
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
    let trouble = process.as_ref().map(|process| process.trouble.as_str());
    if let Some(trouble) = trouble.filter(|trouble| !trouble.is_empty()) {
        troubles.push(format!("{trouble}; older facts are used"));
    }
    match Facts::load(&places.paths.facts()) {
        Ok(Some(facts)) if facts.is_fresh(now) => {}
        Ok(Some(facts)) => troubles.push(format!(
            "the agent has told nothing for {}: the guard goes on with what it knew then; start the agent",
            age(now - facts.written_at)
        )),
        Ok(None) => troubles.push("the agent has never told the guard anything; start the agent".to_owned()),
        Err(error) => troubles.push(error.to_string()),
    }
    let mut refusals = journal::read(&places.paths.refusals()).unwrap_or_else(|error| {
        troubles.push(format!("what was refused cannot be read: {error}"));
        Vec::new()
    });
    let older = refusals.len().saturating_sub(SHOWN);
    refusals.drain(..older);
    GuardStatus {
        guards: troubles.is_empty() && installed == Some(true) && process.is_some(),
        installed,
        process,
        troubles,
        refusals: refusals.into_iter().map(Into::into).collect(),
    }
}

/// For people.
#[must_use]
pub fn as_text(status: &GuardStatus, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    let word = if status.guards {
        "guards"
    } else {
        "does NOT guard as it should"
    };
    let _ = writeln!(text, "the guard {word}");
    if let Some(process) = &status.process {
        let _ = writeln!(
            text,
            "  pid {}, version {}, for {}: {} calls, {} refused",
            process.pid,
            process.version,
            age(now - process.since),
            process.calls,
            process.refused
        );
        let told = process
            .told_at
            .map(|at| format!("told {} ago", age(now - at)));
        let told = told.unwrap_or_else(|| "never told anything".to_owned());
        let _ = writeln!(
            text,
            "  knows {} data directories, {told}",
            process.data.len()
        );
        for data in &process.data {
            let _ = writeln!(text, "  {}", line(data, now));
        }
    }
    for trouble in &status.troubles {
        let _ = writeln!(text, "  ! {trouble}");
    }
    for refused in &status.refusals {
        let at = refused.at.format("%Y-%m-%d %H:%M:%S");
        let _ = writeln!(
            text,
            "  {at} refused {}: {}",
            refused.call, refused.sentence
        );
    }
    text
}

/// "shop_db: PostgreSQL 16 of shop-db, in use, kept".
fn line(data: &GuardedData, now: DateTime<Utc>) -> String {
    let of = match data.instance.as_str() {
        "" => String::new(),
        instance => format!(" of {instance}"),
    };
    let used = if data.in_use { ", in use" } else { "" };
    let protection = &data.protection;
    let allowance = protection.allowance.as_ref();
    let kept = match allowance.filter(|_| protection.is_allowed(now)) {
        Some(allowance) => format!(
            "everything is allowed for {} ({}: {})",
            age(allowance.until - now),
            allowance.by,
            allowance.reason
        ),
        None if protection.is_fresh(now) => "may go, its proven backup is fresh".to_owned(),
        None => "kept".to_owned(),
    };
    format!("{}: {}{of}{used}, {kept}", protection.place, data.server)
}
