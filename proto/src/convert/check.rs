//! Checks, from and to the wire.

use super::{enums, messages};
use crate::check::{CheckLimits, CheckOutcome, CheckVerdict, ScheduledCheck};

messages! {
    ScheduledCheck { id, run, every }
    CheckOutcome { at, count, newest, error }
    CheckLimits { min, max, max_drop_percent, max_age }
}

enums! {
    CheckVerdict { Ok, Suspicious, CouldNotRun }
}
