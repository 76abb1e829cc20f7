//! What `ctl` shows: one module a noun, each with its fields (for `-o json`) and its text (for people).
//!
//! Field names are a promise; `docs/json.md` lists them and a test here holds the two together.

pub mod account;
pub mod aftermath;
pub mod audit;
pub mod backup;
pub mod check;
pub mod compose;
pub mod container;
pub mod context;
pub mod copy;
pub mod data_store;
pub mod database;
pub mod deployment;
pub mod drill;
pub mod event;
pub mod finding;
pub mod guard;
pub mod host;
pub mod incident;
pub mod instance;
pub mod job;
pub mod kind;
pub mod merge;
pub mod objective;
pub mod policy;
pub mod proof;
pub mod prune;
pub mod repository;
pub mod restore;
pub mod retention;
pub mod runbook;
pub mod status;
pub mod triage;
pub mod version;
pub mod volume;

#[cfg(test)]
mod documented;
#[cfg(test)]
pub(crate) mod samples;

use chrono::{DateTime, Utc};

pub(crate) type Time = DateTime<Utc>;
