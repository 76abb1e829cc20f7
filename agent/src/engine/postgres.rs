//! PostgreSQL: how it is reached, found, watched, and copied.

pub mod access;
pub mod archive;
pub mod copy_sql;
pub mod databases;
pub mod discover;
pub mod empty;
pub mod failure;
pub mod health;
pub mod image;
pub mod integral;
pub mod inventory;
pub mod meter;
pub mod plan;
pub mod probe;
pub mod processes;
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
