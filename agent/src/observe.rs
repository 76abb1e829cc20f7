//! What the agent sees on its host, and how it finds the ways to it.

pub mod containers;
pub mod delta;
pub mod events;
pub mod host;
pub mod instances;
pub mod listing;
pub mod look;
pub mod observer;
pub mod place;
pub mod registrations;
pub mod reports;
pub mod volumes;
pub mod watched;
