//! The target side of an image: make the schema, load the rows, build, read back.
//!
//! [`Reception`] is what streams arrive at, whoever carries them; [`Receiver`] drives everything
//! that happens beside and after them. Both share one table of what has been stored.

mod accept;
mod assembly;
mod finish;
mod load;
mod order;
mod pool;
mod schema;
mod state;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use holdfast_proto::task::{FailureKind, ReceiveImage, ReceivedImage, TaskFailure, TaskPhase};
use tokio::time::Duration;

use self::{assembly::Assembly, pool::Pool};
use super::{
    failure::{failed, failure},
    meter::Meter,
    sessions,
    tools::Toolbox,
};
use crate::{
    container::ContainerEngine,
    observe::{host, instances::Located},
    task::Context,
};
pub use accept::{Reception, Refusal};

/// Without any stream for so long the sender is taken for gone. Longer than a sender tries again.
const SILENCE: Duration = Duration::from_secs(660);

/// What the receiving works with. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    pub located: Located,
    pub containers: ContainerEngine,
    pub database: String,
    pub version_num: u32,
    /// `application_name` of every session, so that they can be found.
    pub application: String,
    /// Things that load or build at once; the target's processors.
    pub permits: usize,
    /// Of the host; decides how much an index build may take.
    pub free_memory: u64,
    pub meter: Arc<Meter>,
    /// Rows of some tables only: what points from them to others is left out.
    pub partial: bool,
}

impl Target {
    /// The staging database, with what its host has to give.
    ///
    /// # Errors
    /// When the server is not reached.
    pub async fn of(
        context: &Context,
        located: &Located,
        database: &str,
        application: &str,
        meter: &Arc<Meter>,
    ) -> Result<Self, TaskFailure> {
        Ok(Self {
            version_num: version_num(located, database).await?,
            located: located.clone(),
            containers: context.containers.clone(),
            database: database.to_owned(),
            application: application.to_owned(),
            permits: host::cpus() as usize,
            free_memory: sessions::free_memory(located),
            meter: Arc::clone(meter),
            partial: false,
        })
    }

    pub(super) fn toolbox(&self) -> Toolbox<'_> {
        Toolbox {
            located: &self.located,
            containers: &self.containers,
            version_num: self.version_num,
            application: &self.application,
        }
    }
}

/// Drives one image to its end.
pub struct Receiver {
    spec: ReceiveImage,
    target: Target,
    reception: Arc<Reception>,
}

impl Receiver {
    #[must_use]
    pub fn new(spec: ReceiveImage, target: Target) -> Self {
        let pool = Pool::new(&target);
        let reception = Arc::new(Reception::new(&spec, target.clone(), pool));
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
        self.reception.state.wait_for_schema(SILENCE).await?;
        let contents = self.reception.state.contents()?;
        self.target.meter.phase(
            TaskPhase::Data,
            contents.relations.iter().map(|r| u64::from(r.parts)).sum(),
        );
        let estimated = contents.relations.iter().map(|r| r.estimated_bytes).sum();
        self.target.meter.bytes_total.store(estimated, Relaxed);
        let mut assembly = Assembly::new(
            &self.spec,
            &self.target,
            Arc::clone(&self.reception),
            &contents,
        )
        .await?;
        assembly.until_loaded(SILENCE).await?;
        let built = assembly.complete().await?;
        finish::sequences(&self.reception.pool, &contents.sequences).await?;
        let pool = &self.reception.pool;
        finish::analyze(pool, &self.target, finish::TABLES, &built.analyzed).await?;
        let notices = assembly.last_entries().await?;
        finish::analyze(pool, &self.target, finish::VIEWS, &built.analyzed).await?;
        finish::properties(
            &self.reception.pool,
            &self.target.database,
            &self.spec.properties,
        )
        .await?;
        let sequences = finish::read_sequences(&self.reception.pool, &contents.sequences).await?;
        let relations = self
            .reception
            .state
            .relations(self.spec.proof, &built.read_back)?;
        let mut all_notices = contents.notices.clone();
        all_notices.extend(notices);
        all_notices.truncate(50);
        Ok(ReceivedImage {
            relations,
            sequences,
            indexes: built.indexes,
            constraints: built.constraints,
            schema_hash: contents.schema_hash,
            notices: all_notices,
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.reception.close();
    }
}

async fn version_num(located: &Located, database: &str) -> Result<u32, TaskFailure> {
    let client = located
        .route
        .connect(database)
        .await
        .map_err(|error| error.into_failure(&located.name))?;
    let row = client
        .query_one(
            "SELECT pg_catalog.current_setting('server_version_num')::int",
            &[],
        )
        .await
        .map_err(|error| failed("asking the target for its version", &error))?;
    Ok(u32::try_from(row.get::<_, i32>(0)).unwrap_or_default())
}

fn internal(message: impl std::fmt::Display) -> TaskFailure {
    failure(
        FailureKind::Internal,
        message,
        "report this as a defect, with the agent's log",
    )
}
