//! The pruning job: what the catalog does not know survives whatever happens (the proofs of all kinds); and on
//! real repositories what is removed goes, what counts stays whole, and the space comes back.

use std::collections::BTreeSet;

use holdfast_proto::{
    link::StartTask,
    names::HostName,
    task::{FailureKind, TaskFailure, TaskResult},
};

use super::{
    agents::{Databases, failure},
    harness::Sample,
};
use crate::job::{JobSpec, PruneRepository};

mod interrupted;
mod real;
mod two_years;
mod whole;

/// There is no way back from a removal, and the proofs of all kinds want one. So nothing is due in their world;
/// what happens to backups whose time is over is proven in the files below.
pub fn samples() -> Vec<Sample> {
    let world = || Databases::from([("web-9/snapshot/abab".to_owned(), "unknown".to_owned())]);
    vec![Sample {
        name: "prune a repository",
        spec: JobSpec::PruneRepository(PruneRepository {
            host: "web-9".parse().unwrap(),
        }),
        before: world(),
        after: |_| Databases::from([("web-9/snapshot/abab".to_owned(), "unknown".to_owned())]),
        swept: world(),
        undone: |_| unreachable!("there is nothing to undo after success"),
        forgotten: world(),
    }]
}

pub fn verbs(_: &mut Databases, _: &HostName, _: &StartTask) -> Result<TaskResult, TaskFailure> {
    Err(failure(FailureKind::Invalid, false, "no agent prunes"))
}

fn names<T: ToString>(of: &[T]) -> BTreeSet<String> {
    of.iter().map(ToString::to_string).collect()
}
