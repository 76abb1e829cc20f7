//! PostgreSQL: how it is reached, found, watched, and copied.

pub mod databases;
pub mod failure;
pub mod publication;
pub mod quote;
pub mod route;
pub mod socket;
pub mod tls;
