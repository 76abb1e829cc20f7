//! A real OpenTelemetry collector, and the spans that it received.

use std::{
    collections::BTreeMap, net::TcpListener, path::PathBuf, process::Command, time::Duration,
};

use tempfile::TempDir;

use crate::{daemon::Daemon, eventually::eventually, host::succeed};

/// Ends when dropped.
#[derive(Debug)]
pub struct Collector {
    // Before the directory of its log.
    daemon: Daemon,
    port: u16,
    _dir: TempDir,
}

/// One span, as the collector printed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    /// "holdfast-agent", …
    pub service: String,
    /// `host.name` of the process.
    pub host: String,
    pub name: String,
    pub trace_id: String,
    pub id: String,
    /// Empty for the first of a trace.
    pub parent_id: String,
    pub attributes: BTreeMap<String, String>,
}

impl Collector {
    /// Installs it when it is missing and starts it on a free port of every address of this machine.
    ///
    /// # Panics
    /// When it cannot be installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("machine/collector");
        let agent = succeed(Command::new(script));
        let dir = tempfile::tempdir().expect("a directory");
        let (port, http_port) = (free_port(), free_port());
        let mut command = Command::new(agent.trim());
        command
            .args(["start", "--exporter", "blackhole"])
            .args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-grpc-endpoint", &format!("0.0.0.0:{port}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http_port}")]);
        let daemon = Daemon::start("collector", dir.path(), command);
        eventually(
            Duration::from_secs(10),
            "an open port of the collector",
            || std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string()),
        );
        Self {
            daemon,
            port,
            _dir: dir,
        }
    }

    /// What makes a process that reaches `address` of this machine export to it, soon after each span.
    #[must_use]
    pub fn environment(&self, address: &str) -> Vec<(String, String)> {
        let endpoint = format!("http://{address}:{}", self.port);
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "200".to_owned()),
        ]
    }

    /// Everything received so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        parse(&self.daemon.log())
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Reads what the collector prints: resources, below each its spans, below each its attributes.
fn parse(log: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut resource = Span::default();
    let mut within = Within::Nothing;
    for line in log.lines() {
        match line {
            "Resource attributes:" => {
                resource = Span::default();
                within = Within::Resource;
            }
            "Attributes:" => within = Within::Span,
            "Events:" | "Links:" => within = Within::Nothing,
            _ if line.starts_with("Span #") => {
                spans.push(resource.clone());
                within = Within::Nothing;
            }
            _ => match (attribute(line), within, spans.last_mut()) {
                (Some(("service.name", value)), Within::Resource, _) => resource.service = value,
                (Some(("host.name", value)), Within::Resource, _) => resource.host = value,
                (Some((key, value)), Within::Span, Some(span)) => {
                    span.attributes.insert(key.to_owned(), value);
                }
                (None, Within::Nothing, Some(span)) => read_head(span, line),
                _ => {}
            },
        }
    }
    spans
}

#[derive(Debug, Clone, Copy)]
enum Within {
    Resource,
    Span,
    Nothing,
}

/// `     -> key: Str(value)`
fn attribute(line: &str) -> Option<(&str, String)> {
    let (key, value) = line.strip_prefix("     -> ")?.split_once(": ")?;
    let (_, value) = value.split_once('(')?;
    Some((key, value.strip_suffix(')').unwrap_or(value).to_owned()))
}

/// `    Trace ID       : 9e54…`
fn read_head(span: &mut Span, line: &str) {
    let Some((key, value)) = line.split_once(':') else {
        return;
    };
    let value = value.trim().to_owned();
    match key.trim() {
        "Trace ID" => span.trace_id = value,
        "Parent ID" => span.parent_id = value,
        "ID" => span.id = value,
        "Name" => span.name = value,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
INFO Starting Rotel.
ResourceSpans #0
Resource SchemaURL: 
Resource attributes:
     -> service.name: Str(ctl)
     -> process.pid: Int(18269)
     -> host.name: Str(web-1)
ScopeSpans #0
InstrumentationScope holdfast 
Span #0
    Trace ID       : 9e54481c931306395bec31e3ce02934f
    Parent ID      : fa298c4f209a07d4
    ID             : 46ea3140a2de1c11
    Name           : holdfast.v1.Operator/CopyDatabase
    Kind           : SPAN_KIND_INTERNAL
Attributes:
     -> target: Str(ctl)
     -> id: Int(7)
Events:
SpanEvent #0
     -> Name: copied
     -> Attributes::
          -> level: Str(INFO)
Span #1
    Trace ID       : 9e54481c931306395bec31e3ce02934f
    Parent ID      : 
    ID             : fa298c4f209a07d4
    Name           : copy
Attributes:
ResourceSpans #0
Resource attributes:
     -> service.name: Str(holdfast-agent)
Span #0
    Trace ID       : 00000000000000000000000000000001
";

    #[test]
    fn what_the_collector_prints_is_understood() {
        let spans = parse(LOG);
        assert_eq!(spans.len(), 3);
        let first = Span {
            service: "ctl".to_owned(),
            host: "web-1".to_owned(),
            name: "holdfast.v1.Operator/CopyDatabase".to_owned(),
            trace_id: "9e54481c931306395bec31e3ce02934f".to_owned(),
            id: "46ea3140a2de1c11".to_owned(),
            parent_id: "fa298c4f209a07d4".to_owned(),
            attributes: BTreeMap::from([
                ("target".to_owned(), "ctl".to_owned()),
                ("id".to_owned(), "7".to_owned()),
            ]),
        };
        assert_eq!(spans[0], first);
        assert_eq!(
            (spans[1].name.as_str(), spans[1].parent_id.as_str()),
            ("copy", "")
        );
        assert_eq!(
            (spans[2].service.as_str(), spans[2].host.as_str()),
            ("holdfast-agent", "")
        );
    }
}
