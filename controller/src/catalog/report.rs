//! Table `host_report`: what each agent reported last.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use holdfast_proto::names::HostName;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::FromRow;

use super::{Catalog, CatalogError};
use crate::fleet::HostState;

#[derive(FromRow)]
struct Row {
    name: String,
    enrolled_at: DateTime<Utc>,
    last_seen_at: Option<DateTime<Utc>>,
    agent_rss_bytes: Option<i64>,
    reported_at: Option<DateTime<Utc>>,
    facts: Option<Value>,
    report: Option<Value>,
}

impl Catalog {
    /// Every host of the fleet as it was known last; nobody is connected.
    ///
    /// # Errors
    /// When the catalog fails, or holds what no controller writes.
    pub async fn load_fleet(&self) -> Result<Vec<HostState>, CatalogError> {
        let failed = CatalogError::doing("loading the fleet");
        let rows: Vec<Row> = sqlx::query_as(
            "select name, enrolled_at, last_seen_at, agent_rss_bytes, reported_at, facts, report
             from host left join host_report on host = name order by name",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(&failed)?;
        rows.into_iter()
            .map(|row| HostState::try_from(row).map_err(&failed))
            .collect()
    }

    /// Writes what is known of the hosts; those that left the fleet meanwhile are passed over.
    ///
    /// # Errors
    /// When the catalog fails; nothing is written then.
    pub async fn save_reports(&self, states: &[Arc<HostState>]) -> Result<(), CatalogError> {
        let failed = CatalogError::doing("saving what hosts reported");
        let mut transaction = self.begin().await.map_err(&failed)?;
        for state in states {
            sqlx::query(
                "insert into host_report (host, last_seen_at, agent_rss_bytes, reported_at, facts, report)
                 select name, $2, $3, $4, $5, $6 from host where name = $1
                 on conflict (host) do update set
                    last_seen_at = excluded.last_seen_at, agent_rss_bytes = excluded.agent_rss_bytes,
                    reported_at = excluded.reported_at, facts = excluded.facts, report = excluded.report",
            )
            .bind(state.name.as_str())
            .bind(state.last_seen)
            .bind(state.agent_rss_bytes.cast_signed())
            .bind(state.reported_at)
            .bind(state.facts.as_ref().map(json).transpose().map_err(&failed)?)
            .bind(json(&state.report).map_err(&failed)?)
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        }
        transaction.commit().await.map_err(&failed)
    }

    /// Writes the last sign of life and the agent's memory alone, of many hosts at once.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn save_signs_of_life(&self, states: &[Arc<HostState>]) -> Result<(), CatalogError> {
        let column = |of: fn(&HostState) -> i64| states.iter().map(|s| of(s)).collect::<Vec<_>>();
        let names: Vec<_> = states.iter().map(|s| s.name.to_string()).collect();
        let seen: Vec<_> = states.iter().map(|s| s.last_seen).collect();
        sqlx::query(
            "update host_report set last_seen_at = sign.seen, agent_rss_bytes = sign.rss
             from unnest($1::text[], $2::timestamptz[], $3::bigint[]) as sign (host, seen, rss)
             where host_report.host = sign.host",
        )
        .bind(names)
        .bind(seen)
        .bind(column(|s| s.agent_rss_bytes.cast_signed()))
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(CatalogError::doing("saving hosts' last signs of life"))
    }
}

impl TryFrom<Row> for HostState {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let Row {
            name,
            enrolled_at,
            last_seen_at,
            agent_rss_bytes,
            reported_at,
            facts,
            report,
        } = row;
        let name: HostName = name.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
        let state = Self::unseen(name, Some(enrolled_at));
        Ok(Self {
            last_seen: last_seen_at,
            agent_rss_bytes: agent_rss_bytes.unwrap_or(0).cast_unsigned(),
            reported_at,
            facts: facts.map(read).transpose()?,
            report: report.map_or_else(|| Ok(state.report.clone()), read)?,
            ..state
        })
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, sqlx::Error> {
    serde_json::from_value(value).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

/// PostgreSQL keeps no zero characters; a label of a stranger's container must not keep a report out.
fn json(value: &impl Serialize) -> Result<Value, sqlx::Error> {
    let mut value = serde_json::to_value(value).map_err(|e| sqlx::Error::Encode(Box::new(e)))?;
    make_storable(&mut value);
    Ok(value)
}

fn make_storable(value: &mut Value) {
    let storable = |text: &str| text.replace('\0', "\u{fffd}");
    match value {
        Value::String(text) if text.contains('\0') => *text = storable(text),
        Value::Array(items) => items.iter_mut().for_each(make_storable),
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                let renamed = std::mem::take(fields).into_iter();
                *fields = renamed.map(|(key, item)| (storable(&key), item)).collect();
            }
            fields.values_mut().for_each(make_storable);
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::fleet::{HostSnapshot, Volume};

    use super::*;
    use crate::{catalog::testing::TestCatalog, fleet::HostReport};

    fn reported(name: &str, volume: &str) -> HostState {
        let mut state = HostState::unseen(name.parse().unwrap(), Some(DateTime::UNIX_EPOCH));
        state.last_seen = Some(DateTime::UNIX_EPOCH);
        state.reported_at = Some(DateTime::UNIX_EPOCH);
        state.agent_rss_bytes = 7;
        state.report = HostReport::from(HostSnapshot {
            volumes: vec![Volume {
                device: String::new(),
                name: volume.to_owned(),
                driver: "local".to_owned(),
                labels: [("a\0b".to_owned(), "c\0d".to_owned())].into(),
                created_at: None,
                mountpoint: String::new(),
                anonymous: false,
                used_by: Vec::new(),
            }],
            ..HostSnapshot::default()
        });
        state
    }

    #[tokio::test]
    async fn what_was_reported_is_there_for_the_next_controller() {
        let catalog = TestCatalog::new().await;
        let mut state = reported("web-1", "data");
        catalog
            .add_host(&state.name, DateTime::UNIX_EPOCH)
            .await
            .unwrap();
        let never: HostName = "web-2".parse().unwrap();
        catalog
            .add_host(&never, DateTime::UNIX_EPOCH)
            .await
            .unwrap();
        catalog
            .save_reports(&[Arc::new(reported("web-1", "old"))])
            .await
            .unwrap();
        catalog
            .save_reports(&[Arc::new(state.clone())])
            .await
            .unwrap();
        let labels = &mut state.report.volumes.get_mut("data").unwrap().labels;
        *labels = [("a\u{fffd}b".to_owned(), "c\u{fffd}d".to_owned())].into();
        let unseen = HostState::unseen(never, Some(DateTime::UNIX_EPOCH));
        assert_eq!(catalog.load_fleet().await.unwrap(), [state, unseen]);
    }

    #[tokio::test]
    async fn a_sign_of_life_changes_nothing_else() {
        let catalog = TestCatalog::new().await;
        let mut state = reported("web-1", "data");
        catalog
            .add_host(&state.name, DateTime::UNIX_EPOCH)
            .await
            .unwrap();
        catalog
            .save_reports(&[Arc::new(state.clone())])
            .await
            .unwrap();
        let now = DateTime::from_timestamp(1_000, 0);
        state.last_seen = now;
        state.agent_rss_bytes = 8;
        state.report = HostReport::default();
        catalog
            .save_signs_of_life(&[Arc::new(state)])
            .await
            .unwrap();
        let loaded = catalog.load_fleet().await.unwrap();
        assert_eq!((loaded[0].last_seen, loaded[0].agent_rss_bytes), (now, 8));
        assert!(loaded[0].report.volumes.contains_key("data"));
    }

    #[tokio::test]
    async fn a_host_that_was_removed_does_not_come_back_by_a_late_report() {
        let catalog = TestCatalog::new().await;
        let state = reported("web-1", "data");
        catalog
            .add_host(&state.name, DateTime::UNIX_EPOCH)
            .await
            .unwrap();
        assert!(catalog.remove_host(&state.name).await.unwrap());
        assert!(!catalog.remove_host(&state.name).await.unwrap());
        catalog.save_reports(&[Arc::new(state)]).await.unwrap();
        assert_eq!(catalog.load_fleet().await.unwrap(), []);
    }
}
