//! Deployments, to the wire.

use holdfast_proto::{names::HostName, wire};

use super::{check::verdict_of, time};
use crate::deployment::{DeployedCount, DeployedVolume, Deployment, Line, Verdict};

impl From<Deployment> for wire::Deployment {
    fn from(deployment: Deployment) -> Self {
        let Deployment {
            project,
            host,
            at,
            volumes,
            // Only compared.
            data: _,
            counts,
        } = deployment;
        Self {
            project,
            host: host.as_ref().map_or("", HostName::as_str).to_owned(),
            at: time(at),
            volumes: volumes.into_iter().map(Into::into).collect(),
            counts: counts.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<DeployedVolume> for wire::DeployedVolume {
    fn from(volume: DeployedVolume) -> Self {
        let DeployedVolume {
            host,
            service,
            path,
            name,
            created_at,
        } = volume;
        Self {
            host: host.to_string(),
            service,
            path,
            name,
            created_at: created_at.and_then(time),
        }
    }
}

impl From<DeployedCount> for wire::DeployedCount {
    fn from(count: DeployedCount) -> Self {
        let DeployedCount {
            database,
            check,
            outcome,
            verdict,
            reasons,
        } = count;
        Self {
            database: Some(database.into()),
            check,
            run: Some(wire::CheckRun {
                outcome: Some(outcome.into()),
                verdict: verdict_of(verdict).into(),
                reasons,
            }),
        }
    }
}

impl From<Line> for wire::DeploymentLine {
    fn from(line: Line) -> Self {
        let Line {
            subject,
            verdict,
            message,
        } = line;
        let verdict = match verdict {
            Verdict::Same => wire::DeploymentVerdict::Same,
            Verdict::New => wire::DeploymentVerdict::New,
            Verdict::CouldNotCheck => wire::DeploymentVerdict::CouldNotCheck,
            Verdict::Wrong => wire::DeploymentVerdict::Wrong,
        };
        Self {
            subject,
            verdict: verdict.into(),
            message,
        }
    }
}
