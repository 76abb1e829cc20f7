//! Gives every covered database the user-count checks of its policy, and takes away those that no policy wants
//! any more. A check of the same name that an operator has set is the operator's: it stays as it is.

use chrono::{DateTime, Utc};

use crate::{
    catalog::{Catalog, CatalogError},
    check::Check,
    standing::Standing,
};

/// Who has set a check, when a policy has.
const BY: &str = "policy/";

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// With the policy that wants it.
    put: Vec<(Check, String)>,
    remove: Vec<Check>,
}

/// Puts and removes what is missing and what is too much.
///
/// # Errors
/// When the catalog fails; the next look makes up for it.
pub async fn settle(
    catalog: &Catalog,
    standing: &Standing,
    now: DateTime<Utc>,
) -> Result<(), CatalogError> {
    let plan = plan(standing, &catalog.checks_with_owner().await?);
    for (check, by) in &plan.put {
        catalog.put_check(check, by, now).await?;
        tracing::info!(
            check = check.full_name(),
            by,
            "a policy gives a database a check"
        );
    }
    for check in &plan.remove {
        catalog.remove_check(&check.database, &check.name).await?;
        tracing::info!(
            check = check.full_name(),
            "no policy wants this check any more"
        );
    }
    Ok(())
}

/// `known`: every check with who has set it.
fn plan(standing: &Standing, known: &[(Check, String)]) -> Plan {
    let mut wanted: Vec<(Check, String)> = Vec::new();
    for database in &standing.databases {
        let checks = database.plan().map(|plan| plan.checks.as_slice());
        for check in checks.unwrap_or_default() {
            let check = Check {
                id: 0,
                database: database.subject.database.clone(),
                name: check.name.clone(),
                count_sql: check.count.clone(),
                newest_sql: check.newest.clone(),
                limits: check.limits.clone(),
                every: check.every,
                timeout: check.timeout,
            };
            wanted.push((check, format!("{BY}{}", database.policy)));
        }
    }
    let same = |a: &Check, b: &Check| a.database == b.database && a.name == b.name;
    let own = known.iter().filter(|(_, by)| by.starts_with(BY));
    let remove = own.filter(|(check, _)| !wanted.iter().any(|(w, _)| same(w, check)));
    let remove = remove.map(|(check, _)| check.clone()).collect();
    wanted.retain(
        |(check, by)| match known.iter().find(|(k, _)| same(k, check)) {
            None => true,
            Some((_, owner)) if !owner.starts_with(BY) => false,
            Some((there, owner)) => {
                let there = Check {
                    id: 0,
                    ..there.clone()
                };
                there != *check || owner != by
            }
        },
    );
    Plan {
        put: wanted,
        remove,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::testing::TestCatalog,
        policy::{Known, Subject, file::read},
        standing::{gather, stand},
    };

    async fn standing(catalog: &Catalog, file: &str) -> Standing {
        let mut gathered = gather(catalog).await.unwrap();
        gathered.applied.set = read(file).unwrap();
        let known = |name: &str| Known {
            subject: Subject {
                database: name.parse().unwrap(),
                engine: Some(holdfast_proto::fleet::Engine::Postgres),
                project: String::new(),
                labels: [].into(),
                holds: vec![],
            },
            since: Utc::now(),
        };
        gathered.known = vec![known("web-1/db/shop"), known("web-1/db/crm")];
        stand(&gathered, &[], Utc::now())
    }

    async fn there(catalog: &Catalog) -> Vec<(String, String, Option<i64>)> {
        let checks = catalog.checks_with_owner().await.unwrap();
        let row = |(check, by): (Check, String)| (check.full_name(), by, check.limits.min);
        checks.into_iter().map(row).collect()
    }

    #[tokio::test]
    async fn databases_have_the_checks_of_their_policy_and_an_operators_own_stay() {
        let catalog = TestCatalog::new().await;
        let file = |min: i64| {
            format!("default: {{checks: [{{name: users, count: select 1, min: {min}}}]}}")
        };
        let now = Utc::now();
        let at = |text: &str| text.to_owned();
        let first = standing(&catalog, &file(3)).await;
        let mut own = plan(&first, &[]).put[1].0.clone();
        (own.database, own.limits.min) = ("web-1/db/crm".parse().unwrap(), Some(99));
        catalog.put_check(&own, "operator/ann", now).await.unwrap();

        settle(&catalog, &first, now).await.unwrap();
        let crm = (at("web-1/db/crm users"), at("operator/ann"), Some(99));
        let shop = |min| (at("web-1/db/shop users"), at("policy/default"), Some(min));
        assert_eq!(there(&catalog).await, [crm.clone(), shop(3)]);
        let known = catalog.checks_with_owner().await.unwrap();
        assert_eq!(plan(&first, &known), Plan::default());

        let second = standing(&catalog, &file(5)).await;
        settle(&catalog, &second, now).await.unwrap();
        assert_eq!(there(&catalog).await, [crm.clone(), shop(5)]);
        let none = standing(&catalog, "").await;
        settle(&catalog, &none, now).await.unwrap();
        assert_eq!(there(&catalog).await, [crm]);
    }
}
