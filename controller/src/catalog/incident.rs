//! Tables `incident` and `incident_event`: findings that belong together, and what was said and done about them.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use super::{Catalog, CatalogError, finding};
use crate::{
    detect::{Finding, Severity},
    incident::{Event, EventKind, Incident, IncidentId, Joining, Lead, Services, State, Step},
};

/// More than anybody reads.
const MOST_CLOSED: i64 = 500;

const SELECT: &str = "select i.*, exists (
        select from incident_event e where e.incident = i.id and e.by_whom <> '')
        or exists (select from runbook_run r where r.incident = i.id) as handled
     from incident i";

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "i64")]
    id: u64,
    about: String,
    code: String,
    kind: String,
    severity: String,
    subject: String,
    title: String,
    advice: String,
    opened_at: DateTime<Utc>,
    opened_by: String,
    assigned_to: String,
    resolved_at: Option<DateTime<Utc>>,
    closed_at: Option<DateTime<Utc>>,
    closed_by: String,
    cause: String,
    handled: bool,
}

#[derive(FromRow)]
struct EventRow {
    at: DateTime<Utc>,
    kind: String,
    by_whom: String,
    text: String,
}

impl Catalog {
    /// Those that are not closed, the newest first; then, if wanted, the newest of the closed ones.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn incidents(&self, include_closed: bool) -> Result<Vec<Incident>, CatalogError> {
        let statement = format!(
            "{SELECT} where i.closed_at is null or $1
             order by (i.closed_at is not null), i.opened_at desc, i.id desc
             limit $2 + (select count(*) from incident where closed_at is null)"
        );
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(include_closed)
            .bind(MOST_CLOSED)
            .fetch_all(&self.pool)
            .await
            .map_err(CatalogError::doing("listing incidents"))?;
        Ok(rows.into_iter().map(Incident::from).collect())
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn incident(&self, id: IncidentId) -> Result<Option<Incident>, CatalogError> {
        let statement = format!("{SELECT} where i.id = $1");
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(id.cast_signed())
            .fetch_optional(&self.pool)
            .await
            .map_err(CatalogError::doing("reading an incident"))?;
        Ok(row.map(Incident::from))
    }

    /// Oldest first.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn incident_events(&self, id: IncidentId) -> Result<Vec<Event>, CatalogError> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "select at, kind, by_whom, text from incident_event where incident = $1 order by id",
        )
        .bind(id.cast_signed())
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading what happened to an incident"))?;
        Ok(rows.into_iter().map(Event::from).collect())
    }

    /// All that ever belonged to it, oldest first.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn findings_of(&self, id: IncidentId) -> Result<Vec<Finding>, CatalogError> {
        let rows: Vec<finding::Row> =
            sqlx::query_as("select * from finding where incident = $1 order by opened_at, id")
                .bind(id.cast_signed())
                .fetch_all(&self.pool)
                .await
                .map_err(CatalogError::doing("reading the findings of an incident"))?;
        Ok(rows.into_iter().map(Finding::from).collect())
    }

    /// Open ones, and those of incidents that are not closed.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn findings_to_settle(&self) -> Result<Vec<Finding>, CatalogError> {
        let rows: Vec<finding::Row> = sqlx::query_as(
            "select f.* from finding f left join incident i on i.id = f.incident
             where f.closed_at is null or i.id is not null and i.closed_at is null order by f.id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading the findings of incidents"))?;
        Ok(rows.into_iter().map(Finding::from).collect())
    }

    /// The service that had an instance or a volume of this name last.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn services_by_name(&self) -> Result<Services, CatalogError> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "select distinct on (host, name) host, name, data_store from (
                select id, host, instance as name, data_store from data_store_event
                union all
                select id, host, store -> 'volume' ->> 'name', data_store from data_store_event) e
             where name is not null order by host, name, id desc",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading what services are called"))?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|(host, name, id)| (host, name, id.cast_unsigned()))
            .collect())
    }

    /// Writes what changes of one incident. None: somebody else has opened it meanwhile, and nothing is written.
    ///
    /// # Errors
    /// When the catalog fails; nothing of it is written then.
    pub async fn take_incident_step(
        &self,
        step: &Step,
        opened_by: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<IncidentId>, CatalogError> {
        let failed = CatalogError::doing("writing an incident");
        let mut tx = self.begin().await.map_err(&failed)?;
        let id = step_in(&mut tx, step, opened_by, now)
            .await
            .map_err(&failed)?;
        tx.commit().await.map_err(&failed)?;
        Ok(id)
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn note_incident(
        &self,
        id: IncidentId,
        by: &str,
        text: &str,
    ) -> Result<(), CatalogError> {
        let failed = CatalogError::doing("noting something of an incident");
        let mut tx = self.begin().await.map_err(&failed)?;
        let now = self.clock.now();
        add_event(&mut tx, id, EventKind::Note, by, text, now)
            .await
            .map_err(&failed)?;
        tx.commit().await.map_err(&failed)
    }

    /// `to`: the operator's name; empty: nobody.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn assign_incident(
        &self,
        id: IncidentId,
        to: &str,
        by: &str,
    ) -> Result<(), CatalogError> {
        let failed = CatalogError::doing("assigning an incident");
        let mut tx = self.begin().await.map_err(&failed)?;
        sqlx::query("update incident set assigned_to = $2 where id = $1")
            .bind(id.cast_signed())
            .bind(to)
            .execute(&mut *tx)
            .await
            .map_err(&failed)?;
        let text = match to {
            "" => "nobody has it".to_owned(),
            to => format!("{to} has it"),
        };
        let now = self.clock.now();
        add_event(&mut tx, id, EventKind::Assigned, by, &text, now)
            .await
            .map_err(&failed)?;
        tx.commit().await.map_err(&failed)
    }

    /// False when it is closed already.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn close_incident(
        &self,
        id: IncidentId,
        by: &str,
        cause: &str,
    ) -> Result<bool, CatalogError> {
        let failed = CatalogError::doing("closing an incident");
        let mut tx = self.begin().await.map_err(&failed)?;
        let now = self.clock.now();
        let closed = close(&mut tx, id, by, cause, now).await.map_err(&failed)?;
        tx.commit().await.map_err(&failed)?;
        Ok(closed)
    }
}

async fn step_in(
    tx: &mut PgConnection,
    step: &Step,
    opened_by: &str,
    now: DateTime<Utc>,
) -> Result<Option<IncidentId>, sqlx::Error> {
    let id = match (&step.of, &step.lead) {
        (Joining::Known(id), lead) => {
            if let Some(lead) = lead {
                tell(tx, *id, lead).await?;
            }
            *id
        }
        (Joining::New(about), Some(lead)) => {
            match open(tx, &about.to_string(), lead, opened_by, now).await? {
                Some(id) => id,
                None => return Ok(None),
            }
        }
        (Joining::New(_), None) => return Ok(None),
    };
    let findings: Vec<i64> = step.join.iter().map(|id| id.cast_signed()).collect();
    sqlx::query("update finding set incident = $1 where id = any($2) and incident is null")
        .bind(id.cast_signed())
        .bind(findings)
        .execute(&mut *tx)
        .await?;
    match step.becomes {
        Some(State::Resolved) => resolve(tx, id, Some(now), EventKind::Resolved, now).await?,
        Some(State::Open) => resolve(tx, id, None, EventKind::Reopened, now).await?,
        Some(State::Closed) => {
            close(tx, id, "", "", now).await?;
        }
        None => {}
    }
    Ok(Some(id))
}

async fn open(
    tx: &mut PgConnection,
    about: &str,
    lead: &Lead,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Option<IncidentId>, sqlx::Error> {
    let id: Option<(i64,)> = sqlx::query_as(
        "insert into incident
            (about, code, kind, severity, subject, title, advice, opened_at, opened_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (about) where closed_at is null do nothing returning id",
    )
    .bind(about)
    .bind(&lead.code)
    .bind(&lead.kind)
    .bind(lead.severity.as_str())
    .bind(&lead.subject)
    .bind(&lead.title)
    .bind(&lead.advice)
    .bind(now)
    .bind(by)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((id,)) = id else {
        return Ok(None);
    };
    let id = id.cast_unsigned();
    add_event(tx, id, EventKind::Opened, by, &lead.title, now).await?;
    Ok(Some(id))
}

async fn tell(tx: &mut PgConnection, id: IncidentId, lead: &Lead) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update incident set code = $2, kind = $3, severity = $4, subject = $5, title = $6, advice = $7
         where id = $1 and closed_at is null",
    )
    .bind(id.cast_signed())
    .bind(&lead.code)
    .bind(&lead.kind)
    .bind(lead.severity.as_str())
    .bind(&lead.subject)
    .bind(&lead.title)
    .bind(&lead.advice)
    .execute(tx)
    .await
    .map(drop)
}

/// Over, or not over any more; once, whoever sees it first.
async fn resolve(
    tx: &mut PgConnection,
    id: IncidentId,
    at: Option<DateTime<Utc>>,
    kind: EventKind,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let changed = sqlx::query(
        "update incident set resolved_at = $2
         where id = $1 and closed_at is null and (resolved_at is null) = ($2 is not null)",
    )
    .bind(id.cast_signed())
    .bind(at)
    .execute(&mut *tx)
    .await?;
    if changed.rows_affected() > 0 {
        let text = match kind {
            EventKind::Reopened => "something is found again",
            _ => "",
        };
        add_event(tx, id, kind, "", text, now).await?;
    }
    Ok(())
}

async fn close(
    tx: &mut PgConnection,
    id: IncidentId,
    by: &str,
    cause: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let closed = sqlx::query(
        "update incident set closed_at = $2, closed_by = $3, cause = $4
         where id = $1 and closed_at is null",
    )
    .bind(id.cast_signed())
    .bind(now)
    .bind(by)
    .bind(cause)
    .execute(&mut *tx)
    .await?;
    if closed.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("update runbook_run set ended_at = $2 where incident = $1 and ended_at is null")
        .bind(id.cast_signed())
        .bind(now)
        .execute(&mut *tx)
        .await?;
    let text = match by {
        "" => "nothing was found for a day, and nobody had it",
        _ => cause,
    };
    add_event(tx, id, EventKind::Closed, by, text, now).await?;
    Ok(true)
}

async fn add_event(
    tx: &mut PgConnection,
    id: IncidentId,
    kind: EventKind,
    by: &str,
    text: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into incident_event (incident, at, kind, by_whom, text) values ($1, $2, $3, $4, $5)",
    )
    .bind(id.cast_signed())
    .bind(now)
    .bind(kind.as_str())
    .bind(by)
    .bind(text)
    .execute(tx)
    .await
    .map(drop)
}

impl From<Row> for Incident {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            about: row.about,
            lead: Lead {
                code: row.code,
                kind: row.kind,
                // The table allows no other word.
                severity: Severity::named(&row.severity).unwrap_or(Severity::Critical),
                subject: row.subject,
                title: row.title,
                advice: row.advice,
            },
            opened_at: row.opened_at,
            opened_by: row.opened_by,
            assigned_to: row.assigned_to,
            resolved_at: row.resolved_at,
            closed_at: row.closed_at,
            closed_by: row.closed_by,
            cause: row.cause,
            handled: row.handled,
        }
    }
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        let mut known = EventKind::ALL.into_iter();
        Self {
            at: row.at,
            // The table allows no other word.
            kind: known
                .find(|kind| kind.as_str() == row.kind)
                .unwrap_or(EventKind::Note),
            by: row.by_whom,
            text: row.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{SubsecRound as _, TimeDelta};

    use super::*;
    use crate::{
        catalog::testing::TestCatalog,
        detect::{self, Seen},
        incident::About,
    };

    async fn found(catalog: &Catalog, key: &str, now: DateTime<Utc>) -> Finding {
        let seen = Seen {
            kind: detect::disk::KIND,
            key: key.to_owned(),
            severity: Severity::Critical,
            subject: "web-1/shop-db".to_owned(),
            message: format!("{key} is full"),
            evidence: vec![],
            advice: "look".to_owned(),
        };
        catalog.put_finding(&seen, now).await.unwrap();
        let all = catalog.findings(false).await.unwrap();
        all.into_iter().find(|finding| finding.key == key).unwrap()
    }

    fn opening(finding: &Finding) -> Step {
        Step {
            of: Joining::New(About::Host("web-1".to_owned())),
            join: vec![finding.id],
            lead: Some(Lead::from(finding)),
            becomes: None,
        }
    }

    fn becoming(id: IncidentId, state: State) -> Step {
        Step {
            of: Joining::Known(id),
            join: vec![],
            lead: None,
            becomes: Some(state),
        }
    }

    async fn kinds(catalog: &Catalog, id: IncidentId) -> Vec<EventKind> {
        let events = catalog.incident_events(id).await.unwrap();
        events.into_iter().map(|event| event.kind).collect()
    }

    #[tokio::test]
    async fn one_is_opened_once_goes_on_and_is_closed() {
        let catalog = TestCatalog::new().await;
        let now = Utc::now().trunc_subsecs(6);
        let first = found(&catalog, "a", now).await;
        let take = async |step: Step| catalog.take_incident_step(&step, "", now).await.unwrap();
        let id = take(opening(&first)).await.unwrap();
        // The other controller saw it too.
        assert_eq!(take(opening(&first)).await, None);
        let incident = catalog.incident(id).await.unwrap().unwrap();
        assert_eq!(incident.state(), State::Open);
        assert_eq!(incident.lead, Lead::from(&first));
        assert_eq!(
            (incident.about.as_str(), incident.handled),
            ("host web-1", false)
        );

        let second = found(&catalog, "b", now).await;
        let mut join = becoming(id, State::Resolved);
        join.join = vec![second.id, first.id];
        join.lead = Some(Lead::from(&second));
        take(join.clone()).await;
        take(join).await;
        let of: Vec<_> = catalog.findings_of(id).await.unwrap();
        assert_eq!(
            of.iter().map(|one| one.id).collect::<Vec<_>>(),
            [first.id, second.id]
        );
        take(becoming(id, State::Open)).await;
        catalog
            .assign_incident(id, "ann", "operator/ann")
            .await
            .unwrap();
        catalog
            .note_incident(id, "operator/ann", "full of logs")
            .await
            .unwrap();
        assert!(
            catalog
                .close_incident(id, "operator/ann", "logs")
                .await
                .unwrap()
        );
        assert!(
            !catalog
                .close_incident(id, "operator/bob", "no")
                .await
                .unwrap()
        );
        let told = [
            EventKind::Opened,
            EventKind::Resolved,
            EventKind::Reopened,
            EventKind::Assigned,
            EventKind::Note,
            EventKind::Closed,
        ];
        assert_eq!(kinds(&catalog, id).await, told);
        let closed = catalog.incident(id).await.unwrap().unwrap();
        assert_eq!(closed.state(), State::Closed);
        assert_eq!(
            (closed.cause.as_str(), closed.closed_by.as_str()),
            ("logs", "operator/ann")
        );
        assert_eq!((closed.assigned_to.as_str(), closed.handled), ("ann", true));
        assert_eq!(closed.lead, Lead::from(&second));
        assert_eq!(catalog.incidents(false).await.unwrap(), []);
        assert_eq!(catalog.incidents(true).await.unwrap(), [closed]);
        // What is still found of it stays with it, and the next of the same is another one.
        let left = catalog.findings_to_settle().await.unwrap();
        assert!(
            left.iter().all(|finding| finding.incident == Some(id)),
            "{left:?}"
        );
        let third = found(&catalog, "c", now).await;
        assert_ne!(take(opening(&third)).await.unwrap(), id);
    }

    #[tokio::test]
    async fn findings_of_incidents_are_kept() {
        let catalog = TestCatalog::new().await;
        let now = Utc::now().trunc_subsecs(6);
        let (kept, lone) = (
            found(&catalog, "a", now).await,
            found(&catalog, "b", now).await,
        );
        let step = opening(&kept);
        let id = catalog
            .take_incident_step(&step, "", now)
            .await
            .unwrap()
            .unwrap();
        for finding in [&kept, &lone] {
            let closed = catalog
                .close_finding(&finding.kind, &finding.key, now)
                .await;
            assert!(closed.unwrap());
        }
        let later = now + TimeDelta::days(400);
        assert_eq!(catalog.trim_findings(later).await.unwrap(), 1);
        assert_eq!(catalog.findings_of(id).await.unwrap().len(), 1);
    }
}
