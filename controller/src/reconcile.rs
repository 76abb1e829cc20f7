//! Loops that repair: timer and signal, no input, idempotent.

pub mod data_stores;
pub mod enrolled;
pub mod findings;
pub mod incidents;
pub mod policy_checks;
pub mod push;
pub mod scheduler;
pub mod triages;
pub mod upkeep;
