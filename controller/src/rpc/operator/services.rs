//! What the handlers of calls work with.

use std::sync::Arc;

use holdfast_chassis::clock::SharedClock;

use crate::{
    catalog::Catalog,
    dispatch::{Dispatch, sessions::Sessions},
    fleet::Fleet,
    identity::Registrar,
    job::engine::Engine,
    reconcile::{enrolled::Enrolled, push::Push},
    repository::Repositories,
};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    pub registrar: Registrar,
    pub catalog: Catalog,
    pub fleet: Fleet,
    pub sessions: Sessions,
    pub dispatch: Arc<dyn Dispatch>,
    pub jobs: Engine,
    pub push: Push,
    pub enrolled: Enrolled,
    pub repositories: Repositories,
    pub clock: SharedClock,
}
