//! PostgreSQL: how it is reached, found, watched, and copied.

pub mod route;
pub mod socket;
pub mod tls;
