//! Database engines.
pub mod postgres;
