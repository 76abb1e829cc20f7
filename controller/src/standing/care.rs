//! Who sees to it that a volume is backed up: a policy, the databases in it, or nobody. Pure.

use holdfast_proto::{fleet::Volume, names::VolumeName};

use super::{DatabaseStanding, Standing};
use crate::job::volume::looks_made;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    Policy,
    /// A policy says, with a reason, that it is not protected.
    NotProtected,
    /// Databases in it are protected, and with them what the volume holds.
    Databases,
    Nobody,
    /// It has no name of its own, or a job has made it for itself.
    NotAsked,
}

impl Standing {
    /// `volume`: as it is reported.
    #[must_use]
    pub fn care(&self, name: &VolumeName, volume: &Volume) -> Care {
        match self.database(&name.clone().into()) {
            _ if volume.anonymous || looks_made(&volume.name) => Care::NotAsked,
            Some(standing) if standing.plan().is_some() => Care::Policy,
            Some(standing) if !standing.policy.is_empty() => Care::NotProtected,
            Some(standing) if self.protects_what_it_holds(standing) => Care::Databases,
            // Also one that was reported a moment ago.
            _ => Care::Nobody,
        }
    }

    fn protects_what_it_holds(&self, volume: &DatabaseStanding) -> bool {
        let holds = &volume.subject.holds;
        let protected = |instance: &String| {
            self.databases.iter().any(|standing| {
                let name = &standing.subject.database;
                name.host == volume.subject.database.host
                    && name.instance == *instance
                    && standing.plan().is_some()
            })
        };
        !holds.is_empty() && holds.iter().all(protected)
    }
}
