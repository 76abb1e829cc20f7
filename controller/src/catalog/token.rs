//! Table `enrolment_token`: one-time tokens, by the digest of their secret.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use super::CatalogError;

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct TokenRow {
    /// `host/web-1`, `operator/alice`.
    pub subject: String,
    /// Operators only.
    pub role: Option<String>,
    pub expires_at: DateTime<Utc>,
    pub used_at: Option<DateTime<Utc>>,
    pub used_from: Option<String>,
    pub withdrawn_at: Option<DateTime<Utc>>,
}

/// A token about to be stored.
#[derive(Debug)]
pub(crate) struct NewToken<'a> {
    pub digest: [u8; 32],
    pub subject: &'a str,
    pub role: Option<String>,
    pub created_at: DateTime<Utc>,
    pub created_by: &'a str,
    pub expires_at: DateTime<Utc>,
}

pub(crate) async fn insert_token(
    connection: &mut PgConnection,
    token: NewToken<'_>,
) -> Result<(), CatalogError> {
    sqlx::query(
        "insert into enrolment_token (digest, subject, role, created_at, created_by, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(token.digest.as_slice())
    .bind(token.subject)
    .bind(token.role)
    .bind(token.created_at)
    .bind(token.created_by)
    .bind(token.expires_at)
    .execute(connection)
    .await
    .map(drop)
    .map_err(CatalogError::doing("storing an enrolment token"))
}

/// The row stays locked until the transaction ends: of two who bring the same token, the second
/// waits and then finds it used.
pub(crate) async fn find_token(
    connection: &mut PgConnection,
    digest: [u8; 32],
) -> Result<Option<TokenRow>, CatalogError> {
    sqlx::query_as(
        "select subject, role, expires_at, used_at, used_from, withdrawn_at
         from enrolment_token where digest = $1 for update",
    )
    .bind(digest.as_slice())
    .fetch_optional(connection)
    .await
    .map_err(CatalogError::doing("looking an enrolment token up"))
}

pub(crate) async fn mark_used(
    connection: &mut PgConnection,
    digest: [u8; 32],
    at: DateTime<Utc>,
    from: &str,
) -> Result<(), CatalogError> {
    sqlx::query("update enrolment_token set used_at = $2, used_from = $3 where digest = $1")
        .bind(digest.as_slice())
        .bind(at)
        .bind(from)
        .execute(connection)
        .await
        .map(drop)
        .map_err(CatalogError::doing("marking an enrolment token as used"))
}

/// Returns how many unused tokens of the subject were still good.
pub(crate) async fn withdraw_tokens(
    connection: &mut PgConnection,
    subject: &str,
    now: DateTime<Utc>,
) -> Result<u64, CatalogError> {
    sqlx::query(
        "update enrolment_token set withdrawn_at = $2
         where subject = $1 and used_at is null and withdrawn_at is null and expires_at > $2",
    )
    .bind(subject)
    .bind(now)
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
    .map_err(CatalogError::doing("withdrawing enrolment tokens"))
}
