//! Database engines: one room for each, and what they share.

pub mod discover;
pub mod mariadb;
pub mod merge;
pub mod postgres;
pub mod server;
