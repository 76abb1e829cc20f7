//! After "not found": which name was probably meant.

use holdfast_proto::names::{DatabaseName, HostName, InstanceName};

use crate::{
    client::{CallError, CallProblem, Client},
    failure::Failure,
    nearest::nearest,
    view::database::{Database, DatabaseList},
    view::instance::Instance,
};

/// A name that was typed, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    Host(HostName),
    Instance(InstanceName),
    Database(DatabaseName),
    Volume {
        host: HostName,
        name: String,
    },
    Check {
        database: DatabaseName,
        name: String,
    },
    Operator(String),
}

/// Puts the nearest existing name into a failure that says "not found".
pub async fn with_suggestion(client: &mut Client, failure: Failure, typed: &[Typed]) -> Failure {
    match failure {
        Failure::Call { doing, mut cause } if cause.problem == CallProblem::NotFound => {
            for one in typed {
                if cause.suggestion.is_none() {
                    cause.suggestion = meant(client, one).await;
                }
            }
            Failure::Call { doing, cause }
        }
        other => other,
    }
}

/// The nearest name; `None` when it exists as typed, when nothing is near, or when nobody can be asked.
pub async fn meant(client: &mut Client, typed: &Typed) -> Option<String> {
    let (text, candidates) = match typed {
        Typed::Host(name) => (name.to_string(), hosts(client).await.ok()?),
        Typed::Instance(name) => {
            let instances = client.instances(String::new()).await.ok()?;
            (
                name.to_string(),
                instances.iter().map(Instance::full_name).collect(),
            )
        }
        Typed::Database(name) => (name.to_string(), databases(client).await.ok()?),
        Typed::Volume { host, name } => {
            let volumes = client.volumes(String::new()).await.ok()?;
            let names = volumes
                .iter()
                .map(|volume| format!("{}/{}", volume.host, volume.name));
            (format!("{host}/{name}"), names.collect())
        }
        Typed::Check { database, name } => {
            let checks = client.checks().await.ok()?;
            let names = checks
                .iter()
                .map(|check| format!("{} {}", check.database, check.name));
            (format!("{database} {name}"), names.collect())
        }
        Typed::Operator(name) => {
            let operators = client.operators().await.ok()?;
            (
                name.clone(),
                operators
                    .into_iter()
                    .map(|operator| operator.name)
                    .collect(),
            )
        }
    };
    if candidates.contains(&text) {
        return None;
    }
    nearest(&text, candidates.iter().map(String::as_str)).map(str::to_owned)
}

/// # Errors
/// The host is not enrolled: an empty list would have hidden the slip.
pub async fn known_host(client: &mut Client, host: &HostName) -> Result<(), Failure> {
    let Ok(all) = hosts(client).await else {
        return Ok(());
    };
    if all.iter().any(|name| name == host.as_str()) {
        return Ok(());
    }
    Err(Failure::Missing {
        noun: "host",
        name: host.to_string(),
        suggestion: nearest(host.as_str(), all.iter().map(String::as_str)).map(str::to_owned),
        advice: "ctl host list".to_owned(),
    })
}

async fn hosts(client: &mut Client) -> Result<Vec<String>, CallError> {
    Ok(client
        .hosts()
        .await?
        .into_iter()
        .map(|host| host.name)
        .collect())
}

async fn databases(client: &mut Client) -> Result<Vec<String>, CallError> {
    let instances = client.instances(String::new()).await?;
    let list = DatabaseList::of(&instances, true);
    Ok(list.databases.iter().map(Database::full_name).collect())
}
