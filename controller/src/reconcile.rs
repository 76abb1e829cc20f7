//! Loops that repair: timer and signal, no input, idempotent.

pub mod findings;
