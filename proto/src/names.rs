//! Names of things, as operators type them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not the name of anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error(
        "{0:?} is not a host name: 2 to 40 of a-z, 0-9 and -, from a letter to a letter or digit"
    )]
    Host(String),
    #[error(
        "{0:?} is not an operator name: 2 to 40 of a-z, 0-9, . and -, from a letter to a letter or digit"
    )]
    Operator(String),
    #[error("{0:?} is not host/instance/database, such as web-1/shop-db/shop")]
    Database(String),
    #[error("{0:?} is not host/instance, such as web-1/shop-db")]
    Instance(String),
    #[error("{0:?} is not host/volume, such as web-1/shop_uploads")]
    Volume(String),
    #[error("{0:?} is not a task id (job/step/direction/attempt)")]
    Task(String),
}

fn is_label(text: &str, also: &str) -> bool {
    (2..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        // The name of a host is a DNS label in its certificate.
        && !text.ends_with(['-', '.'])
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || also.contains(c))
}

/// Name of an enrolled host; it is part of its certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_label(text, "") {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Host(text.to_owned()))
        }
    }
}

impl TryFrom<String> for HostName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of an operator; it is part of the certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperatorName(String);

impl OperatorName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OperatorName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_label(text, ".") {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Operator(text.to_owned()))
        }
    }
}

impl TryFrom<String> for OperatorName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<OperatorName> for String {
    fn from(name: OperatorName) -> Self {
        name.0
    }
}

impl fmt::Display for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `host/instance`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceName {
    pub host: HostName,
    pub instance: String,
}

impl FromStr for InstanceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Instance(text.to_owned());
        let (host, instance) = text.split_once('/').ok_or_else(wrong)?;
        if instance.is_empty() || instance.contains('/') {
            return Err(wrong());
        }
        Ok(Self {
            host: host.parse()?,
            instance: instance.to_owned(),
        })
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.instance)
    }
}

/// `host/instance/database`; the database may hold any character, `/` too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DatabaseName {
    pub host: HostName,
    pub instance: String,
    pub database: String,
}

/// `host/volume`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumeName {
    pub host: HostName,
    pub volume: String,
}

impl FromStr for VolumeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Volume(text.to_owned());
        let (host, volume) = text.split_once('/').ok_or_else(wrong)?;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        // What engines take for a name; anything else is a path.
        if !volume.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !volume.chars().all(good)
            || volume.len() > 255
        {
            return Err(wrong());
        }
        Ok(Self {
            host: host.parse()?,
            volume: volume.to_owned(),
        })
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.volume)
    }
}

/// Stands for the instance where a volume is named like a database: no container and no registered instance is
/// called so.
const VOLUMES: &str = "(volume)";

impl From<VolumeName> for DatabaseName {
    /// The name of the series that a volume's backups are.
    fn from(name: VolumeName) -> Self {
        Self {
            host: name.host,
            instance: VOLUMES.to_owned(),
            database: name.volume,
        }
    }
}

impl DatabaseName {
    /// The volume, when it is the name of one.
    #[must_use]
    pub fn volume(&self) -> Option<VolumeName> {
        (self.instance == VOLUMES).then(|| VolumeName {
            host: self.host.clone(),
            volume: self.database.clone(),
        })
    }

    #[must_use]
    pub fn instance_name(&self) -> InstanceName {
        InstanceName {
            host: self.host.clone(),
            instance: self.instance.clone(),
        }
    }
}

impl FromStr for DatabaseName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Database(text.to_owned());
        let mut parts = text.splitn(3, '/');
        let (host, instance, database) = match (parts.next(), parts.next(), parts.next()) {
            (Some(h), Some(i), Some(d)) if !i.is_empty() && !d.is_empty() => (h, i, d),
            _ => return Err(wrong()),
        };
        if database.contains('\0') {
            return Err(wrong());
        }
        Ok(Self {
            host: host.parse()?,
            instance: instance.to_owned(),
            database: database.to_owned(),
        })
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.volume() {
            Some(volume) => volume.fmt(f),
            None => write!(f, "{}/{}/{}", self.host, self.instance, self.database),
        }
    }
}

/// Whether a task does a step's work or undoes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Do,
    Undo,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Do => "do",
            Self::Undo => "undo",
        })
    }
}

/// `job/step/direction/attempt`: the same work has the same id, so that it is joined, not started twice.
///
/// `step` may name a part of a step (`transfer.send`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskId {
    pub job: u64,
    pub step: String,
    pub direction: Direction,
    pub attempt: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}",
            self.job, self.step, self.direction, self.attempt
        )
    }
}

impl FromStr for TaskId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Task(text.to_owned());
        let [job, step, direction, attempt] = text
            .split('/')
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| wrong())?;
        Ok(Self {
            job: job.parse().map_err(|_| wrong())?,
            step: if step.is_empty() {
                return Err(wrong());
            } else {
                step.to_owned()
            },
            direction: match direction {
                "do" => Direction::Do,
                "undo" => Direction::Undo,
                _ => return Err(wrong()),
            },
            attempt: attempt.parse().map_err(|_| wrong())?,
        })
    }
}
