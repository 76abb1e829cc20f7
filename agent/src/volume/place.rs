//! Where a volume's files are, and whether we work on them.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use bollard::models::{Volume, VolumeCreateRequest};
use holdfast_proto::task::{FailureKind, TaskFailure};

use crate::{
    container::{EngineError, client::Connected},
    engine::postgres::failure::failure,
};

/// On volumes: the number of the job that made it for itself.
pub const LABEL: &str = "io.holdfast.restore";
/// The one driver whose files are where the engine says.
const LOCAL: &str = "local";

/// A volume, as the engine tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub name: String,
    pub driver: String,
    pub labels: BTreeMap<String, String>,
    pub path: PathBuf,
    options: Vec<String>,
}

impl Place {
    /// None: there is no such volume.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn find(engine: &Connected, volume: &str) -> Result<Option<Self>, EngineError> {
        match engine.docker.inspect_volume(volume).await {
            Ok(found) => Ok(Some(found.into())),
            Err(error) => match engine.explain("looking at volume", volume, error) {
                gone if gone.is_not_found() => Ok(None),
                error => Err(error),
            },
        }
    }

    /// One that is there and whose files we work on.
    ///
    /// # Errors
    /// `Invalid` when there is none, `Refused` with the reason when its files are not to be worked on.
    pub async fn usable(engine: &Connected, volume: &str) -> Result<Self, TaskFailure> {
        let Some(place) = Self::find(engine, volume).await? else {
            let message = format!("there is no volume {volume} on this host");
            let advice = "see what there is: ctl volume list";
            return Err(failure(FailureKind::Invalid, message, advice));
        };
        match place.out_of_reach() {
            None => Ok(place),
            Some(why) => Err(failure(
                FailureKind::Refused,
                format!("volume {volume} is out of reach: {why}"),
                "back it up with the tools of what holds it; a database in it: ctl backup create HOST/INSTANCE/DATABASE",
            )),
        }
    }

    /// Why its files are not to be worked on: elsewhere, or here only while a container runs with it.
    #[must_use]
    pub fn out_of_reach(&self) -> Option<String> {
        if self.driver != LOCAL {
            return Some(format!(
                "its driver is {}, which keeps its files in a way of its own",
                self.driver
            ));
        }
        if !self.options.is_empty() {
            return Some(format!(
                "it has options ({}): it is a mount that is there only while a container runs with it",
                self.options.join(", ")
            ));
        }
        if !self.path.is_absolute() || self.path.parent().is_none() {
            return Some("the container engine does not tell where its files are".to_owned());
        }
        match std::fs::metadata(&self.path) {
            Ok(found) if found.is_dir() => None,
            Ok(_) => Some(format!("{} is no folder", self.path.display())),
            Err(error) => Some(format!("{} cannot be read: {error}", self.path.display())),
        }
    }

    /// The job that made it for itself; 0: somebody else did.
    #[must_use]
    pub fn made_by(&self) -> u64 {
        let label = self.labels.get(LABEL);
        label.and_then(|job| job.parse().ok()).unwrap_or(0)
    }
}

impl From<Volume> for Place {
    fn from(found: Volume) -> Self {
        let mut options: Vec<_> = found.options.into_keys().collect();
        options.sort();
        Self {
            name: found.name,
            driver: found.driver,
            labels: found.labels.into_iter().collect(),
            path: found.mountpoint.into(),
            options,
        }
    }
}

/// An empty one that wears the job's label, and these. One that this job has made is made anew, whatever is in it.
///
/// # Errors
/// `Conflict` when there is one of that name that is not this job's; what the engine says.
pub async fn make(
    engine: &Connected,
    volume: &str,
    job: u64,
    labels: BTreeMap<String, String>,
) -> Result<Place, TaskFailure> {
    remove(engine, volume, job).await?;
    let mut labels: HashMap<_, _> = labels.into_iter().collect();
    labels.insert(LABEL.to_owned(), job.to_string());
    let request = VolumeCreateRequest {
        name: Some(volume.to_owned()),
        driver: Some(LOCAL.to_owned()),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    };
    engine
        .docker
        .create_volume(request)
        .await
        .map_err(|error| engine.explain("making volume", volume, error))?;
    let place = Place::usable(engine, volume).await?;
    if place.made_by() == job {
        Ok(place)
    } else {
        // The engine gives one that is there already as it is.
        Err(not_ours(volume, job))
    }
}

/// Whether there was one. Absent is success.
///
/// # Errors
/// `Refused` when it does not wear the job's label; `Conflict` while a container has it.
pub async fn remove(engine: &Connected, volume: &str, job: u64) -> Result<bool, TaskFailure> {
    let Some(place) = Place::find(engine, volume).await? else {
        return Ok(false);
    };
    if place.made_by() != job {
        return Err(not_ours(volume, job));
    }
    let options = None::<bollard::query_parameters::RemoveVolumeOptions>;
    match engine.docker.remove_volume(volume, options).await {
        Ok(()) => Ok(true),
        Err(error) => match engine.explain("removing volume", volume, error) {
            gone if gone.is_not_found() => Ok(false),
            error => Err(error.into()),
        },
    }
}

fn not_ours(volume: &str, job: u64) -> TaskFailure {
    let message = format!(
        "volume {volume} does not wear the label {LABEL}={job}: it is not this job's, and is left alone"
    );
    failure(
        FailureKind::Conflict,
        message,
        "give another name with --to, or remove the volume by hand if nobody needs it",
    )
}
