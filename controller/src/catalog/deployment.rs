//! Table `deployment`: what compose projects looked like before they were deployed.

use chrono::{DateTime, Utc};
use holdfast_proto::names::HostName;
use sqlx::types::Json;

use super::{Catalog, CatalogError};
use crate::deployment::Deployment;

impl Catalog {
    /// # Errors
    /// When the catalog fails.
    pub async fn add_deployment(
        &self,
        deployment: &Deployment,
        by: &str,
        at: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "insert into deployment (project, host, recorded_at, recorded_by, picture)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(&deployment.project)
        .bind(deployment.host.as_ref().map_or("", HostName::as_str))
        .bind(at)
        .bind(by)
        .bind(Json(deployment))
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(CatalogError::doing(
            "noting what a project has before it is deployed",
        ))
    }

    /// The one that was noted last, of the project on this host (none: on all).
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn last_deployment(
        &self,
        project: &str,
        host: Option<&HostName>,
    ) -> Result<Option<Deployment>, CatalogError> {
        let row: Option<(Json<Deployment>,)> = sqlx::query_as(
            "select picture from deployment where project = $1 and host = $2
             order by id desc limit 1",
        )
        .bind(project)
        .bind(host.map_or("", HostName::as_str))
        .fetch_optional(&self.pool)
        .await
        .map_err(CatalogError::doing(
            "reading what a project had before it was deployed",
        ))?;
        Ok(row.map(|(Json(deployment),)| deployment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing::TestCatalog;

    #[tokio::test]
    async fn the_last_one_of_a_project_and_host_is_found() {
        let catalog = TestCatalog::new().await;
        let now = catalog.clock.now();
        let web: HostName = "web-1".parse().unwrap();
        let make = |host: Option<&HostName>, at| Deployment {
            project: "shop".to_owned(),
            host: host.cloned(),
            at,
            volumes: vec![],
            data: vec![],
            counts: vec![],
        };
        let first = make(None, DateTime::UNIX_EPOCH);
        let second = make(None, DateTime::UNIX_EPOCH + chrono::TimeDelta::days(1));
        for one in [&first, &second, &make(Some(&web), DateTime::UNIX_EPOCH)] {
            catalog
                .add_deployment(one, "operator/ann", now)
                .await
                .unwrap();
        }
        let last = |host| catalog.last_deployment("shop", host);
        assert_eq!(last(None).await.unwrap(), Some(second));
        let own = last(Some(&web)).await.unwrap().unwrap();
        assert_eq!(own.host, Some(web));
        let other = catalog.last_deployment("crm", None).await.unwrap();
        assert_eq!(other, None);
    }
}
