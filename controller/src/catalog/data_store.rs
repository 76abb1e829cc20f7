//! Tables `data_store` and `data_store_event`: what the data of each service lie on, and what they lay on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use holdfast_proto::names::{HostName, InstanceName};
use sqlx::{FromRow, types::Json};

use super::{Catalog, CatalogError};
use crate::data_store::{
    Contents, DataStore, Event, EventKind, Known, Lost, Step, Swapped, Traits,
};

/// More lines than anybody reads.
const MOST_EVENTS: i64 = 1000;

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "i64")]
    id: u64,
    #[sqlx(try_from = "String")]
    host: HostName,
    service: String,
    instance: String,
    traits: Json<Traits>,
    accepted: Json<DataStore>,
    contents: Json<Contents>,
    lost: Json<BTreeMap<String, Lost>>,
    swapped: Option<Json<Swapped>>,
    first_seen_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
}

#[derive(FromRow)]
struct EventRow {
    #[sqlx(try_from = "String")]
    host: HostName,
    service: String,
    instance: String,
    at: DateTime<Utc>,
    kind: String,
    changes: Vec<String>,
    by_whom: String,
    reason: String,
    store: Option<Json<DataStore>>,
}

/// One that somebody else has added meanwhile is theirs; a host that left takes none.
const ADD: &str = "insert into data_store
        (host, service, instance, traits, accepted, contents, lost, swapped, first_seen_at, last_seen_at)
     select name, $2, $3, $4, $5, $6, $7, $8, $9, $10 from host where name = $1 and $11 = 0::bigint
     on conflict (host, service) do nothing
     returning id";
const CHANGE: &str = "update data_store set
        service = $2, instance = $3, traits = $4, accepted = $5, contents = $6, lost = $7, swapped = $8,
        first_seen_at = $9, last_seen_at = $10
     where id = $11 and host = $1
     returning id";

/// Who says that it is right, and why.
#[derive(Debug, Clone, Copy, Default)]
pub struct Word<'a> {
    pub by: &'a str,
    pub reason: &'a str,
}

impl Catalog {
    /// Every service that is known, by host and name.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn data_stores(&self) -> Result<Vec<Known>, CatalogError> {
        let rows: Vec<Row> = sqlx::query_as("select * from data_store order by host, service")
            .fetch_all(&self.pool)
            .await
            .map_err(CatalogError::doing("reading what data lie on"))?;
        Ok(rows.into_iter().map(Known::from).collect())
    }

    /// Since when each service has had its data, by its id: a backup from before may be one of other data.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn data_since(&self) -> Result<BTreeMap<u64, DateTime<Utc>>, CatalogError> {
        let rows: Vec<(i64, DateTime<Utc>)> = sqlx::query_as(
            "select data_store, max(at) from data_store_event where kind <> 'changed' group by data_store",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading since when data are where they are"))?;
        let since = rows.into_iter().map(|(id, at)| (id.cast_unsigned(), at));
        Ok(since.collect())
    }

    /// Writes what has changed, with its line in the history. A service of a host that left meanwhile is passed over.
    ///
    /// # Errors
    /// When the catalog fails; nothing of it is written then.
    pub async fn save_data_store(
        &self,
        step: &Step,
        word: Word<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        const DOING: &str = "writing what data lie on";
        let mut transaction = self.begin().await.map_err(CatalogError::doing(DOING))?;
        let known = &step.known;
        let statement = if known.id == 0 { ADD } else { CHANGE };
        let id: Option<(i64,)> = sqlx::query_as(statement)
            .bind(known.host.as_str())
            .bind(&known.service)
            .bind(&known.instance)
            .bind(Json(&known.traits))
            .bind(Json(&known.accepted))
            .bind(Json(&known.contents))
            .bind(Json(&known.lost))
            .bind(known.swapped.as_ref().map(Json))
            .bind(known.first_seen_at)
            .bind(known.last_seen_at)
            .bind(known.id.cast_signed())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(CatalogError::doing(DOING))?;
        if let (Some((id,)), Some((kind, changes))) = (id, &step.event) {
            sqlx::query(
                "insert into data_store_event
                    (data_store, host, service, instance, at, kind, changes, by_whom, reason, store)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(id)
            .bind(known.host.as_str())
            .bind(&known.service)
            .bind(&known.instance)
            .bind(now)
            .bind(kind.as_str())
            .bind(changes)
            .bind(word.by)
            .bind(word.reason)
            .bind(Json(known.current()))
            .execute(&mut *transaction)
            .await
            .map_err(CatalogError::doing(DOING))?;
        }
        transaction
            .commit()
            .await
            .map_err(CatalogError::doing(DOING))
    }

    /// When these were seen last.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn note_data_stores_seen(
        &self,
        ids: &[u64],
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        let ids: Vec<i64> = ids.iter().map(|id| id.cast_signed()).collect();
        sqlx::query("update data_store set last_seen_at = $2 where id = any($1)")
            .bind(ids)
            .bind(now)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(CatalogError::doing("noting which services are there"))
    }

    /// Nothing is expected of this service any more. Its history stays.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn forget_data_store(
        &self,
        known: &Known,
        word: Word<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), CatalogError> {
        const DOING: &str = "forgetting what data lay on";
        sqlx::query(
            "with gone as (delete from data_store where id = $1 returning *)
             insert into data_store_event
                (data_store, host, service, instance, at, kind, changes, by_whom, reason, store)
             select id, host, service, instance, $2, 'accepted', array['nothing is expected here any more'], $3, $4, null
             from gone",
        )
        .bind(known.id.cast_signed())
        .bind(now)
        .bind(word.by)
        .bind(word.reason)
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(CatalogError::doing(DOING))
    }

    /// The history of the services that an instance of this name was, the newest line first.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn instance_history(&self, name: &InstanceName) -> Result<Vec<Event>, CatalogError> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "select * from data_store_event where data_store in (
                select data_store from data_store_event where host = $1 and instance = $2)
             order by id desc limit $3",
        )
        .bind(name.host.as_str())
        .bind(&name.instance)
        .bind(MOST_EVENTS)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading the history of an instance"))?;
        Ok(rows.into_iter().map(Event::from).collect())
    }

    /// The history of one service, the newest line first.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn service_history(&self, service: u64) -> Result<Vec<Event>, CatalogError> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "select * from data_store_event where data_store = $1 order by id desc limit $2",
        )
        .bind(service.cast_signed())
        .bind(MOST_EVENTS)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading the history of a service"))?;
        Ok(rows.into_iter().map(Event::from).collect())
    }

    /// The history of the services that lay on a volume of this name, the newest line first: with the line that
    /// led away from it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn volume_history(
        &self,
        host: &HostName,
        volume: &str,
    ) -> Result<Vec<Event>, CatalogError> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "select host, service, instance, at, kind, changes, by_whom, reason, store from (
                select *, lag(store) over (partition by data_store order by id) as before
                from data_store_event where host = $1) e
             where e.store -> 'volume' ->> 'name' = $2 or e.before -> 'volume' ->> 'name' = $2
             order by id desc limit $3",
        )
        .bind(host.as_str())
        .bind(volume)
        .bind(MOST_EVENTS)
        .fetch_all(&self.pool)
        .await
        .map_err(CatalogError::doing("reading the history of a volume"))?;
        Ok(rows.into_iter().map(Event::from).collect())
    }
}

impl From<Row> for Known {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            host: row.host,
            service: row.service,
            instance: row.instance,
            traits: row.traits.0,
            accepted: row.accepted.0,
            contents: row.contents.0,
            lost: row.lost.0,
            swapped: row.swapped.map(|swapped| swapped.0),
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
        }
    }
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        let known = EventKind::ALL.into_iter();
        Self {
            at: row.at,
            host: row.host,
            service: row.service,
            instance: row.instance,
            // The table allows no other word.
            kind: known
                .into_iter()
                .find(|kind| kind.as_str() == row.kind)
                .unwrap_or(EventKind::Changed),
            changes: row.changes,
            by: row.by_whom,
            reason: row.reason,
            store: row.store.map(|store| store.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{
        catalog::testing::TestCatalog,
        data_store::{Observed, VolumeIdentity, advance, observe},
        detect::tests::facts,
    };

    fn observed() -> Observed {
        observe(&facts().hosts, &[]).remove(0)
    }

    fn swapped() -> Observed {
        let mut one = observed();
        one.service = "manualmode/db".to_owned();
        one.name.instance = "manualmode_db_1".to_owned();
        one.store.system_identifier = "8".to_owned();
        one.store.host_path = "/volumes/manualmode_data".to_owned();
        one.store.volume = Some(VolumeIdentity {
            name: "manualmode_data".to_owned(),
            created_at: None,
            driver: "local".to_owned(),
        });
        one
    }

    /// A service that is known, as the catalog has it.
    async fn known(catalog: &TestCatalog) -> Known {
        let host = "web-1".parse().unwrap();
        let now = catalog.clock.now();
        catalog.add_host(&host, now).await.unwrap();
        let step = advance(None, &observed(), now).unwrap();
        save(catalog, &step).await;
        catalog.data_stores().await.unwrap().remove(0)
    }

    async fn save(catalog: &TestCatalog, step: &Step) {
        let now = catalog.clock.now();
        let saved = catalog.save_data_store(step, Word::default(), now).await;
        saved.unwrap();
    }

    fn kinds(events: &[Event]) -> Vec<EventKind> {
        events.iter().map(|event| event.kind).collect()
    }

    #[tokio::test]
    async fn a_service_keeps_its_history_under_its_new_name() {
        let catalog = TestCatalog::new().await;
        let before = known(&catalog).await;
        assert_eq!(before.accepted, observed().store);
        let step = advance(Some(&before), &swapped(), catalog.clock.now()).unwrap();
        save(&catalog, &step).await;
        let all = catalog.data_stores().await.unwrap();
        // A column keeps microseconds.
        let kept = Known {
            last_seen_at: all[0].last_seen_at,
            ..step.known.clone()
        };
        assert_eq!(all, [kept]);
        assert_eq!(all[0].id, before.id);

        for name in ["shop-db", "manualmode_db_1"] {
            let name = InstanceName {
                host: before.host.clone(),
                instance: name.to_owned(),
            };
            let events = catalog.instance_history(&name).await.unwrap();
            assert_eq!(kinds(&events), [EventKind::Swapped, EventKind::FirstSeen]);
            assert_eq!(events[0].store, Some(swapped().store));
        }
        // The line that led away from it belongs to a volume as well.
        for (volume, lines) in [("shop_data", 2), ("manualmode_data", 1), ("other", 0)] {
            let events = catalog.volume_history(&before.host, volume).await.unwrap();
            assert_eq!(events.len(), lines, "{volume}");
        }
    }

    #[tokio::test]
    async fn what_two_have_seen_at_once_is_written_once() {
        let catalog = TestCatalog::new().await;
        let known = known(&catalog).await;
        let again = advance(None, &observed(), catalog.clock.now()).unwrap();
        save(&catalog, &again).await;
        let events = catalog.instance_history(&known.name()).await.unwrap();
        assert_eq!(kinds(&events), [EventKind::FirstSeen]);
        assert_eq!(catalog.data_stores().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn nothing_is_expected_after_an_operator_said_so_and_the_history_stays() {
        let catalog = TestCatalog::new().await;
        let known = known(&catalog).await;
        let word = Word {
            by: "operator/ann",
            reason: "it was a try",
        };
        let now = catalog.clock.now();
        catalog.forget_data_store(&known, word, now).await.unwrap();
        assert_eq!(catalog.data_stores().await.unwrap(), []);
        let events = catalog.instance_history(&known.name()).await.unwrap();
        assert_eq!(kinds(&events), [EventKind::Accepted, EventKind::FirstSeen]);
        let Event {
            by, reason, store, ..
        } = &events[0];
        assert_eq!((by.as_str(), reason.as_str()), (word.by, word.reason));
        assert_eq!(*store, None);
        let of_volume = catalog.volume_history(&known.host, "shop_data").await;
        assert_eq!(of_volume.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_is_seen_all_the_time_is_noted() {
        let catalog = TestCatalog::new().await;
        let known = known(&catalog).await;
        let later = known.last_seen_at + TimeDelta::hours(1);
        let noted = catalog.note_data_stores_seen(&[known.id], later).await;
        noted.unwrap();
        assert_eq!(catalog.data_stores().await.unwrap()[0].last_seen_at, later);
    }
}
