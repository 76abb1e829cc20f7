//! PostgreSQL: how it is reached, found, watched, and copied.

pub mod archive;
pub mod databases;
pub mod failure;
pub mod inventory;
pub mod plan;
pub mod publication;
pub mod quote;
pub mod route;
pub mod settings;
pub mod socket;
pub mod tls;
pub mod wire;
