//! How the guard of this host is.

use holdfast_proto::{
    guard::GuardStatus,
    task::{FailureKind, TaskFailure},
};

use super::Context;
use crate::{
    engine::postgres::failure::failure,
    guard::{
        paths::Paths,
        status::{Places, status},
    },
};

/// # Errors
/// Of a defect only: a guard that is not there or not well is an answer.
pub async fn run(context: &Context) -> Result<GuardStatus, TaskFailure> {
    let paths = Paths::of(&context.state_dir);
    let now = context.clock.now();
    let asked = tokio::task::spawn_blocking(move || status(&Places::usual(&paths), now));
    asked.await.map_err(|broken| {
        let message = format!("asking the guard broke off: {broken}");
        failure(FailureKind::Internal, message, "")
    })
}
