//! What a guard is told and how it is, from and to the wire.

use super::messages;
use crate::guard::{
    Allowance, AskGuard, CountedDatabase, GuardProcess, GuardRefusal, GuardStatus, GuardedData,
    Protection,
};

messages! {
    Protection { place, databases, proven_at, fresh_until, allowance }
    CountedDatabase { name, users, proven_at, fresh_until }
    Allowance { until, reason, by }
    AskGuard {}
    GuardStatus { guards, installed, process, troubles, refusals }
    GuardProcess { pid, version, since, calls, refused, told_at, trouble, data }
    GuardedData { protection, server, instance, in_use }
    GuardRefusal { at, rule, place, call, sentence }
}
