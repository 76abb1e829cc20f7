//! Table `certificate`: what was issued to whom, and what of it was revoked.

use chrono::{DateTime, Utc};
use holdfast_chassis::identity::{Certificate, Identity};
use sqlx::{FromRow, PgConnection};

use super::{Catalog, CatalogError};

/// A certificate as it was issued, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct CertificateRow {
    pub serial: String,
    /// `host/web-1`, `operator/alice`.
    pub subject: String,
    /// Operators only.
    pub role: Option<String>,
    pub issued_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A host or operator that has at least one certificate which is not revoked.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct SubjectRow {
    pub subject: String,
    /// Of the newest certificate; operators only.
    pub role: Option<String>,
    /// When the first of them was issued.
    pub enrolled_at: DateTime<Utc>,
    /// When the last of them ends; may lie in the past.
    pub expires_at: DateTime<Utc>,
}

impl Catalog {
    /// Every certificate that was still in its time at `since`, revoked ones too.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn certificates_since(
        &self,
        since: DateTime<Utc>,
    ) -> Result<Vec<CertificateRow>, CatalogError> {
        sqlx::query_as(
            "select serial, subject, role, issued_at, expires_at, revoked_at
             from certificate where expires_at > $1",
        )
        .bind(since)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading the certificates"))
    }

    /// Hosts (`host/%`) or operators (`operator/%`) that were enrolled and not removed since.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn enrolled_subjects(&self, like: &str) -> Result<Vec<SubjectRow>, CatalogError> {
        sqlx::query_as(
            "select subject,
                    (array_agg(role order by issued_at desc))[1] as role,
                    min(issued_at) as enrolled_at,
                    max(expires_at) as expires_at
             from certificate
             where revoked_at is null and subject like $1
             group by subject order by subject",
        )
        .bind(like)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing who is enrolled"))
    }
}

/// Whatever changes certificates or tokens of one subject comes one after the other.
pub(crate) async fn lock_subject(
    connection: &mut PgConnection,
    subject: &str,
) -> Result<(), CatalogError> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(subject)
        .execute(connection)
        .await
        .map(drop)
        .map_err(CatalogError::doing("locking a subject's certificates"))
}

pub(crate) async fn insert_certificate(
    connection: &mut PgConnection,
    certificate: &Certificate,
    issued_at: DateTime<Utc>,
) -> Result<(), CatalogError> {
    let role = match &certificate.identity {
        Identity::Operator { role, .. } => Some(role.to_string()),
        Identity::Host(_) | Identity::Controller => None,
    };
    sqlx::query(
        "insert into certificate (serial, subject, role, issued_at, expires_at)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(&certificate.serial)
    .bind(certificate.identity.to_string())
    .bind(role)
    .bind(issued_at)
    .bind(certificate.expires_at)
    .execute(connection)
    .await
    .map(drop)
    .map_err(CatalogError::doing("recording a certificate"))
}

/// The newest certificate of a subject that is neither revoked nor expired.
pub(crate) async fn valid_certificate(
    connection: &mut PgConnection,
    subject: &str,
    now: DateTime<Utc>,
) -> Result<Option<CertificateRow>, CatalogError> {
    sqlx::query_as(
        "select serial, subject, role, issued_at, expires_at, revoked_at
         from certificate
         where subject = $1 and revoked_at is null and expires_at > $2
         order by expires_at desc limit 1",
    )
    .bind(subject)
    .bind(now)
    .fetch_optional(connection)
    .await
    .map_err(CatalogError::doing("looking a certificate up"))
}

/// Whether a certificate was issued by this controller and not revoked since.
pub(crate) async fn is_unrevoked(
    connection: &mut PgConnection,
    serial: &str,
) -> Result<bool, CatalogError> {
    sqlx::query_scalar(
        "select exists (select from certificate where serial = $1 and revoked_at is null)",
    )
    .bind(serial)
    .fetch_one(connection)
    .await
    .map_err(CatalogError::doing("looking a certificate up"))
}

/// Revokes all of a subject's certificates and returns their serial numbers; those whose time
/// is over are marked too, so that the subject counts as removed.
pub(crate) async fn revoke_certificates(
    connection: &mut PgConnection,
    subject: &str,
    by: &str,
    now: DateTime<Utc>,
) -> Result<Vec<String>, CatalogError> {
    sqlx::query_scalar(
        "update certificate set revoked_at = $2, revoked_by = $3
         where subject = $1 and revoked_at is null
         returning serial",
    )
    .bind(subject)
    .bind(now)
    .bind(by)
    .fetch_all(connection)
    .await
    .map_err(CatalogError::doing("revoking certificates"))
}
