//! Bring a backup of a volume back: preflight, restore, prove, stop, swap, start.
//!
//! The files go into a new volume and are proven there. Where they shall take the place of a volume that stands, the
//! two are exchanged in one step of the file system, so that names, labels and mounts stay; the new one then holds
//! what stood there, for as long as `keep` says.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use holdfast_proto::{
    names::{InstanceName, VolumeName},
    task::TaskFailure,
};
use serde::{Deserialize, Serialize};

use super::{
    JobId,
    back_up_volume::{of_instances, of_volume},
    copy_database::preflight as lines,
    definition::{Definition, Step},
    event::{Leftover, Outcome},
    hold,
    locks::{Resource, ResourceWish},
    position::{Phase, Position},
    step::StepContext,
    view::{JobReport, KeptDatabase, KeptReason},
    volume::SWAP,
};
use crate::catalog::BackupId;

mod preflight;
mod prove;
mod restore;
mod swap;
mod sweep;

const DEADLINE: Duration = Duration::from_hours(48);

/// What an operator asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreVolume {
    pub backup: BackupId,
    /// Of which it is a backup.
    pub source: VolumeName,
    pub target: VolumeName,
    /// What stands in the target is exchanged, and kept for `keep`.
    pub replace: bool,
    /// The containers that run with the target are stopped for the exchange.
    pub stop: bool,
    pub keep: Duration,
    /// Ends after the preflight; nothing is touched.
    pub dry_run: bool,
    /// Database servers in those containers.
    pub instances: Vec<InstanceName>,
}

#[async_trait]
impl Definition for RestoreVolume {
    fn title(&self) -> String {
        format!(
            "backup {} of volume {} → {}",
            self.backup, self.source, self.target
        )
    }

    fn check(&self) -> Result<(), String> {
        if self.target.volume.contains(SWAP) {
            return Err(format!(
                "{} is a name that a job gives to what it keeps, and removes when its time is over",
                self.target
            ));
        }
        // With the mark it must still be a name.
        if self.target.volume.len() > 200 {
            return Err(format!("{} is too long a name", self.target));
        }
        Ok(())
    }

    fn locks(&self) -> Vec<ResourceWish> {
        let target = of_volume(&self.target);
        let mut wishes = vec![
            if self.dry_run {
                ResourceWish::shared(target)
            } else {
                ResourceWish::exclusive(target)
            },
            ResourceWish::shared(Resource::Repository(self.source.host.clone())),
            ResourceWish::shared(Resource::Backup(self.backup)),
        ];
        wishes.extend(of_instances(self.replace && !self.dry_run, &self.instances));
        wishes
    }

    fn steps(&self) -> Vec<Box<dyn Step + '_>> {
        let mut steps: Vec<Box<dyn Step + '_>> = vec![Box::new(preflight::Preflight(self))];
        if self.dry_run {
            return steps;
        }
        steps.push(Box::new(restore::Restore(self)));
        steps.push(Box::new(prove::Prove(self)));
        if self.replace {
            steps.push(Box::new(hold::Stop {
                held: hold::Held::Volume(&self.target),
                allowed: self.stop,
            }));
            steps.push(Box::new(swap::Swap(self)));
            steps.push(Box::new(hold::Start {
                held: hold::Held::Volume(&self.target),
                again: false,
            }));
        }
        steps
    }

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    fn keep(&self) -> Option<Duration> {
        (!self.dry_run).then_some(self.keep)
    }

    fn report(&self, job: JobId, position: &Position, now: DateTime<Utc>) -> JobReport {
        JobReport {
            preflight: lines::lines(position),
            kept: self.kept(position),
            undo: self.undo_says(job, position, now),
            ..JobReport::default()
        }
    }

    async fn sweep(&self, leftover: &Leftover, ctx: &StepContext) -> Result<bool, TaskFailure> {
        sweep::sweep(self, leftover, ctx).await
    }
}

impl RestoreVolume {
    /// The volume that the job makes.
    #[must_use]
    pub fn made(&self, job: JobId) -> VolumeName {
        let volume = if self.replace {
            format!("{}{SWAP}{job}", self.target.volume)
        } else {
            self.target.volume.clone()
        };
        VolumeName {
            host: self.target.host.clone(),
            volume,
        }
    }

    /// The volume that the job made goes when the time is over.
    fn leftover(&self, job: JobId, now: DateTime<Utc>) -> Leftover {
        let keep = TimeDelta::from_std(self.keep).unwrap_or(TimeDelta::MAX);
        let drop_after = now.checked_add_signed(keep);
        Leftover {
            database: self.made(job).into(),
            drop_after: drop_after.unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }

    fn kept(&self, position: &Position) -> Vec<KeptDatabase> {
        let undone = match &position.phase {
            Phase::Ended(ended) => ended.outcome != Outcome::Succeeded,
            _ => false,
        };
        let leftovers = position.leftovers.iter();
        let kept = leftovers.map(|(_, left)| KeptDatabase {
            database: left.database.clone(),
            until: left.drop_after,
            reason: if undone {
                KeptReason::Undone
            } else {
                KeptReason::Replaced
            },
        });
        kept.collect()
    }

    /// What `ctl job undo` would do now; empty when it would do nothing.
    fn undo_says(&self, job: JobId, position: &Position, now: DateTime<Utc>) -> String {
        let Phase::Ended(ended) = &position.phase else {
            return String::new();
        };
        if ended.outcome != Outcome::Succeeded || ended.undo_until.is_none_or(|until| until <= now)
        {
            return String::new();
        }
        let span = humantime::format_duration(self.keep);
        let made = self.made(job);
        if self.replace {
            format!(
                "stops what runs with {}, puts back what stood there, and starts it again; what was restored \
                 stays as {} for {span}",
                self.target, made.volume
            )
        } else {
            format!("removes {made} after {span}, unless a container has it")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RestoreVolume {
        RestoreVolume {
            backup: 12,
            source: "web-1/shop_uploads".parse().unwrap(),
            target: "web-2/shop_uploads".parse().unwrap(),
            replace: true,
            stop: true,
            keep: Duration::from_hours(24),
            dry_run: false,
            instances: vec!["web-2/shop-db".parse().unwrap()],
        }
    }

    #[test]
    fn it_has_the_target_and_the_servers_on_it_alone_and_holds_the_backup() {
        let named = |request: &RestoreVolume| -> Vec<_> {
            let wishes = request.locks().into_iter();
            let named = wishes.map(|wish| (wish.resource.to_string(), wish.exclusive));
            named.collect()
        };
        let of = |name: &str, exclusive| (name.to_owned(), exclusive);
        let expected = [
            of("volume:web-2/shop_uploads", true),
            of("repository:web-1", false),
            of("backup:12", false),
            of("instance:web-2/shop-db", true),
        ];
        assert_eq!(named(&request()), expected);
        let dry = RestoreVolume {
            dry_run: true,
            ..request()
        };
        assert!(named(&dry).iter().all(|(_, exclusive)| !exclusive));
    }

    #[test]
    fn nothing_is_restored_under_a_name_that_a_job_removes() {
        assert_eq!(request().check(), Ok(()));
        let mut marked = request();
        marked.target.volume = "shop__swap_7".to_owned();
        assert!(marked.check().is_err());
        assert_eq!(request().made(7).to_string(), "web-2/shop_uploads__swap_7");
    }
}
