//! Tables `runbook_run` and `runbook_step`: which runbooks are gone through, and what was begun.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgExecutor, types::Json};

use super::{Catalog, CatalogError};
use crate::{
    incident::IncidentId,
    job::{JobId, JobSpec},
    runbook::situation::{Begun, JobOfStep},
};

pub type RunbookRunId = u64;

/// A runbook that somebody goes through.
#[derive(Debug, Clone, PartialEq)]
pub struct RunbookRun {
    pub id: RunbookRunId,
    pub runbook: String,
    /// What [`crate::runbook::Runbook::begin`] gave.
    pub start: Value,
    pub begun_at: DateTime<Utc>,
    pub begun_by: String,
}

/// A step that somebody begins or leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStep {
    pub run: RunbookRunId,
    pub name: String,
    /// From 1. Of two who begin the same one is too late.
    pub attempt: u32,
    pub by: String,
    /// Why it is left out; empty: it is not.
    pub left_out: String,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "i64")]
    id: u64,
    runbook: String,
    start: Json<Value>,
    begun_at: DateTime<Utc>,
    begun_by: String,
}

#[derive(FromRow)]
struct StepRow {
    name: String,
    at: DateTime<Utc>,
    by_whom: String,
    left_out: String,
    job: Option<i64>,
}

impl Catalog {
    /// The one that the incident is in.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn runbook_run(
        &self,
        incident: IncidentId,
    ) -> Result<Option<RunbookRun>, CatalogError> {
        let row: Option<Row> = sqlx::query_as(
            "select id, runbook, start, begun_at, begun_by from runbook_run
             where incident = $1 and ended_at is null",
        )
        .bind(incident.cast_signed())
        .fetch_optional(&self.pool)
        .await
        .map_err(CatalogError::doing("reading how far a runbook is"))?;
        Ok(row.map(RunbookRun::from))
    }

    /// One that the incident is in already goes on, whatever is asked for.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn begin_runbook(
        &self,
        incident: IncidentId,
        runbook: &str,
        start: &Value,
        by: &str,
    ) -> Result<RunbookRun, CatalogError> {
        const DOING: &str = "beginning a runbook";
        let row: Option<Row> = sqlx::query_as(
            "insert into runbook_run (incident, runbook, start, begun_at, begun_by)
             values ($1, $2, $3, $4, $5)
             on conflict (incident) where ended_at is null do nothing
             returning id, runbook, start, begun_at, begun_by",
        )
        .bind(incident.cast_signed())
        .bind(runbook)
        .bind(Json(start))
        .bind(self.clock.now())
        .bind(by)
        .fetch_optional(&self.pool)
        .await
        .map_err(CatalogError::doing(DOING))?;
        match row {
            Some(row) => Ok(row.into()),
            None => self
                .runbook_run(incident)
                .await?
                .ok_or_else(|| CatalogError::doing(DOING)(sqlx::Error::RowNotFound)),
        }
    }

    /// It is over, whatever is left of it: another one can begin.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn end_runbook(&self, run: RunbookRunId) -> Result<(), CatalogError> {
        sqlx::query("update runbook_run set ended_at = $2 where id = $1 and ended_at is null")
            .bind(run.cast_signed())
            .bind(self.clock.now())
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(CatalogError::doing("ending a runbook"))
    }

    /// How many runbooks of the incident are over.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn runbooks_ended(&self, incident: IncidentId) -> Result<u32, CatalogError> {
        let (ended,): (i64,) = sqlx::query_as(
            "select count(*) from runbook_run where incident = $1 and ended_at is not null",
        )
        .bind(incident.cast_signed())
        .fetch_one(&self.pool)
        .await
        .map_err(CatalogError::doing("counting the runbooks of an incident"))?;
        Ok(u32::try_from(ended).unwrap_or(u32::MAX))
    }

    /// A step without a job. False: somebody has begun it already.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn take_step(&self, step: &NewStep) -> Result<bool, CatalogError> {
        insert_step(&self.pool, step, None, self.clock.now())
            .await
            .map_err(CatalogError::doing("beginning a step of a runbook"))
    }

    /// It was not begun after all.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn give_step_back(&self, step: &NewStep) -> Result<(), CatalogError> {
        sqlx::query("delete from runbook_step where run = $1 and name = $2 and attempt = $3")
            .bind(step.run.cast_signed())
            .bind(&step.name)
            .bind(i64::from(step.attempt))
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(CatalogError::doing("giving a step back"))
    }

    /// The last attempt of each step by name.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn steps_begun(
        &self,
        run: RunbookRunId,
    ) -> Result<BTreeMap<String, Begun>, CatalogError> {
        let rows: Vec<StepRow> = sqlx::query_as(
            "select name, at, by_whom, left_out, job from runbook_step where run = $1 order by id",
        )
        .bind(run.cast_signed())
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading the steps of a runbook"))?;
        let mut begun: BTreeMap<String, Begun> = BTreeMap::new();
        for row in rows {
            let job = match row.job {
                Some(job) => self.job(job.cast_unsigned()).await?,
                None => None,
            };
            let job = job.map(|job| {
                let replaces = matches!(&job.spec.0, JobSpec::RestoreDatabase(one) if one.replace);
                let job = job.view();
                JobOfStep {
                    id: job.id,
                    state: job.state,
                    reason: job.reason,
                    replaces,
                }
            });
            let attempts = begun.get(&row.name).map_or(0, |begun| begun.attempts);
            let last = Begun {
                by: row.by_whom,
                at: row.at,
                left_out: Some(row.left_out).filter(|reason| !reason.is_empty()),
                job,
                attempts: attempts + 1,
            };
            begun.insert(row.name, last);
        }
        Ok(begun)
    }
}

/// False: there is one already.
pub(super) async fn insert_step(
    executor: impl PgExecutor<'_>,
    step: &NewStep,
    job: Option<JobId>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "insert into runbook_step (run, name, attempt, at, by_whom, left_out, job)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict (run, name, attempt) do nothing",
    )
    .bind(step.run.cast_signed())
    .bind(&step.name)
    .bind(i64::from(step.attempt))
    .bind(now)
    .bind(&step.by)
    .bind(&step.left_out)
    .bind(job.map(JobId::cast_signed))
    .execute(executor)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

impl From<Row> for RunbookRun {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            runbook: row.runbook,
            start: row.start.0,
            begun_at: row.begun_at,
            begun_by: row.begun_by,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{NewJob, testing::TestCatalog},
        detect::Severity,
        incident::{About, Joining, Lead, Step},
        job::BackUpDatabase,
    };
    use holdfast_proto::task::Selection;

    async fn incident(catalog: &Catalog) -> IncidentId {
        let step = Step {
            of: Joining::New(About::Controller),
            join: vec![],
            lead: Some(Lead {
                code: "HF0102".to_owned(),
                kind: "identity-swapped".to_owned(),
                severity: Severity::Critical,
                subject: "web-1/shop-db".to_owned(),
                title: "other data".to_owned(),
                advice: String::new(),
            }),
            becomes: None,
        };
        let opened = catalog
            .take_incident_step(&step, "", catalog.clock.now())
            .await;
        opened.unwrap().unwrap()
    }

    fn backup() -> JobSpec {
        JobSpec::BackUpDatabase(BackUpDatabase {
            source: "web-1/shop-db/shop".parse().unwrap(),
            selection: Selection::default(),
            jobs: 0,
            bandwidth: 0,
            is_safety: false,
        })
    }

    #[tokio::test]
    async fn whoever_comes_goes_on_and_no_step_is_begun_twice() {
        let catalog = TestCatalog::new().await;
        let incident = incident(&catalog).await;
        assert_eq!(catalog.runbook_run(incident).await.unwrap(), None);
        let start = serde_json::json!({"host": "web-1"});
        let begin = async |by: &str| {
            let begun = catalog.begin_runbook(incident, "volume-swapped", &start, by);
            begun.await.unwrap()
        };
        let run = begin("operator/ann").await;
        assert_eq!(begin("operator/bob").await, run);
        assert_eq!(
            (run.begun_by.as_str(), &run.start),
            ("operator/ann", &start)
        );

        let step = |name: &str, attempt, left_out: &str| NewStep {
            run: run.id,
            name: name.to_owned(),
            attempt,
            by: "operator/bob".to_owned(),
            left_out: left_out.to_owned(),
        };
        let first = step("volume-back", 1, "");
        assert!(catalog.take_step(&first).await.unwrap());
        assert!(!catalog.take_step(&first).await.unwrap());
        catalog.give_step_back(&first).await.unwrap();
        assert!(catalog.take_step(&first).await.unwrap());
        let second = step("volume-back", 2, "");
        assert!(catalog.take_step(&second).await.unwrap());
        let begun = catalog.steps_begun(run.id).await.unwrap();
        let last = &begun["volume-back"];
        assert_eq!(
            (last.by.as_str(), last.job.as_ref(), last.attempts),
            ("operator/bob", None, 2)
        );

        assert_eq!(last.left_out, None);
        let left_out = step("merge", 1, "nothing new");
        assert!(catalog.take_step(&left_out).await.unwrap());
        let begun = catalog.steps_begun(run.id).await.unwrap();
        assert_eq!(begun["merge"].left_out.as_deref(), Some("nothing new"));

        // Its job is stored with a step, or not at all.
        let job = || NewJob {
            spec: backup(),
            requested_by: "operator/bob".to_owned(),
            traceparent: String::new(),
            created_at: catalog.clock.now(),
            deadline: None,
        };
        let keep = step("keep-new-rows shop", 1, "");
        let stored = catalog.submit_job_of_step(job(), &keep).await.unwrap();
        let again = catalog.submit_job_of_step(job(), &keep).await.unwrap();
        assert_eq!(again, None);
        assert_eq!(catalog.jobs(10, false).await.unwrap().len(), 1);
        let begun = catalog.steps_begun(run.id).await.unwrap();
        let begun = begun["keep-new-rows shop"].job.as_ref().map(|job| job.id);
        assert_eq!(begun, stored);

        // It ends with its incident, which does not end by itself.
        let handled = catalog.incident(incident).await.unwrap().unwrap().handled;
        assert!(handled);
        let closed = catalog
            .close_incident(incident, "operator/ann", "renamed")
            .await;
        assert!(closed.unwrap());
        assert_eq!(catalog.runbook_run(incident).await.unwrap(), None);
        assert_eq!(catalog.runbooks_ended(incident).await.unwrap(), 1);
    }
}
