//! `ctl instance triage` and `ctl volume triage`: how data are, told from their files.

use std::time::Duration;

use holdfast_proto::{names::HostName, task::DataVerdict};

use crate::{
    client::{Doing as _, TriageOf},
    exit::Exit,
    failure::Failure,
    session::Session,
    suggest::{Typed, with_suggestion},
};

/// The agent reads names and a few pages of every database.
const PATIENCE: Duration = Duration::from_mins(5);

/// Shows it. The worst decides the exit code.
///
/// # Errors
/// The host is away, or what was named is not there.
pub(super) async fn triage(
    session: &Session,
    host: HostName,
    of: TriageOf,
    typed: Typed,
) -> Result<Exit, Failure> {
    let mut client = session.connect().await?;
    let asked = client.clone().patient(PATIENCE).triage(&host, of).await;
    match asked.doing(|| format!("look at the data of {}", shown(&host, &typed))) {
        Ok(report) => {
            session.show(&report)?;
            Ok(exit(report.worst))
        }
        Err(failure) => Err(with_suggestion(&mut client, failure, &[typed]).await),
    }
}

fn shown(host: &HostName, typed: &Typed) -> String {
    match typed {
        Typed::Instance(name) => format!("instance {name}"),
        Typed::Volume { host, name } => format!("volume {host}/{name}"),
        _ => host.to_string(),
    }
}

/// What nobody could tell is never good.
fn exit(worst: Option<DataVerdict>) -> Exit {
    match worst {
        Some(DataVerdict::Sound | DataVerdict::NeedsRecovery) => Exit::Ok,
        Some(DataVerdict::Unknown) | None => Exit::CouldNotCheck,
        Some(DataVerdict::IndexBroken | DataVerdict::WalDamaged | DataVerdict::DataLost) => {
            Exit::NotProven
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_well_ends_well() {
        for (worst, code) in [
            (Some(DataVerdict::Sound), 0),
            (Some(DataVerdict::NeedsRecovery), 0),
            (Some(DataVerdict::IndexBroken), 8),
            (Some(DataVerdict::WalDamaged), 8),
            (Some(DataVerdict::DataLost), 8),
            (Some(DataVerdict::Unknown), 10),
            (None, 10),
        ] {
            assert_eq!(exit(worst).code(), code, "{worst:?}");
        }
    }
}
