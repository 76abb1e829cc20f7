//! Table `guard_allowance`: what operators have let pass at the guards of hosts.

use chrono::{DateTime, Utc};
use holdfast_proto::{guard::Allowance, names::HostName};
use sqlx::FromRow;

use super::{Catalog, CatalogError};

/// Of a volume, by its name, or of a folder, by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    pub host: HostName,
    pub place: String,
    pub allowance: Allowance,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "String")]
    host: HostName,
    place: String,
    until: DateTime<Utc>,
    reason: String,
    given_by: String,
}

impl Catalog {
    /// One of the same place ends with it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn allow(&self, new: &Allowed) -> Result<(), CatalogError> {
        sqlx::query(
            "insert into guard_allowance (host, place, until, reason, given_by, given_at)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (host, place) do update set
                until = excluded.until, reason = excluded.reason, given_by = excluded.given_by,
                given_at = excluded.given_at",
        )
        .bind(new.host.as_str())
        .bind(&new.place)
        .bind(new.allowance.until)
        .bind(&new.allowance.reason)
        .bind(&new.allowance.by)
        .bind(self.clock.now())
        .execute(&self.pool)
        .await
        .map_err(CatalogError::doing("storing what the guard lets pass"))?;
        Ok(())
    }

    /// Says whether there was one that was not over.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn disallow(&self, host: &HostName, place: &str) -> Result<bool, CatalogError> {
        let until: Option<(DateTime<Utc>,)> = sqlx::query_as(
            "delete from guard_allowance where host = $1 and place = $2 returning until",
        )
        .bind(host.as_str())
        .bind(place)
        .fetch_optional(&self.pool)
        .await
        .map_err(CatalogError::doing("ending what the guard lets pass"))?;
        Ok(until.is_some_and(|(until,)| until > self.clock.now()))
    }

    /// Those that are not over.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn allowances(&self) -> Result<Vec<Allowed>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select host, place, until, reason, given_by from guard_allowance where until > $1
             order by host, place",
        )
        .bind(self.clock.now())
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading what guards let pass"))?;
        let allowed = rows.into_iter().map(|row| Allowed {
            host: row.host,
            place: row.place,
            allowance: Allowance {
                until: row.until,
                reason: row.reason,
                by: row.given_by,
            },
        });
        Ok(allowed.collect())
    }
}

#[cfg(test)]
mod tests {
    use chrono::{SubsecRound as _, TimeDelta};

    use super::*;
    use crate::catalog::testing::TestCatalog;

    #[tokio::test]
    async fn an_allowance_replaces_the_one_before_and_ends_by_itself_or_by_word() {
        let catalog = TestCatalog::new().await;
        let host: HostName = "web-1".parse().unwrap();
        let now = Utc::now().trunc_subsecs(0);
        catalog.add_host(&host, now).await.unwrap();
        let allowed = |minutes, reason: &str| Allowed {
            host: host.clone(),
            place: "shop_db".to_owned(),
            allowance: Allowance {
                until: now + TimeDelta::minutes(minutes),
                reason: reason.to_owned(),
                by: "operator/ann".to_owned(),
            },
        };
        catalog.allow(&allowed(10, "move")).await.unwrap();
        let less = allowed(5, "less is enough");
        catalog.allow(&less).await.unwrap();
        assert_eq!(catalog.allowances().await.unwrap(), [less]);
        catalog.allow(&allowed(-1, "over")).await.unwrap();
        assert_eq!(catalog.allowances().await.unwrap(), []);
        assert!(!catalog.disallow(&host, "shop_db").await.unwrap());
        catalog.allow(&allowed(10, "move")).await.unwrap();
        assert!(catalog.disallow(&host, "shop_db").await.unwrap());
        assert_eq!(catalog.allowances().await.unwrap(), []);
    }
}
