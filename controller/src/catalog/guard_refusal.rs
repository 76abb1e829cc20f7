//! Table `guard_refusal`: what the guards of hosts have refused.

use chrono::{DateTime, Utc};
use holdfast_proto::{guard::GuardRefusal, names::HostName};
use sqlx::FromRow;

use super::{Catalog, CatalogError};

/// A refusal, and where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRefusal {
    pub host: HostName,
    pub refusal: GuardRefusal,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "String")]
    host: HostName,
    at: DateTime<Utc>,
    rule: String,
    place: String,
    call: String,
    sentence: String,
}

impl Catalog {
    /// What is there already stays as it is; a host that left takes none.
    ///
    /// # Errors
    /// When the catalog fails; nothing of it is stored then.
    pub async fn add_guard_refusals(
        &self,
        host: &HostName,
        refusals: &[GuardRefusal],
    ) -> Result<(), CatalogError> {
        let failed = CatalogError::doing("storing what a guard has refused");
        let mut tx = self.begin().await.map_err(&failed)?;
        for refusal in refusals {
            sqlx::query(
                "insert into guard_refusal (host, at, rule, place, call, sentence)
                 select name, $2, $3, $4, $5, $6 from host where name = $1
                 on conflict (host, at, place, call) do nothing",
            )
            .bind(host.as_str())
            .bind(refusal.at)
            .bind(&refusal.rule)
            .bind(&refusal.place)
            .bind(&refusal.call)
            .bind(&refusal.sentence)
            .execute(&mut *tx)
            .await
            .map_err(&failed)?;
        }
        tx.commit().await.map_err(&failed)
    }

    /// The newest, newest first; of one host, or of all.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn guard_refusals(
        &self,
        host: Option<&HostName>,
        limit: u32,
    ) -> Result<Vec<HostRefusal>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select host, at, rule, place, call, sentence from guard_refusal
             where $1 is null or host = $1 order by at desc, id desc limit $2",
        )
        .bind(host.map(HostName::as_str))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("listing what guards have refused"))?;
        Ok(rows.into_iter().map(HostRefusal::from).collect())
    }

    /// In that time, oldest first; without an end, until now.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn guard_refusals_between(
        &self,
        from: DateTime<Utc>,
        to: Option<DateTime<Utc>>,
    ) -> Result<Vec<HostRefusal>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select host, at, rule, place, call, sentence from guard_refusal
             where at >= $1 and at <= coalesce($2, 'infinity') order by at, id",
        )
        .bind(from)
        .bind(to)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading what guards have refused"))?;
        Ok(rows.into_iter().map(HostRefusal::from).collect())
    }

    /// Forgets what was refused before this.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn trim_guard_refusals(&self, before: DateTime<Utc>) -> Result<u64, CatalogError> {
        let trimmed = sqlx::query("delete from guard_refusal where at < $1")
            .bind(before)
            .execute(&self.pool)
            .await
            .map_err(CatalogError::doing("trimming what guards have refused"))?;
        Ok(trimmed.rows_affected())
    }
}

impl From<Row> for HostRefusal {
    fn from(row: Row) -> Self {
        Self {
            host: row.host,
            refusal: GuardRefusal {
                at: row.at,
                rule: row.rule,
                place: row.place,
                call: row.call,
                sentence: row.sentence,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{SubsecRound as _, TimeDelta};

    use super::*;
    use crate::catalog::testing::TestCatalog;

    #[tokio::test]
    async fn what_is_told_twice_is_stored_once_and_kept_until_it_is_old() {
        let catalog = TestCatalog::new().await;
        let (web, other): (HostName, HostName) =
            ("web-1".parse().unwrap(), "web-2".parse().unwrap());
        let now = Utc::now().trunc_subsecs(6);
        catalog.add_host(&web, now).await.unwrap();
        let refusal = |minutes| GuardRefusal {
            at: now + TimeDelta::minutes(minutes),
            rule: "loss".to_owned(),
            place: "shop_db".to_owned(),
            call: "DELETE volumes/shop_db".to_owned(),
            sentence: "no".to_owned(),
        };
        let add = async |host: &HostName, refusals: &[GuardRefusal]| {
            catalog.add_guard_refusals(host, refusals).await.unwrap();
        };
        add(&web, &[refusal(0), refusal(1)]).await;
        add(&web, &[refusal(1), refusal(2)]).await;
        // It has left.
        add(&other, &[refusal(0)]).await;
        let minutes = |found: Vec<HostRefusal>| {
            let at = found.iter().map(|one| (one.refusal.at - now).num_minutes());
            at.collect::<Vec<_>>()
        };
        let newest = catalog.guard_refusals(Some(&web), 2).await.unwrap();
        assert_eq!(newest[0].refusal, refusal(2));
        assert_eq!(minutes(newest), [2, 1]);
        assert_eq!(
            minutes(catalog.guard_refusals(None, 9).await.unwrap()),
            [2, 1, 0]
        );
        assert_eq!(catalog.guard_refusals(Some(&other), 9).await.unwrap(), []);
        let from = now + TimeDelta::seconds(30);
        let between = catalog.guard_refusals_between(from, None).await.unwrap();
        assert_eq!(minutes(between), [1, 2]);
        let between = catalog
            .guard_refusals_between(now, Some(from))
            .await
            .unwrap();
        assert_eq!(minutes(between), [0]);
        assert_eq!(catalog.trim_guard_refusals(from).await.unwrap(), 1);
        assert_eq!(
            minutes(catalog.guard_refusals(None, 9).await.unwrap()),
            [2, 1]
        );
    }
}
