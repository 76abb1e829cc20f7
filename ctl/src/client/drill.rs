//! Drills: run, listed, shown with their signed report.

use holdfast_proto::{
    WireError,
    names::DatabaseName,
    time::{from_duration, from_timestamp},
    wire,
};

use super::{
    CallError, Client, each,
    read::{required, time},
    within,
};
use crate::view::drill::{DrillLine, Drilling, SignedReport, State};

/// What is asked for: a drill, or that of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Drill(u64),
    Job(u64),
}

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    /// Which backup was chosen, and the job that drills it.
    pub async fn run_drill(
        &mut self,
        backup: String,
        host: String,
        image: String,
    ) -> Result<Drilling, CallError> {
        let request = wire::RunDrillRequest {
            backup,
            host,
            image,
        };
        let answer = within(self.within, self.inner.run_drill(request)).await?;
        let wire::RunDrillResponse {
            job,
            backup,
            source,
            host,
            taken_at,
        } = answer;
        let source = required("RunDrillResponse", "source", source)?;
        Ok(Drilling {
            job,
            backup,
            source: DatabaseName::try_from(source)?.to_string(),
            host,
            taken_at: from_timestamp("RunDrillResponse", "taken_at", taken_at)?,
        })
    }

    /// Newest first; of all databases without one.
    pub async fn drills(&mut self, of: Option<DatabaseName>) -> Result<Vec<DrillLine>, CallError> {
        let request = wire::ListDrillsRequest {
            database: of.map(Into::into),
        };
        let answer = within(self.within, self.inner.list_drills(request)).await?;
        each(answer.drills, DrillLine::try_from)
    }

    /// None in the place of the report: it runs.
    pub async fn drill(
        &mut self,
        which: Which,
    ) -> Result<(DrillLine, Option<SignedReport>), CallError> {
        let (id, job) = match which {
            Which::Drill(id) => (id, 0),
            Which::Job(job) => (0, job),
        };
        let request = wire::GetDrillRequest { id, job };
        let answer = within(self.within, self.inner.get_drill(request)).await?;
        let wire::GetDrillResponse {
            drill,
            statement,
            signature,
            certificate_pem,
        } = answer;
        let drill = required("GetDrillResponse", "drill", drill)?;
        let signed = (!statement.is_empty())
            .then(|| SignedReport::read(statement, &signature, certificate_pem));
        let signed = signed.transpose().map_err(|reason| WireError::Invalid {
            message: "GetDrillResponse",
            field: "statement",
            reason,
        })?;
        Ok((DrillLine::try_from(drill)?, signed))
    }
}

impl TryFrom<wire::Drill> for DrillLine {
    type Error = WireError;

    fn try_from(drill: wire::Drill) -> Result<Self, WireError> {
        let wire::Drill {
            id,
            job,
            database,
            backup,
            taken_at,
            host,
            started_at,
            ended_at,
            verdict,
            broken,
            reason,
            took,
            rpo,
        } = drill;
        let seconds = |field, span: Option<prost_types::Duration>| {
            span.map(|span| from_duration("Drill", field, Some(span)))
                .transpose()
                .map(|span| span.map(|span| span.as_secs_f64()))
        };
        let known = wire::DrillVerdict::try_from(verdict).map_err(|_| WireError::Invalid {
            message: "Drill",
            field: "verdict",
            reason: format!("{verdict} is not a value that this version knows"),
        })?;
        Ok(Self {
            id,
            job,
            database: DatabaseName::try_from(required("Drill", "database", database)?)?.to_string(),
            backup,
            taken_at: from_timestamp("Drill", "taken_at", taken_at)?,
            host,
            started_at: from_timestamp("Drill", "started_at", started_at)?,
            ended_at: time("Drill", "ended_at", ended_at)?,
            state: match known {
                wire::DrillVerdict::Unspecified => State::Running,
                wire::DrillVerdict::Proven => State::Proven,
                wire::DrillVerdict::Damaged => State::Damaged,
                wire::DrillVerdict::CouldNotRun => State::CouldNotRun,
            },
            broken,
            reason,
            took_seconds: seconds("took", took)?,
            rpo_seconds: seconds("rpo", rpo)?,
        })
    }
}
