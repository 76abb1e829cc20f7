//! What a server says of itself and of one database, for a preflight to judge.

mod collations;
mod roles;
mod server;
mod source;

use holdfast_proto::{
    fleet::Engine,
    task::{DatabaseFacts, DescribeDatabase, TaskFailure},
};
use tokio_postgres::Client;

pub use roles::used as roles_used;

use super::{databases::MAINTENANCE, failure::failed, settings};
use crate::observe::{host, instances::Located};

/// Reads the facts. A database that does not exist is a fact.
///
/// # Errors
/// When the server is not reached or does not answer.
pub async fn read(
    located: &Located,
    spec: &DescribeDatabase,
) -> Result<DatabaseFacts, TaskFailure> {
    let doing = format!(
        "describing {}/{}",
        spec.target.instance, spec.target.database
    );
    let explain = |error| failed(&doing, &error);
    let client = maintenance(located).await?;
    let mut facts = DatabaseFacts {
        cpus: host::cpus(),
        engine: Some(Engine::Postgres),
        ..DatabaseFacts::default()
    };
    let limit = settings::LOCK_LIMIT;
    client.batch_execute(limit).await.map_err(explain)?;
    server::read(&client, &spec.target.database, &mut facts)
        .await
        .map_err(explain)?;
    facts.disk_free_bytes = disk_free(located, &client).await;
    if spec.as_source {
        facts.preload_libraries = server::preload_libraries(&client).await.map_err(explain)?;
        if !facts.exists {
            return Ok(facts);
        }
        let inside = located
            .route
            .connect(&spec.target.database)
            .await
            .map_err(|error| error.into_failure(&located.name))?;
        inside.batch_execute(limit).await.map_err(explain)?;
        source::read(&inside, &spec.target.database, &spec.selection, &mut facts)
            .await
            .map_err(explain)?;
    } else {
        server::read_capabilities(&client, &mut facts)
            .await
            .map_err(explain)?;
        facts.collations = collations::of_new_databases(&client, facts.version_num)
            .await
            .map_err(explain)?;
        facts.roles = roles::all(&client).await.map_err(explain)?;
    }
    Ok(facts)
}

async fn maintenance(located: &Located) -> Result<Client, TaskFailure> {
    let [first, second] = MAINTENANCE;
    match located.route.connect(first).await {
        Ok(client) => Ok(client),
        Err(error) => match located.route.connect(second).await {
            Ok(client) => Ok(client),
            Err(_) => Err(error.into_failure(&located.name)),
        },
    }
}

/// Of the file system under the data directory, through the server's own view of it.
async fn disk_free(located: &Located, client: &Client) -> Option<u64> {
    let pid = located.server_pid?;
    let directory = if located.data_directory.is_empty() {
        let row = client
            .query_one("SELECT pg_catalog.current_setting('data_directory')", &[])
            .await
            .ok()?;
        row.get::<_, String>(0)
    } else {
        located.data_directory.clone()
    };
    let path = format!("/proc/{pid}/root{directory}");
    let status = rustix::fs::statvfs(path.as_str()).ok()?;
    Some(status.f_bavail * status.f_frsize)
}
