//! The target side of an image: takes the streams, makes the database in its staging place, and reads it back.
//!
//! [`Reception`] is what streams arrive at, whoever carries them; [`Receiver`] drives what happens beside and after.

mod accept;
mod build;
mod load;
mod state;

use std::{sync::Arc, time::Duration};

use holdfast_proto::{
    image::{ProofLevel, Relation, RelationPlan},
    task::{FailureKind, ReceiveImage, ReceivedImage, TaskFailure, TaskPhase},
};
use mysql_async::prelude::Queryable;
use tokio::task::JoinSet;

pub use self::accept::Reception;
use super::{
    document::Table,
    failure::failed,
    quote::{ident, qualified},
    rows::{self, Gatherer, Tally},
    send::read_sequences,
    session::Session,
};
use crate::{
    engine::postgres::{databases::internal, failure::failure, meter::Meter},
    observe::instances::Located,
};

/// Without any stream for so long the sender is taken for gone. Longer than a sender tries again.
const SILENCE: Duration = Duration::from_secs(660);
/// What a session that makes and loads works under: values go in as they are, nothing is made on the side.
const WRITER: &str = "foreign_key_checks = 0, unique_checks = 0";

/// What the receiving works with. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    pub located: Located,
    pub database: String,
    /// Things that are read back at once; the target's processors.
    pub permits: usize,
    pub meter: Arc<Meter>,
}

/// Drives one image to its end.
pub struct Receiver {
    spec: ReceiveImage,
    target: Target,
    reception: Arc<Reception>,
}

impl Target {
    /// A session in the staging database, for making and loading.
    async fn writer(&self) -> Result<Session, TaskFailure> {
        let mut session = Session::open(&self.located.route)
            .await
            .map_err(|error| error.into_failure(&self.located.name))?;
        let accounts = session.no_new_accounts();
        let settings = format!(
            "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,NO_DIR_IN_CREATE,{accounts}', {WRITER}"
        );
        for statement in [format!("USE {}", ident(&self.database)), settings] {
            let prepared = session.conn.query_drop(statement).await;
            prepared.map_err(|error| failed("entering the staging database", &error))?;
        }
        // From 11.2 on a server may give character sets other default collations than the source did.
        let _ = session
            .conn
            .query_drop("SET SESSION character_set_collations = ''")
            .await;
        Ok(session)
    }
}

impl Receiver {
    #[must_use]
    pub fn new(spec: ReceiveImage, target: Target) -> Self {
        let reception = Arc::new(Reception::new(&spec, target.clone()));
        Self {
            spec,
            target,
            reception,
        }
    }

    /// Where streams are to be handed to.
    #[must_use]
    pub fn reception(&self) -> Arc<Reception> {
        Arc::clone(&self.reception)
    }

    /// Waits for the image, and works on what has come of it.
    ///
    /// # Errors
    /// In words for an operator. The staging database is then worth nothing.
    pub async fn run(&self) -> Result<ReceivedImage, TaskFailure> {
        let assembled = self.assemble().await;
        if let Err(failure) = &assembled {
            // The sender learns why its next stream is refused.
            self.reception.state.fail(failure.clone());
        }
        assembled
    }

    async fn assemble(&self) -> Result<ReceivedImage, TaskFailure> {
        let state = &self.reception.state;
        let contents = state.wait_for_schema(SILENCE).await?;
        let meter = &self.target.meter;
        let parts = contents.relations.iter().map(|r| u64::from(r.parts)).sum();
        meter.phase(TaskPhase::Data, parts);
        let estimated = contents.relations.iter().map(|r| r.estimated_bytes).sum();
        meter
            .bytes_total
            .store(estimated, std::sync::atomic::Ordering::Relaxed);
        self.read_back().await?;
        let mut notices = state.notices();
        let built = build::rest(&self.target, &contents, &mut notices).await?;
        let relations = state.relations(self.spec.proof)?;
        self.count_again(&relations).await?;
        let mut session = self.target.writer().await?;
        let names = contents.sequences.iter().map(|s| s.name.as_str());
        let schema = &contents.document.database;
        let sequences = read_sequences(&mut session, &self.target.database, schema, names).await?;
        notices.truncate(50);
        Ok(ReceivedImage {
            relations,
            sequences,
            indexes: built.indexes,
            constraints: built.constraints,
            schema_hash: contents.schema_hash,
            notices,
        })
    }

    /// Rows that were read back must still be there when everything stands.
    async fn count_again(&self, relations: &[Relation]) -> Result<(), TaskFailure> {
        let mut session = self.target.writer().await?;
        for relation in relations {
            let sql = format!(
                "SELECT COUNT(*) FROM {}",
                qualified(&self.target.database, &relation.name)
            );
            let counted = session.conn.query_first::<u64, _>(sql).await;
            let counted = counted.map_err(|error| {
                failed(format!("counting the rows of {}", relation.name), &error)
            })?;
            if counted != Some(relation.rows) {
                let (name, rows) = (&relation.name, relation.rows);
                let message = format!(
                    "{name} has {} rows when everything stands, {rows} were loaded",
                    counted.unwrap_or(0)
                );
                return Err(failure(
                    FailureKind::DataMismatch,
                    message,
                    "copy again; look at the target server's log",
                ));
            }
        }
        Ok(())
    }

    /// Reads tables back while others are still loaded; ends when everything is loaded and read.
    async fn read_back(&self) -> Result<(), TaskFailure> {
        let state = &self.reception.state;
        let mut bell = state.bell();
        let mut begun = std::collections::BTreeSet::new();
        let mut running: JoinSet<Result<(u32, Tally), TaskFailure>> = JoinSet::new();
        loop {
            bell.mark_unchanged();
            state.check(SILENCE)?;
            if self.spec.proof == ProofLevel::Full {
                for (plan, table) in state.loaded() {
                    if running.len() < self.target.permits.max(1) && begun.insert(plan.id) {
                        running.spawn(read_table(self.target.clone(), plan, table));
                    }
                }
            }
            let read = self.spec.proof == ProofLevel::Transit || state.all_read();
            if state.is_finished() && read {
                return Ok(());
            }
            tokio::select! {
                Some(ended) = running.join_next() => {
                    let (relation, tally) = ended.map_err(|error| internal(&format!("a reader died: {error}")))??;
                    state.read(relation, tally);
                }
                () = state.wait(&mut bell) => {}
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.reception.close();
    }
}

/// The rows of a table as they stand on the target, summed as they were at the source.
async fn read_table(
    target: Target,
    plan: RelationPlan,
    table: Table,
) -> Result<(u32, Tally), TaskFailure> {
    let doing = format!("reading {} back", plan.name);
    let explain = |error| failed(&doing, &error);
    let mut session = target.writer().await?;
    session
        .conn
        .query_drop("SET SESSION character_set_results = NULL")
        .await
        .map_err(explain)?;
    let whole = holdfast_proto::image::Part {
        index: 0,
        first_page: 0,
        end_page: 0,
        rows: 0,
        bytes: 0,
        bytes_hash: holdfast_proto::image::Hash128::default(),
    };
    let sql = rows::select(&target.database, &table, &whole, 1);
    let mut result = session.conn.query_iter(sql).await.map_err(explain)?;
    let mut gatherer = Gatherer::default();
    let mut told = 0;
    while let Some(row) = result.next().await.map_err(explain)? {
        gatherer.take(row);
        if gatherer.is_full() {
            gatherer.clear();
            let rows = gatherer.tally.rows;
            let verified = &target.meter.verified_rows;
            verified.fetch_add(rows - told, std::sync::atomic::Ordering::Relaxed);
            told = rows;
        }
    }
    Ok((plan.id, gatherer.tally))
}
