//! What the agent sees on its host, and how it finds the ways to it.

pub mod delta;
pub mod instances;
pub mod reports;
