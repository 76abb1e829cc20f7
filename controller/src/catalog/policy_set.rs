//! Table `policy_set`: every set of policies that was applied; the newest one holds.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Catalog, CatalogError};
use crate::policy::{
    PolicySet,
    file::{document, read},
};

/// What holds, and its number; 0: nobody has applied anything, and the built-in default holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    pub version: u64,
    /// None: nobody has applied anything.
    pub at: Option<DateTime<Utc>>,
    pub set: PolicySet,
}

impl Catalog {
    /// # Errors
    /// When the catalog fails, or holds a set that this version cannot read.
    pub async fn policies(&self) -> Result<Applied, CatalogError> {
        let failed = CatalogError::doing("reading the policies");
        let row: Option<(i64, DateTime<Utc>, Value)> = sqlx::query_as(
            "select version, applied_at, document from policy_set order by version desc limit 1",
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(&failed)?;
        let Some((version, at, document)) = row else {
            return Ok(Applied {
                version: 0,
                at: None,
                set: PolicySet::default(),
            });
        };
        let set = read(&document.to_string()).map_err(|mistakes| {
            let first = mistakes
                .first()
                .map(ToString::to_string)
                .unwrap_or_default();
            failed(sqlx::Error::Decode(
                format!("version {version}: {first}").into(),
            ))
        })?;
        Ok(Applied {
            version: version.cast_unsigned(),
            at: Some(at),
            set,
        })
    }

    /// Makes this set hold after the one of the given version. None: another one holds already.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn apply_policies(
        &self,
        set: &PolicySet,
        after: u64,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<u64>, CatalogError> {
        // Two at once: the second one's number is taken.
        let applied: Option<(i64,)> = sqlx::query_as(
            "insert into policy_set (version, document, applied_by, applied_at)
             select $1 + 1, $2, $3, $4
             where $1 = coalesce((select max(version) from policy_set), 0)
             on conflict do nothing returning version",
        )
        .bind(after.cast_signed())
        .bind(document(set))
        .bind(by)
        .bind(now)
        .fetch_optional(&self.pool)
        .await
        .map_err(CatalogError::doing("applying policies"))?;
        Ok(applied.map(|(version,)| version.cast_unsigned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing::TestCatalog;

    #[tokio::test]
    async fn the_newest_set_holds_and_nobody_overwrites_what_he_has_not_seen() {
        let catalog = TestCatalog::new().await;
        let before = catalog.policies().await.unwrap();
        assert_eq!((before.version, &before.set), (0, &PolicySet::default()));
        let first = read("default: {backup: hourly}").unwrap();
        let second = read("default: {backup: weekly}").unwrap();
        let apply = |set, after| catalog.apply_policies(set, after, "operator/ann", Utc::now());
        let (a, b) = tokio::join!(apply(&first, 0), apply(&second, 0));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!((a == Some(1)) != (b == Some(1)), "{a:?} {b:?}");
        assert_eq!(apply(&second, 0).await.unwrap(), None);
        assert_eq!(apply(&second, 7).await.unwrap(), None);
        assert_eq!(apply(&second, 1).await.unwrap(), Some(2));
        let now = catalog.policies().await.unwrap();
        assert_eq!((now.version, now.set), (2, second));
    }
}
