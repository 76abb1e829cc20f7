//! Harness of the end-to-end tests: real Docker hosts on one machine, real servers, the real binaries.

pub mod ctl;
pub mod daemon;
pub mod eventually;
pub mod fleet;
pub mod host;
pub mod idle;
pub mod mariadb;
pub mod otlp;
pub mod postgres;
