//! Drills: run, listed, shown with their signed report.

use holdfast_proto::{
    WireError,
    drill::DrillKind,
    names::{DatabaseName, HostName},
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

/// What is to be drilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedDrill {
    /// By name; on that host, from that image, where they are given.
    Backup {
        backup: String,
        on: Option<HostName>,
        image: Option<String>,
    },
    Rebuild {
        host: HostName,
        on: Option<HostName>,
    },
    Offsite {
        host: HostName,
    },
}

/// All that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedDrills {
    pub database: Option<DatabaseName>,
    pub host: Option<HostName>,
    pub kind: Option<DrillKind>,
}

/// # Errors
/// All of them: the controller refuses, does not answer, or answers what makes no sense.
impl Client {
    /// What was chosen, and the job that drills it.
    pub async fn run_drill(&mut self, wanted: WantedDrill) -> Result<Drilling, CallError> {
        let answer = within(self.within, self.inner.run_drill(asked(wanted))).await?;
        let wire::RunDrillResponse {
            job,
            kind,
            subject,
            backup,
            taken_at,
            host,
            backups,
        } = answer;
        Ok(Drilling {
            job,
            kind: known_kind("RunDrillResponse", kind)?,
            subject,
            backup: (backup != 0).then_some(backup),
            taken_at: time("RunDrillResponse", "taken_at", taken_at)?,
            host: (!host.is_empty()).then_some(host),
            backups,
        })
    }

    /// Newest first; all that fit.
    pub async fn drills(&mut self, of: ListedDrills) -> Result<Vec<DrillLine>, CallError> {
        let ListedDrills {
            database,
            host,
            kind,
        } = of;
        let request = wire::ListDrillsRequest {
            database: database.map(Into::into),
            host: host.map(String::from).unwrap_or_default(),
            kind: kind.map_or(wire::DrillKind::Unspecified, wire_kind).into(),
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
            kind,
            subject,
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
            kind: known_kind("Drill", kind)?,
            subject,
            backup: (backup != 0).then_some(backup),
            taken_at: time("Drill", "taken_at", taken_at)?,
            host: (!host.is_empty()).then_some(host),
            started_at: from_timestamp("Drill", "started_at", started_at)?,
            ended_at: time("Drill", "ended_at", ended_at)?,
            state: match known {
                wire::DrillVerdict::Unspecified => State::Running,
                wire::DrillVerdict::Proven => State::Proven,
                wire::DrillVerdict::Damaged => State::Damaged,
                wire::DrillVerdict::CouldNotRun => State::CouldNotRun,
                wire::DrillVerdict::Incomplete => State::Incomplete,
            },
            broken,
            reason,
            took_seconds: seconds("took", took)?,
            rpo_seconds: seconds("rpo", rpo)?,
        })
    }
}

fn asked(wanted: WantedDrill) -> wire::RunDrillRequest {
    let host = |on: Option<HostName>| on.map(String::from).unwrap_or_default();
    match wanted {
        WantedDrill::Backup { backup, on, image } => wire::RunDrillRequest {
            kind: wire::DrillKind::Backup.into(),
            backup,
            source: String::new(),
            host: host(on),
            image: image.unwrap_or_default(),
        },
        WantedDrill::Rebuild { host: source, on } => wire::RunDrillRequest {
            kind: wire::DrillKind::Rebuild.into(),
            backup: String::new(),
            source: source.into(),
            host: host(on),
            image: String::new(),
        },
        WantedDrill::Offsite { host: source } => wire::RunDrillRequest {
            kind: wire::DrillKind::Offsite.into(),
            backup: String::new(),
            source: source.into(),
            host: String::new(),
            image: String::new(),
        },
    }
}

fn wire_kind(kind: DrillKind) -> wire::DrillKind {
    match kind {
        DrillKind::Backup => wire::DrillKind::Backup,
        DrillKind::Rebuild => wire::DrillKind::Rebuild,
        DrillKind::Offsite => wire::DrillKind::Offsite,
    }
}

fn known_kind(message: &'static str, kind: i32) -> Result<DrillKind, WireError> {
    match wire::DrillKind::try_from(kind) {
        Ok(wire::DrillKind::Backup) => Ok(DrillKind::Backup),
        Ok(wire::DrillKind::Rebuild) => Ok(DrillKind::Rebuild),
        Ok(wire::DrillKind::Offsite) => Ok(DrillKind::Offsite),
        Ok(wire::DrillKind::Unspecified) | Err(_) => Err(WireError::Invalid {
            message,
            field: "kind",
            reason: format!("{kind} is not a value that this version knows"),
        }),
    }
}
