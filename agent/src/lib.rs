//! The agent: it lives on a host, reports what runs there, and does the work there.

pub mod backups;
pub mod check;
pub mod config;
pub mod container;
pub mod credentials;
pub mod engine;
pub mod guard;
pub mod identity;
pub mod join;
pub mod link;
pub mod observe;
pub mod peer;
pub mod repository;
pub mod run;
pub mod secret;
pub mod task;
pub mod triage;
pub mod volume;
