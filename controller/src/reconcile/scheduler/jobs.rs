//! What is due becomes a job of the engine.

use async_trait::async_trait;
use holdfast_proto::{
    names::{DatabaseName, HostName},
    task::Selection,
};

use super::{NotStarted, Start};
use crate::job::{BackUpDatabase, JobId, JobSpec, PruneRepository, engine::Engine};

#[async_trait]
impl Start for Engine {
    async fn backup(
        &self,
        database: &DatabaseName,
        requested_by: &str,
    ) -> Result<JobId, NotStarted> {
        let backup = BackUpDatabase {
            source: database.clone(),
            selection: Selection::default(),
            jobs: 0,
            bandwidth: 0,
        };
        let submitted = self.submit(JobSpec::BackUpDatabase(backup), requested_by, "");
        submitted
            .await
            .map_err(|error| NotStarted(error.to_string()))
    }

    // `standing` holds every drill back before it comes to this.
    async fn drill(&self, _: &DatabaseName, _: &str) -> Result<JobId, NotStarted> {
        Err(NotStarted(crate::standing::NO_DRILLS.to_owned()))
    }

    async fn prune(&self, host: &HostName, requested_by: &str) -> Result<JobId, NotStarted> {
        let spec = JobSpec::PruneRepository(PruneRepository { host: host.clone() });
        let submitted = self.submit(spec, requested_by, "").await;
        submitted.map_err(|error| NotStarted(error.to_string()))
    }
}
