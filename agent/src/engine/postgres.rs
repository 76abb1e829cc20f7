//! PostgreSQL: how it is reached, found, watched, and copied.

pub mod archive;
pub mod copy_sql;
pub mod databases;
pub mod empty;
pub mod failure;
pub mod image;
pub mod inventory;
pub mod meter;
pub mod plan;
pub mod publication;
pub mod quote;
pub mod receive;
pub mod route;
pub mod send;
pub mod settings;
pub mod snapshot;
pub mod socket;
pub mod tls;
pub mod tools;
pub mod wire;
