//! What an agent does on its host: who it is, what runs there, what lies there, whom it talks to.
#![allow(clippy::unwrap_used, reason = "what panics here has failed the test")]

#[path = "../support/eventually.rs"]
mod eventually;
#[path = "../support/gateway.rs"]
mod gateway;
#[path = "../support/observed.rs"]
mod observed;
#[path = "../../../repository/tests/support/s3.rs"]
mod s3;
#[path = "../../../repository/tests/support/server.rs"]
mod server;
#[path = "../support/server.rs"]
mod support;

mod containers;
mod identity;
mod observation;
mod peer;
mod repository;
mod sandbox;
mod volume;
mod ways;
