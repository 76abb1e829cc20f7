//! `ctl volume`: what is stored where, and how much.

use std::{str::FromStr, time::Duration};

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use holdfast_proto::names::HostName;

use super::triage::triage;
use crate::{
    client::{Doing as _, TriageOf},
    complete,
    exit::Exit,
    failure::Failure,
    session::Session,
    suggest::{Typed, known_host, with_suggestion},
    view::{data_store::History, volume::VolumeList},
};

/// Walking a large volume takes its time.
const PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Debug, Subcommand)]
pub enum Volume {
    /// List volumes.
    List {
        /// Only of this host.
        #[arg(add = ArgValueCompleter::new(complete::hosts))]
        host: Option<HostName>,
    },
    /// Show whose data lay on a volume, from when to when.
    History {
        /// HOST/VOLUME.
        #[arg(add = ArgValueCompleter::new(complete::volumes))]
        volume: VolumeName,
    },
    /// Measure a volume on its host.
    Size {
        /// HOST/VOLUME.
        #[arg(add = ArgValueCompleter::new(complete::volumes))]
        volume: VolumeName,
    },
    /// Say from the files alone how the databases in a volume are; reads only.
    Triage {
        /// HOST/VOLUME.
        #[arg(add = ArgValueCompleter::new(complete::volumes))]
        volume: VolumeName,
    },
}

/// `host/volume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeName {
    host: HostName,
    volume: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no volume name: it must be HOST/VOLUME")]
pub struct BadVolumeName(String);

impl FromStr for VolumeName {
    type Err = BadVolumeName;

    fn from_str(text: &str) -> Result<Self, BadVolumeName> {
        let wrong = || BadVolumeName(text.to_owned());
        let (host, volume) = text.split_once('/').ok_or_else(wrong)?;
        if volume.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            host: host.parse().map_err(|_| wrong())?,
            volume: volume.to_owned(),
        })
    }
}

impl Volume {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::List { host } => {
                let mut client = session.connect().await?;
                if let Some(host) = &host {
                    known_host(&mut client, host).await?;
                }
                let of = host.map(String::from).unwrap_or_default();
                let volumes = client
                    .volumes(of)
                    .await
                    .doing(|| "list the volumes".to_owned())?;
                session.show(&VolumeList { volumes })?;
            }
            Self::History { volume } => history(session, volume).await?,
            Self::Size { volume } => size(session, volume).await?,
            Self::Triage { volume } => {
                let VolumeName { host, volume } = volume;
                let typed = Typed::Volume {
                    host: host.clone(),
                    name: volume.clone(),
                };
                return triage(session, host, TriageOf::Volume(volume), typed).await;
            }
        }
        Ok(Exit::Ok)
    }
}

async fn history(
    session: &Session,
    VolumeName { host, volume }: VolumeName,
) -> Result<(), Failure> {
    let mut client = session.connect().await?;
    let events = client.volume_history(&host, volume.clone()).await;
    match events.doing(|| format!("read the history of volume {host}/{volume}")) {
        Ok(events) => session.show(&History { events }),
        Err(failure) => {
            let typed = [Typed::Volume { host, name: volume }];
            Err(with_suggestion(&mut client, failure, &typed).await)
        }
    }
}

async fn size(session: &Session, VolumeName { host, volume }: VolumeName) -> Result<(), Failure> {
    let mut client = session.connect().await?;
    let measured = client
        .clone()
        .patient(PATIENCE)
        .measure_volume(&host, volume.clone())
        .await;
    match measured.doing(|| format!("measure volume {host}/{volume}")) {
        Ok(size) => session.show(&size),
        Err(failure) => {
            let typed = [Typed::Volume { host, name: volume }];
            Err(with_suggestion(&mut client, failure, &typed).await)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::VolumeName;

    #[test]
    fn a_volume_is_named_with_its_host() {
        let name: VolumeName = "web-1/shop_data".parse().expect("a name");
        assert_eq!(
            (name.host.as_str(), name.volume.as_str()),
            ("web-1", "shop_data")
        );
        for wrong in ["shop_data", "web-1/", "/shop_data", "WEB/x"] {
            assert!(wrong.parse::<VolumeName>().is_err(), "{wrong}");
        }
    }
}
