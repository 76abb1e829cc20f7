//! Work that one controller does at a time: an advisory lock of the catalog, held by a transaction.

use sqlx::{Postgres, Transaction};

use super::{Catalog, CatalogError};

/// Held while the schedule is looked at.
pub const SCHEDULING: i64 = 0x686f_6c64_0005;

/// The lead, until it is given back; a controller that dies loses it with its connection.
#[derive(Debug)]
pub struct Lead {
    transaction: Transaction<'static, Postgres>,
}

impl Catalog {
    /// None: another controller leads.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn lead(&self, what: i64) -> Result<Option<Lead>, CatalogError> {
        let failed = CatalogError::doing("asking for the lead");
        let mut transaction = self.begin().await.map_err(&failed)?;
        let (leads,): (bool,) = sqlx::query_as("select pg_try_advisory_xact_lock($1)")
            .bind(what)
            .fetch_one(&mut *transaction)
            .await
            .map_err(&failed)?;
        Ok(leads.then_some(Lead { transaction }))
    }
}

impl Lead {
    /// # Errors
    /// When the catalog fails; the lead is lost then as well.
    pub async fn give_back(self) -> Result<(), CatalogError> {
        let ended = self.transaction.commit().await;
        ended.map_err(CatalogError::doing("giving back the lead"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing::TestCatalog;

    #[tokio::test]
    async fn one_leads_until_it_gives_back() {
        let catalog = TestCatalog::new().await;
        let first = catalog.lead(SCHEDULING).await.unwrap().unwrap();
        assert!(catalog.lead(SCHEDULING).await.unwrap().is_none());
        assert!(catalog.lead(SCHEDULING + 1).await.unwrap().is_some());
        first.give_back().await.unwrap();
        assert!(catalog.lead(SCHEDULING).await.unwrap().is_some());
    }
}
