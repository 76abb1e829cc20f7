//! The real `ctl` binary against a scripted controller over real mTLS.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod answers;
mod backup;
mod completion;
mod controller;
mod copy;
mod drill;
mod errors;
mod identity;
mod jobs;
mod merge;
mod nouns;
mod prune;
mod restore;
mod scripted;
mod traces;
