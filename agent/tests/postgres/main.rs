//! PostgreSQL on real servers: watched, checked, copied, kept, merged.
#![allow(clippy::unwrap_used, reason = "what panics here has failed the test")]

#[path = "../support/eventually.rs"]
mod eventually;
#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../support/image.rs"]
mod image;
#[path = "../support/observed.rs"]
mod observed;
#[path = "../../../repository/tests/support/s3.rs"]
mod s3;
#[path = "../../../repository/tests/support/server.rs"]
mod server;
#[path = "../support/server.rs"]
mod support;
#[path = "../support/merging.rs"]
mod verbs;

mod checks;
mod copying_in;
mod databases;
mod encodings;
mod health;
mod images;
mod keeping;
mod merging;
mod triage;
