//! An operator says that what is there now is right: pure.

use super::{EventKind, Known, Step, changes};

/// What the word of an operator does.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// To be written, with its line in the history.
    Now(Step),
    /// Nothing is there any more, and nothing is expected.
    Nothing,
    /// All is as it shall be: there is nothing to accept.
    AlreadyRight,
}

/// `volume_is_there`: the accepted volume is reported; true when the data lie on none. `is_there`: so is the service.
#[must_use]
pub fn accept(known: &Known, is_there: bool, volume_is_there: bool) -> Accepted {
    let mut after = known.clone();
    if let Some(swapped) = after.swapped.take() {
        let told = changes(&after.accepted, &swapped.store);
        after.accepted = swapped.store;
        after.contents = swapped.contents;
        after.lost.clear();
        return Accepted::Now(Step {
            known: after,
            event: Some((EventKind::Accepted, told)),
        });
    }
    if !is_there || !volume_is_there {
        return Accepted::Nothing;
    }
    if after.lost.is_empty() {
        return Accepted::AlreadyRight;
    }
    let mut told = Vec::new();
    for (database, lost) in std::mem::take(&mut after.lost) {
        match lost.now {
            Some(now) => {
                told.push(format!("database {database} {} → {now} bytes", lost.before));
                after.contents.databases.insert(database, now);
            }
            None => {
                told.push(format!("database {database} is gone"));
                after.contents.databases.remove(&database);
            }
        }
    }
    Accepted::Now(Step {
        known: after,
        event: Some((EventKind::Accepted, told)),
    })
}
