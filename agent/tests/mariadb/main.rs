//! MariaDB and MySQL on real servers: found, watched, checked, copied, kept.
#![allow(clippy::unwrap_used, reason = "what panics here has failed the test")]

#[path = "../support/eventually.rs"]
mod eventually;
#[path = "../support/observed.rs"]
mod observed;
#[path = "../support/server.rs"]
mod support;
#[path = "../support/merging.rs"]
mod verbs;

mod checks;
mod examining;
mod images;
mod keeping;
mod merging;
mod observation;
mod server;
mod triage;
