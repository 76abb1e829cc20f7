//! What the policy of a database or a volume wants, for the jobs that are made of it.

use holdfast_proto::names::{DatabaseName, HostName};

use crate::{
    catalog::{Backup, Catalog, CatalogError},
    policy::{Plan, Policy, cover},
};

/// None: no policy protects it, or nobody knows it any more.
///
/// # Errors
/// When the catalog fails.
pub async fn of(catalog: &Catalog, database: &DatabaseName) -> Result<Option<Plan>, CatalogError> {
    let policy = covering(catalog, database).await?;
    Ok(policy.and_then(|policy| policy.plan().cloned()))
}

/// None: none covers it, or nobody knows it any more.
///
/// # Errors
/// When the catalog fails.
pub async fn covering(
    catalog: &Catalog,
    database: &DatabaseName,
) -> Result<Option<Policy>, CatalogError> {
    let applied = catalog.policies().await?;
    let known = catalog.known_databases().await?;
    let known = known
        .iter()
        .find(|known| known.subject.database == *database);
    let covered = known.and_then(|known| cover(&applied.set, &known.subject).policy);
    Ok(covered.cloned())
}

/// As the policy says, else the database's own.
#[must_use]
pub fn host(plan: Option<&Plan>, database: &DatabaseName) -> HostName {
    let drill = plan.and_then(|plan| plan.drill.as_ref());
    let own = || database.host.clone();
    drill
        .and_then(|drill| drill.host.clone())
        .unwrap_or_else(own)
}

/// The newest whole one that can be restored, as far as anybody knows.
///
/// # Errors
/// When the catalog fails.
pub async fn newest_good(
    catalog: &Catalog,
    database: &DatabaseName,
) -> Result<Option<Backup>, CatalogError> {
    let now = catalog.clock.now();
    let backups = catalog.backups_of(database).await?;
    let good = |backup: &Backup| {
        backup.kind.is_whole() && backup.state.is_good() && backup.taken_at <= now
    };
    Ok(backups.into_iter().find(good))
}
