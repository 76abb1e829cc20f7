//! What is due becomes a job of the engine.

use async_trait::async_trait;
use holdfast_chassis::telemetry::Chain;
use holdfast_proto::{
    names::{DatabaseName, HostName, VolumeName},
    task::Selection,
};

use super::{NotStarted, Start};
use crate::{
    catalog::CatalogError,
    job::{
        BackUpDatabase, BackUpVolume, DrillBackup, DrillVolume, JobId, JobSpec, PruneRepository,
        ReadRepository, drill_backup::plan, engine::Engine, rebuild_host::choose,
        volume::servers_on,
    },
};

#[async_trait]
impl Start for Engine {
    async fn backup(
        &self,
        database: &DatabaseName,
        requested_by: &str,
    ) -> Result<JobId, NotStarted> {
        if let Some(volume) = database.volume() {
            let spec = self.backup_of_volume(database, volume).await?;
            let submitted = self.submit(spec, requested_by, "").await;
            return submitted.map_err(|error| NotStarted(error.to_string()));
        }
        let backup = BackUpDatabase {
            source: database.clone(),
            selection: Selection::default(),
            jobs: 0,
            bandwidth: 0,
            is_safety: false,
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
        let host = plan::host(plan.as_ref(), database);
        let spec = match database.volume() {
            Some(source) => JobSpec::DrillVolume(DrillVolume {
                backup: backup.id,
                source,
                host,
            }),
            None => JobSpec::DrillBackup(DrillBackup {
                backup: backup.id,
                source: database.clone(),
                host,
                image: String::new(),
            }),
        };
        let submitted = self.submit(spec, requested_by, "");
        submitted
            .await
            .map_err(|error| NotStarted(error.to_string()))
    }

    async fn rebuild(&self, host: &HostName, requested_by: &str) -> Result<JobId, NotStarted> {
        let reported = self.hosts().facts(host);
        let chosen = choose::newest(self.catalog(), host, reported.as_ref(), None).await;
        let rebuild = chosen.map_err(|error| NotStarted(Chain(&error).to_string()))?;
        let submitted = self.submit(JobSpec::RebuildHost(rebuild), requested_by, "");
        submitted
            .await
            .map_err(|error| NotStarted(error.to_string()))
    }

    async fn offsite(&self, host: &HostName, requested_by: &str) -> Result<JobId, NotStarted> {
        let spec = JobSpec::ReadRepository(ReadRepository { host: host.clone() });
        let submitted = self.submit(spec, requested_by, "").await;
        submitted.map_err(|error| NotStarted(error.to_string()))
    }

    async fn prune(&self, host: &HostName, requested_by: &str) -> Result<JobId, NotStarted> {
        let spec = JobSpec::PruneRepository(PruneRepository { host: host.clone() });
        let submitted = self.submit(spec, requested_by, "").await;
        submitted.map_err(|error| NotStarted(error.to_string()))
    }
}

impl Engine {
    /// As its policy says now. Servers that run with it are noted: nobody else works on them while they are stopped.
    async fn backup_of_volume(
        &self,
        series: &DatabaseName,
        source: VolumeName,
    ) -> Result<JobSpec, NotStarted> {
        let policy = plan::covering(self.catalog(), series).await;
        let policy = policy.map_err(|error| NotStarted(Chain(&error).to_string()))?;
        let Some((policy, plan)) = policy
            .as_ref()
            .and_then(|policy| Some((policy, policy.plan()?)))
        else {
            return Err(NotStarted(format!("no policy protects {source} any more")));
        };
        let host = self.hosts().facts(&source.host);
        Ok(JobSpec::BackUpVolume(BackUpVolume {
            stop: plan.stop,
            instances: host
                .map(|host| servers_on(&host, &source))
                .unwrap_or_default(),
            only_files: !policy.select.names_in_full(&source.volume),
            source,
        }))
    }
}
