//! What the agent sees on its host, and how it finds the ways to it.

pub mod instances;
