//! Database engines: one room for each.

pub mod postgres;
