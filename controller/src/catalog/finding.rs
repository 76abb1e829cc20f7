//! Table `finding`: what detectors saw, from when to when.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, types::Json};

use super::{Catalog, CatalogError};
use crate::detect::{Evidence, Finding, Seen, Severity};

#[derive(FromRow)]
pub(super) struct Row {
    #[sqlx(try_from = "i64")]
    id: u64,
    code: String,
    kind: String,
    key: String,
    severity: String,
    subject: String,
    message: String,
    evidence: Json<Vec<Evidence>>,
    advice: String,
    opened_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    incident: Option<i64>,
}

impl Catalog {
    /// Open ones first, all of them; then by time, the newest first; closed ones of the last weeks only.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn findings(&self, include_closed: bool) -> Result<Vec<Finding>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select * from finding where closed_at is null or $1
             order by (closed_at is not null), opened_at desc, id desc
             limit 1000 + (select count(*) from finding where closed_at is null)",
        )
        .bind(include_closed)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing findings"))?;
        Ok(rows.into_iter().map(Finding::from).collect())
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn finding(&self, id: u64) -> Result<Option<Finding>, CatalogError> {
        let row: Option<Row> = sqlx::query_as("select * from finding where id = $1")
            .bind(id.cast_signed())
            .fetch_optional(&self.pool)
            .await
            .map_err(CatalogError::doing("reading a finding"))?;
        Ok(row.map(Finding::from))
    }

    /// Opens the finding, or brings the open one of its kind and key up to date. True: it is new.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn put_finding(&self, seen: &Seen, now: DateTime<Utc>) -> Result<bool, CatalogError> {
        let (new,): (bool,) = sqlx::query_as(
            "insert into finding (kind, key, severity, subject, message, advice, opened_at, code, evidence)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             on conflict (kind, key) where closed_at is null do update set
                severity = excluded.severity, subject = excluded.subject,
                message = excluded.message, advice = excluded.advice,
                code = excluded.code, evidence = excluded.evidence
             returning xmax = 0",
        )
        .bind(seen.kind.name)
        .bind(&seen.key)
        .bind(seen.severity.as_str())
        .bind(&seen.subject)
        .bind(&seen.message)
        .bind(&seen.advice)
        .bind(now)
        .bind(seen.kind.code)
        .bind(Json(&seen.evidence))
        .fetch_one(&self.pool)
        .await
        .map_err(CatalogError::doing("storing a finding"))?;
        Ok(new)
    }

    /// Closes the open finding of this kind and key, if there is one.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn close_finding(
        &self,
        kind: &str,
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        let closed = sqlx::query(
            "update finding set closed_at = $3 where kind = $1 and key = $2 and closed_at is null",
        )
        .bind(kind)
        .bind(key)
        .bind(now)
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("closing a finding"))?;
        Ok(closed.rows_affected() > 0)
    }

    /// Forgets findings that were closed before this; what belongs to an incident stays with it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn trim_findings(&self, before: DateTime<Utc>) -> Result<u64, CatalogError> {
        let trimmed = sqlx::query("delete from finding where closed_at < $1 and incident is null")
            .bind(before)
            .execute(&self.pool)
            .await
            .map_err(CatalogError::doing("trimming findings"))?;
        Ok(trimmed.rows_affected())
    }
}

impl From<Row> for Finding {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            code: row.code,
            kind: row.kind,
            key: row.key,
            // The table allows no other word.
            severity: Severity::named(&row.severity).unwrap_or(Severity::Critical),
            subject: row.subject,
            message: row.message,
            evidence: row.evidence.0,
            advice: row.advice,
            opened_at: row.opened_at,
            closed_at: row.closed_at,
            incident: row.incident.map(i64::cast_unsigned),
        }
    }
}
