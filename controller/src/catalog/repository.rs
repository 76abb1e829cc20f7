//! Tables `repository` and `repository_reader`: where the backups of each host are, under which sealed
//! key, and which other host may read them for which job.

use chrono::{DateTime, Utc};
use holdfast_proto::names::HostName;
use sqlx::{FromRow, PgConnection};

use super::{Catalog, CatalogError};
use crate::job::JobId;

/// One host's repository, as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct RepositoryRow {
    #[sqlx(try_from = "String")]
    pub host: HostName,
    pub location: String,
    pub sealed_key: Vec<u8>,
    pub created_at: DateTime<Utc>,
    /// Unset while it is being made, or when that was interrupted.
    pub ready_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "host, location, sealed_key, created_at, ready_at";

impl Catalog {
    /// # Errors
    /// When the catalog fails.
    pub async fn repositories(&self) -> Result<Vec<RepositoryRow>, CatalogError> {
        let query = format!("select {COLUMNS} from repository order by host");
        sqlx::query_as(sqlx::AssertSqlSafe(query))
            .fetch_all(&self.pool)
            .await
            .map_err(CatalogError::doing("listing repositories"))
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn repository(&self, host: &HostName) -> Result<Option<RepositoryRow>, CatalogError> {
        let query = format!("select {COLUMNS} from repository where host = $1");
        sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(host.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(CatalogError::doing("looking a repository up"))
    }

    /// Stores the key of a repository that will be made, unless there is one: the first stays.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn add_repository(
        &self,
        host: &HostName,
        location: &str,
        sealed_key: &[u8],
    ) -> Result<RepositoryRow, CatalogError> {
        let query = format!(
            "insert into repository (host, location, sealed_key, created_at) values ($1, $2, $3, $4)
             on conflict (host) do update set host = repository.host
             returning {COLUMNS}"
        );
        sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(host.as_str())
            .bind(location)
            .bind(sealed_key)
            .bind(self.clock.now())
            .fetch_one(&self.pool)
            .await
            .map_err(CatalogError::doing("storing a repository's key"))
    }

    /// The repository is there.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn repository_ready(&self, host: &HostName) -> Result<(), CatalogError> {
        sqlx::query("update repository set ready_at = $2 where host = $1 and ready_at is null")
            .bind(host.as_str())
            .bind(self.clock.now())
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(CatalogError::doing("noting that a repository is made"))
    }

    /// Lets a host read another's repository as long as the job runs.
    ///
    /// # Errors
    /// When the catalog fails, or there is no such job.
    pub async fn let_read(
        &self,
        job: JobId,
        host: &HostName,
        repository: &HostName,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "insert into repository_reader (job, host, repository) values ($1, $2, $3)
             on conflict do nothing",
        )
        .bind(job.cast_signed())
        .bind(host.as_str())
        .bind(repository.as_str())
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(CatalogError::doing(
            "letting a host read another's repository",
        ))
    }

    /// Whether it may: the job was given to it for this, and has not ended.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn may_read(
        &self,
        job: JobId,
        host: &HostName,
        repository: &HostName,
    ) -> Result<bool, CatalogError> {
        let (may,): (bool,) = sqlx::query_as(
            "select exists (
                 select from repository_reader as reader join job on job.id = reader.job
                 where reader.job = $1 and reader.host = $2 and reader.repository = $3
                   and job.ended_at is null)",
        )
        .bind(job.cast_signed())
        .bind(host.as_str())
        .bind(repository.as_str())
        .fetch_one(&self.pool)
        .await
        .map_err(CatalogError::doing(
            "asking whether a host may read another's repository",
        ))?;
        Ok(may)
    }

    /// # Errors
    /// When the catalog fails.
    pub async fn forget_readers(&self, job: JobId) -> Result<(), CatalogError> {
        let failed = CatalogError::doing("ending what a job let hosts read");
        let mut connection = self.pool.acquire().await.map_err(&failed)?;
        forget(&mut connection, job).await.map_err(&failed)
    }
}

pub(super) async fn forget(connection: &mut PgConnection, job: JobId) -> Result<(), sqlx::Error> {
    sqlx::query("delete from repository_reader where job = $1")
        .bind(job.cast_signed())
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::{super::testing::TestCatalog, *};

    fn host(name: &str) -> HostName {
        name.parse().unwrap()
    }

    async fn job(catalog: &Catalog) -> JobId {
        let (id,): (i64,) = sqlx::query_as(
            "insert into job (kind, spec, title, requested_by, created_at, state, summary)
             values ('x', '{}', 'x', 'x', now(), 'running', '{}') returning id",
        )
        .fetch_one(&catalog.pool)
        .await
        .unwrap();
        id.cast_unsigned()
    }

    #[tokio::test]
    async fn the_first_key_of_a_repository_stays() {
        let catalog = TestCatalog::new().await;
        let one = host("web-1");
        let first = catalog.add_repository(&one, "/a", b"1").await.unwrap();
        let second = catalog.add_repository(&one, "/b", b"2").await.unwrap();
        assert_eq!(first, second);
        assert_eq!(first.ready_at, None);
        catalog.repository_ready(&one).await.unwrap();
        let ready = catalog.repository(&one).await.unwrap().unwrap();
        assert!(ready.ready_at.is_some());
        assert_eq!(catalog.repositories().await.unwrap(), vec![ready]);
        assert_eq!(catalog.repository(&host("web-2")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn another_host_reads_only_as_long_as_its_job_runs() {
        let catalog = TestCatalog::new().await;
        let (one, two) = (host("web-1"), host("web-2"));
        let job = job(&catalog).await;
        let may =
            async |job, by: &HostName, of: &HostName| catalog.may_read(job, by, of).await.unwrap();
        assert!(!may(job, &two, &one).await);
        catalog.let_read(job, &two, &one).await.unwrap();
        catalog.let_read(job, &two, &one).await.unwrap();
        assert!(may(job, &two, &one).await);
        assert!(!may(job, &one, &two).await);
        assert!(!may(job, &host("web-3"), &one).await);
        assert!(!may(job + 1, &two, &one).await);
        sqlx::query("update job set state = 'succeeded', ended_at = now()")
            .execute(&catalog.pool)
            .await
            .unwrap();
        assert!(!may(job, &two, &one).await);
        catalog.forget_readers(job).await.unwrap();
    }
}
