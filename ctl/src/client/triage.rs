//! How data are, told from their files.

use holdfast_proto::{
    names::HostName,
    task::{DataTriage, TriagedData},
    wire,
};

use super::{CallError, Client, each, within};
use crate::view::triage::TriageReport;

/// What is looked at, by its name on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriageOf {
    Instance(String),
    Volume(String),
}

impl Client {
    /// # Errors
    /// The controller refuses, does not answer, or answers what makes no sense.
    pub async fn triage(
        &mut self,
        host: &HostName,
        of: TriageOf,
    ) -> Result<TriageReport, CallError> {
        let (instance, volume) = match of {
            TriageOf::Instance(name) => (name, String::new()),
            TriageOf::Volume(name) => (String::new(), name),
        };
        let subject = format!("{host}/{instance}{volume}");
        let request = wire::TriageRequest {
            host: host.to_string(),
            instance,
            volume,
        };
        let answer = within(self.within, self.inner.triage(request)).await?;
        let directories = each(answer.directories, DataTriage::try_from)?;
        Ok(TriageReport::of(subject, TriagedData { directories }))
    }
}
