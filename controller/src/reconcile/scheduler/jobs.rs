//! What is due becomes a job of the engine.

use async_trait::async_trait;
use holdfast_chassis::telemetry::Chain;
use holdfast_proto::{
    names::{DatabaseName, HostName},
    task::Selection,
};

use super::{NotStarted, Start};
use crate::{
    catalog::CatalogError,
    job::{
        BackUpDatabase, DrillBackup, JobId, JobSpec, PruneRepository, drill_backup::plan,
        engine::Engine,
    },
};

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

    async fn drill(
        &self,
        database: &DatabaseName,
        requested_by: &str,
    ) -> Result<JobId, NotStarted> {
        let not_started = |error: CatalogError| NotStarted(Chain(&error).to_string());
        let catalog = self.catalog();
        let backup = plan::newest_good(catalog, database).await;
        let Some(backup) = backup.map_err(not_started)? else {
            return Err(NotStarted("there is no good backup to restore".to_owned()));
        };
        let plan = plan::of(catalog, database).await.map_err(not_started)?;
        let drill = DrillBackup {
            backup: backup.id,
            source: database.clone(),
            host: plan::host(plan.as_ref(), database),
            image: String::new(),
        };
        let submitted = self.submit(JobSpec::DrillBackup(drill), requested_by, "");
        submitted
            .await
            .map_err(|error| NotStarted(error.to_string()))
    }

    async fn prune(&self, host: &HostName, requested_by: &str) -> Result<JobId, NotStarted> {
        let spec = JobSpec::PruneRepository(PruneRepository { host: host.clone() });
        let submitted = self.submit(spec, requested_by, "").await;
        submitted.map_err(|error| NotStarted(error.to_string()))
    }
}
