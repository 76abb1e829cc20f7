//! Table `instance_registration`: instances outside containers, known by their address.

use holdfast_proto::{
    fleet::Engine,
    link::{RegisteredInstance, TlsMode},
    names::HostName,
};
use sqlx::FromRow;

use super::{Catalog, CatalogError};

#[derive(FromRow)]
struct Row {
    host: String,
    name: String,
    engine: String,
    address: String,
    port: i32,
    user_name: String,
    database: String,
    tls_mode: String,
}

impl Catalog {
    /// Registers the instance; one of the same name on that host is replaced. Says whether one was.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn register_instance(
        &self,
        host: &HostName,
        instance: &RegisteredInstance,
        registered_by: &str,
    ) -> Result<bool, CatalogError> {
        let (replaced,): (bool,) = sqlx::query_as(
            "insert into instance_registration
                (host, name, engine, address, port, user_name, database, tls_mode, registered_by, registered_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             on conflict (host, name) do update set
                engine = excluded.engine, address = excluded.address, port = excluded.port,
                user_name = excluded.user_name, database = excluded.database,
                tls_mode = excluded.tls_mode, registered_by = excluded.registered_by,
                registered_at = excluded.registered_at
             returning xmax <> 0",
        )
        .bind(host.as_str())
        .bind(&instance.name)
        .bind(engine_text(instance.engine))
        .bind(&instance.address)
        .bind(i32::from(instance.port))
        .bind(&instance.user)
        .bind(&instance.database)
        .bind(tls_mode_text(instance.tls_mode))
        .bind(registered_by)
        .bind(self.clock.now())
        .fetch_one(&self.pool)
        .await
        .map_err(CatalogError::doing("registering an instance"))?;
        Ok(replaced)
    }

    /// Says whether it was there.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn unregister_instance(
        &self,
        host: &HostName,
        name: &str,
    ) -> Result<bool, CatalogError> {
        sqlx::query("delete from instance_registration where host = $1 and name = $2")
            .bind(host.as_str())
            .bind(name)
            .execute(&self.pool)
            .await
            .map(|done| done.rows_affected() > 0)
            .map_err(CatalogError::doing(
                "removing the registration of an instance",
            ))
    }

    /// Instances registered for the host, by name.
    ///
    /// # Errors
    /// When the catalog fails, or holds what no controller writes.
    pub async fn registered_instances(
        &self,
        host: &HostName,
    ) -> Result<Vec<RegisteredInstance>, CatalogError> {
        let all = self.read_registrations(Some(host)).await?;
        Ok(all.into_iter().map(|(_, instance)| instance).collect())
    }

    /// Those of every host, by host and name.
    ///
    /// # Errors
    /// As [`Self::registered_instances`].
    pub async fn all_registered_instances(
        &self,
    ) -> Result<Vec<(HostName, RegisteredInstance)>, CatalogError> {
        self.read_registrations(None).await
    }

    async fn read_registrations(
        &self,
        host: Option<&HostName>,
    ) -> Result<Vec<(HostName, RegisteredInstance)>, CatalogError> {
        let failed = CatalogError::doing("reading registered instances");
        let rows: Vec<Row> = sqlx::query_as(
            "select host, name, engine, address, port, user_name, database, tls_mode
             from instance_registration where $1::text is null or host = $1 order by host, name",
        )
        .bind(host.map(HostName::as_str))
        .fetch_all(&self.pool)
        .await
        .map_err(&failed)?;
        rows.into_iter()
            .map(|row| registration(row).map_err(&failed))
            .collect()
    }
}

fn registration(row: Row) -> Result<(HostName, RegisteredInstance), sqlx::Error> {
    let Row {
        host,
        name,
        engine,
        address,
        port,
        user_name,
        database,
        tls_mode,
    } = row;
    let wrong =
        |what: &str| sqlx::Error::Decode(format!("registered instance {name:?}: {what}").into());
    let engine = ENGINES.iter().find(|(_, text)| *text == engine);
    let tls_mode = TLS_MODES.iter().find(|(_, text)| *text == tls_mode);
    let host = host
        .parse()
        .map_err(|_| wrong("a host name that is none"))?;
    let instance = RegisteredInstance {
        engine: engine.ok_or_else(|| wrong("an engine that is none"))?.0,
        tls_mode: tls_mode.ok_or_else(|| wrong("a TLS mode that is none"))?.0,
        port: u16::try_from(port).map_err(|_| wrong("a port that is none"))?,
        name,
        address,
        user: user_name,
        database,
    };
    Ok((host, instance))
}

const ENGINES: [(Engine, &str); 3] = [
    (Engine::Postgres, "postgres"),
    (Engine::Mariadb, "mariadb"),
    (Engine::Mysql, "mysql"),
];

const TLS_MODES: [(TlsMode, &str); 3] = [
    (TlsMode::Disable, "disable"),
    (TlsMode::Prefer, "prefer"),
    (TlsMode::Require, "require"),
];

fn engine_text(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgres",
        Engine::Mariadb => "mariadb",
        Engine::Mysql => "mysql",
    }
}

fn tls_mode_text(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Disable => "disable",
        TlsMode::Prefer => "prefer",
        TlsMode::Require => "require",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing::TestCatalog;

    #[tokio::test]
    async fn a_registration_reads_back_is_replaced_and_removed() {
        let catalog = TestCatalog::new().await;
        let host: HostName = "web-1".parse().unwrap();
        catalog.add_host(&host, catalog.clock.now()).await.unwrap();
        for (engine, _) in ENGINES {
            for (tls_mode, _) in TLS_MODES {
                let instance = RegisteredInstance {
                    name: "rds".to_owned(),
                    engine,
                    address: "db.example.com".to_owned(),
                    port: 5432,
                    user: "holdfast".to_owned(),
                    database: "postgres".to_owned(),
                    tls_mode,
                };
                let known = catalog.registered_instances(&host).await.unwrap();
                let replaced = catalog
                    .register_instance(&host, &instance, "operator/alice")
                    .await
                    .unwrap();
                assert_eq!(replaced, !known.is_empty());
                assert_eq!(
                    catalog.registered_instances(&host).await.unwrap(),
                    [instance]
                );
            }
        }
        let all = catalog.all_registered_instances().await.unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].0, host);
        assert!(catalog.unregister_instance(&host, "rds").await.unwrap());
        assert!(!catalog.unregister_instance(&host, "rds").await.unwrap());
        assert_eq!(catalog.registered_instances(&host).await.unwrap(), []);
    }
}
