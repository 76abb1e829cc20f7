//! One trace a command: a root span here, carried to the controller and from there to the agents.

use holdfast_chassis::telemetry::{
    Guard, LogFormat, Settings, TelemetryError, current_trace_id, init,
};
use tracing::{Instrument as _, info_span};

use crate::{cmd::Command, exit::Exit, failure::Failure, session::Session};

/// stderr belongs to the operator: only our own warnings are logged there (HOLDFAST_LOG asks for more).
const QUIET: &str = "off,holdfast=warn,ctl=warn";

/// Exports spans when OTEL_EXPORTER_OTLP_ENDPOINT is set, until the guard is dropped.
///
/// # Errors
/// A variable of the environment makes no sense.
pub fn start() -> Result<Guard, TelemetryError> {
    init(&Settings {
        service: "ctl",
        version: env!("CARGO_PKG_VERSION"),
        format: LogFormat::Text,
        default_filter: QUIET.into(),
    })
}

/// Runs the command in its span.
///
/// # Errors
/// The command's.
pub async fn run(session: &Session, command: Command) -> Result<Exit, Failure> {
    let name = command.name();
    let span = info_span!(
        "command",
        otel.name = format!("ctl {name}"),
        exit = tracing::field::Empty
    );
    let within = span.clone();
    async move {
        if session.globals.verbose
            && let Some(id) = current_trace_id()
        {
            session.console.say(&format!("trace {id}"));
        }
        let ended = Box::pin(command.run(session)).await;
        let exit = ended.as_ref().map_or_else(Failure::exit, |exit| *exit);
        within.record("exit", exit.name());
        ended
    }
    .instrument(span)
    .await
}
