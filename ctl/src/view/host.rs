//! Hosts: who they are, whether they speak.

use comfy_table::Cell;
use serde::Serialize;

use super::{Time, container::Container, event::EngineEvent, finding::Finding, instance::Instance};
use crate::output::{
    Page, View,
    grid::{Grid, or_dash, plain, toned},
    paint::Tone,
    units,
};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Host {
    pub name: String,
    pub connected: bool,
    pub enrolled_at: Option<Time>,
    pub last_seen_at: Option<Time>,
    pub agent_version: String,
    pub operating_system: String,
    pub container_engine: String,
    pub engine_error: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    pub agent_rss_bytes: u64,
    pub certificate_expires_at: Option<Time>,
    pub peer_addresses: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostList {
    pub hosts: Vec<Host>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostDetail {
    pub host: Host,
    pub instances: Vec<Instance>,
    pub containers: Vec<Container>,
    pub findings: Vec<Finding>,
    /// The last ones.
    pub events: Vec<EngineEvent>,
}

/// The command that joins a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnrolledHost {
    pub name: String,
    pub command: String,
    pub expires_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemovedHost {
    pub name: String,
    pub revoked_certificates: u32,
    pub was_connected: bool,
}

impl Host {
    /// "connected", "silent" or "never connected", and how that is meant.
    #[must_use]
    pub fn state(&self) -> (&'static str, Tone) {
        match (self.connected, self.last_seen_at) {
            (true, _) => ("connected", Tone::Good),
            (false, Some(_)) => ("silent", Tone::Bad),
            (false, None) => ("never connected", Tone::Warn),
        }
    }
}

impl View for HostList {
    fn text(&self, page: &Page) -> String {
        let mut grid = Grid::new(
            page,
            &["HOST", "STATE", "SEEN", "ENGINE", "AGENT", "MEMORY"],
            "no hosts; `ctl host enrol NAME` prints the command that joins one",
        )
        .right(&[5]);
        for host in &self.hosts {
            grid.row(row(host, page));
        }
        grid.render()
    }
}

impl View for HostDetail {
    fn text(&self, page: &Page) -> String {
        let host = &self.host;
        let (state, tone) = host.state();
        let mut out = format!(
            "{}  {}\n",
            page.paint.tone(Tone::Strong, &host.name),
            page.paint.tone(tone, state)
        );
        let mut line = |label: &str, value: &str| {
            if !value.is_empty() {
                out.push_str(&format!("  {label:<12} {value}\n"));
            }
        };
        line("seen", &units::ago(page.now, host.last_seen_at));
        line("enrolled", &units::ago(page.now, host.enrolled_at));
        line("system", &host.operating_system);
        line("engine", &host.container_engine);
        line("engine error", &host.engine_error);
        let resident = match host.agent_rss_bytes {
            0 => String::new(),
            bytes => format!(", {} resident", units::size(bytes)),
        };
        line("agent", &format!("{}{resident}", host.agent_version));
        line(
            "machine",
            &format!("{} cpus, {}", host.cpus, units::size(host.memory_bytes)),
        );
        line(
            "certificate",
            &match host.certificate_expires_at {
                Some(at) => format!("expires {}", units::ago(page.now, Some(at))),
                None => String::new(),
            },
        );
        line("peers dial", &host.peer_addresses.join(", "));
        section(
            &mut out,
            page,
            "INSTANCES",
            super::instance::table(&self.instances, page),
        );
        section(
            &mut out,
            page,
            "CONTAINERS",
            super::container::table(&self.containers, page),
        );
        if !self.events.is_empty() {
            section(
                &mut out,
                page,
                "EVENTS",
                super::event::table(&self.events, page),
            );
        }
        if !self.findings.is_empty() {
            section(
                &mut out,
                page,
                "FINDINGS",
                super::finding::table(&self.findings, page),
            );
        }
        out
    }
}

impl View for EnrolledHost {
    fn text(&self, _: &Page) -> String {
        format!("{}\n", self.command)
    }
}

impl View for RemovedHost {
    fn text(&self, _: &Page) -> String {
        if self.revoked_certificates == 0 {
            return format!("host {} had not joined; its token is void now\n", self.name);
        }
        let session = if self.was_connected {
            "; its session has been ended"
        } else {
            ""
        };
        format!(
            "host {} is removed: {} revoked{session}\n",
            self.name,
            units::plural(self.revoked_certificates.into(), "certificate")
        )
    }
}

fn row(host: &Host, page: &Page) -> Vec<Cell> {
    let (state, tone) = host.state();
    let engine = if host.engine_error.is_empty() {
        or_dash(&host.container_engine)
    } else {
        toned(Tone::Warn, &host.engine_error)
    };
    vec![
        toned(Tone::Strong, &host.name),
        toned(tone, state),
        plain(units::ago(page.now, host.last_seen_at)),
        engine,
        or_dash(&host.agent_version),
        match host.agent_rss_bytes {
            0 => or_dash(""),
            bytes => plain(units::size(bytes)),
        },
    ]
}

/// A headed part of a longer text.
pub(crate) fn section(out: &mut String, page: &Page, head: &str, body: String) {
    out.push('\n');
    out.push_str(&page.paint.tone(Tone::Strong, head));
    out.push('\n');
    out.push_str(&body);
}

#[cfg(test)]
mod tests {
    use crate::{
        output::{View as _, testing::page},
        view::samples,
    };

    #[test]
    fn a_list_tells_who_is_silent() {
        assert_eq!(
            samples::host_list().text(&page()),
            "HOST   STATE            SEEN     ENGINE         AGENT  MEMORY\n\
             web-1  connected        2 s ago  Docker 28.5.2  0.1.0  19 MiB\n\
             web-2  silent           9 m ago  Docker 28.5.2  0.1.0  19 MiB\n\
             web-3  never connected  never    -              -           -\n"
        );
    }

    #[test]
    fn one_host_in_detail() {
        let text = samples::host_detail().text(&page());
        assert!(
            text.starts_with("web-1  connected\n  seen         2 s ago\n  enrolled     19 d ago\n"),
            "{text}"
        );
        assert!(
            text.contains("  agent        0.1.0, 19 MiB resident\n"),
            "{text}"
        );
        assert!(text.contains("  certificate  expires in 29 d\n"), "{text}");
        assert!(text.contains("\nINSTANCES\n"), "{text}");
        assert!(
            text.contains("\nEVENTS\nAT ") && text.contains("container  die    shop-db\n"),
            "{text}"
        );
        assert!(text.contains("\nFINDINGS\n"), "{text}");
    }

    #[test]
    fn removal_says_what_it_ended() {
        assert_eq!(
            samples::removed_host().text(&page()),
            "host web-1 is removed: 2 certificates revoked; its session has been ended\n"
        );
        let token_only = super::RemovedHost {
            revoked_certificates: 0,
            was_connected: false,
            ..samples::removed_host()
        };
        assert_eq!(
            token_only.text(&page()),
            "host web-1 had not joined; its token is void now\n"
        );
    }
}
