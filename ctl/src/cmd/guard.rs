//! `ctl guard`: what keeps Docker from destroying databases, and what is let pass.

use std::{str::FromStr, time::Duration};

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::HostName;

use crate::{
    client::Doing as _,
    complete,
    exit::Exit,
    failure::Failure,
    output::units,
    session::Session,
    suggest::known_host,
    view::guard::{GuardDetail, GuardList, RefusalList, State},
};

/// Every host is asked, and one whose guard hangs answers after some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub enum Guard {
    /// Show which hosts are guarded; of one host, what its guard keeps and what it has refused.
    Status {
        /// Only of this host.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        host: Option<HostName>,
    },
    /// List what guards have refused, newest first.
    Refusals {
        /// Only of this host.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        host: Option<HostName>,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Let everything pass for a while that concerns a volume or folder: its removal, and a second server on it.
    Allow {
        /// HOST/VOLUME, or HOST:/FOLDER.
        #[arg(add = ArgValueCompleter::new(complete::volumes))]
        place: Place,
        /// How long, a day at most: 10m, 2h.
        #[arg(long = "for", value_name = "TIME", value_parser = units::parse_span)]
        lasts: Duration,
        /// Why; the audit log keeps it.
        #[arg(long)]
        reason: String,
    },
    /// End what was allowed before its time.
    Revoke {
        /// HOST/VOLUME, or HOST:/FOLDER.
        #[arg(add = ArgValueCompleter::new(complete::volumes))]
        place: Place,
    },
}

/// Where data are on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    host: HostName,
    /// Name of a volume, or path of a folder.
    place: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place of data: it must be HOST/VOLUME or HOST:/FOLDER")]
pub struct BadPlace(String);

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let wrong = || BadPlace(text.to_owned());
        let (host, place) = match text.split_once(':') {
            Some((host, folder)) if folder.starts_with('/') => (host, folder),
            _ => text.split_once('/').ok_or_else(wrong)?,
        };
        if place.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            host: host.parse().map_err(|_| wrong())?,
            place: place.to_owned(),
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let separator = if self.place.starts_with('/') {
            ":"
        } else {
            "/"
        };
        write!(f, "{}{separator}{}", self.host, self.place)
    }
}

impl Guard {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Status { host } => return status(session, host).await,
            Self::Refusals { host, limit } => {
                let mut client = session.connect().await?;
                if let Some(host) = &host {
                    known_host(&mut client, host).await?;
                }
                let of = host.as_ref().map(ToString::to_string).unwrap_or_default();
                let refusals = client.guard_refusals(of, limit).await;
                let refusals = refusals.doing(|| "list what guards have refused".to_owned())?;
                session.show(&RefusalList { refusals })?;
            }
            Self::Allow {
                place,
                lasts,
                reason,
            } => {
                let mut client = session.connect().await?.patient(PATIENCE);
                known_host(&mut client, &place.host).await?;
                let allowed = client
                    .allow(&place.host, place.place.clone(), lasts, reason)
                    .await;
                session.show(&allowed.doing(|| format!("let pass what concerns {place}"))?)?;
            }
            Self::Revoke { place } => {
                let mut client = session.connect().await?.patient(PATIENCE);
                known_host(&mut client, &place.host).await?;
                let revoked = client.revoke(&place.host, place.place.clone()).await;
                session.show(&revoked.doing(|| format!("end what is allowed for {place}"))?)?;
            }
        }
        Ok(Exit::Ok)
    }
}

async fn status(session: &Session, host: Option<HostName>) -> Result<Exit, Failure> {
    let mut client = session.connect().await?.patient(PATIENCE);
    if let Some(host) = &host {
        known_host(&mut client, host).await?;
    }
    let of = host.as_ref().map(ToString::to_string).unwrap_or_default();
    let guards = client.guards(of).await;
    let guards = guards.doing(|| "ask the guards".to_owned())?;
    let exit = exit(guards.iter().map(|guard| guard.state), host.is_some());
    match (host, guards.as_slice()) {
        (Some(_), [guard]) => session.show(&GuardDetail {
            guard: guard.clone(),
        })?,
        _ => session.show(&GuardList { guards })?,
    }
    Ok(exit)
}

/// What is installed and does not guard is never good; a host without one is when nobody asked for it by name.
fn exit(mut states: impl Iterator<Item = State> + Clone, by_name: bool) -> Exit {
    let mut all = states.clone();
    if all.any(|state| state == State::Troubled || by_name && state == State::NotInstalled) {
        Exit::NotProven
    } else if states.any(|state| state == State::Unknown) {
        Exit::CouldNotCheck
    } else {
        Exit::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_volumes_or_folders() {
        let place = |text: &str| text.parse::<Place>().map(|place| place.place);
        assert_eq!(place("web-1/shop_db").unwrap(), "shop_db");
        assert_eq!(place("web-1:/srv/db").unwrap(), "/srv/db");
        for text in ["web-1:/srv/db", "web-1/shop_db"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in ["web-1", "web-1/", "/srv/db", ":/srv"] {
            assert_eq!(place(text), Err(BadPlace(text.to_owned())));
        }
    }

    #[test]
    fn what_does_not_guard_or_cannot_be_asked_is_not_green() {
        use State::{Guards, NotInstalled, Troubled, Unknown};
        let of = |states: &[State], by_name| exit(states.iter().copied(), by_name);
        assert_eq!(of(&[Guards, NotInstalled], false), Exit::Ok);
        assert_eq!(of(&[NotInstalled], true), Exit::NotProven);
        assert_eq!(of(&[Guards, Unknown], false), Exit::CouldNotCheck);
        assert_eq!(of(&[Unknown, Troubled], false), Exit::NotProven);
    }
}
