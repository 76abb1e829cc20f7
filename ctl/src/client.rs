//! The controller's Operator service, in views: the only place (with its parts) that knows the wire.

use std::time::Duration;

use holdfast_chassis::telemetry::propagate;
use holdfast_proto::{WireError, wire, wire::operator_client::OperatorClient};
use tonic::{Request, Status, service::interceptor::InterceptedService, transport::Channel};

mod account;
mod backup;
mod call_error;
mod check;
mod data_store;
mod drill;
mod finding;
mod fleet;
mod guard;
mod incident;
mod job;
mod merge;
mod policy;
mod read;
mod repository;
mod restore;
mod runbook;
mod triage;

pub use backup::{BackupSpec, Started};
pub use call_error::{CallError, CallProblem, Doing};
pub use check::CheckSpec;
pub use drill::{ListedDrills, WantedDrill, Which as DrillOf};
pub use fleet::NewInstance;
pub use job::{CopySpec, Update, Watch};
pub use merge::MergeSpec;
pub use repository::RecoveryKey;
pub use restore::RestoreSpec;
pub use runbook::Agreed;
pub use triage::TriageOf;

/// A job's proof names every table; a database can have many.
const LARGEST_ANSWER: usize = 256 << 20;

/// Each call carries the trace of the command.
type Traced = InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>;

/// One connection to a controller. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    inner: OperatorClient<Traced>,
    within: Duration,
}

impl Client {
    /// `within` is how long one answer may take.
    #[must_use]
    pub fn new(channel: Channel, within: Duration) -> Self {
        Self {
            inner: OperatorClient::with_interceptor(channel, propagate as fn(_) -> _)
                .max_decoding_message_size(LARGEST_ANSWER),
            within,
        }
    }

    /// For calls that wait for work on a host.
    #[must_use]
    pub fn patient(mut self, at_least: Duration) -> Self {
        self.within = self.within.max(at_least);
        self
    }

    /// For calls that nobody shall wait for.
    #[must_use]
    pub fn hasty(mut self, at_most: Duration) -> Self {
        self.within = self.within.min(at_most);
        self
    }

    /// The controller's version, as it tells those whom it knows.
    ///
    /// # Errors
    /// The controller refuses or does not answer.
    pub async fn controller_version(&mut self) -> Result<String, CallError> {
        let answer = within(self.within, self.inner.who_am_i(wire::WhoAmIRequest {})).await?;
        Ok(answer.controller_version)
    }
}

/// One call with its limit in time.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(CallError::from_status(&status)),
        Err(_) => Err(CallError::of(CallProblem::TimedOut(limit))),
    }
}

/// Every element converted, or the first that makes no sense.
fn each<W, V>(
    list: Vec<W>,
    convert: impl Fn(W) -> Result<V, WireError>,
) -> Result<Vec<V>, CallError> {
    Ok(list.into_iter().map(convert).collect::<Result<_, _>>()?)
}
