//! What every kind of job must hold: each step repeated, a crash at every moment, a failure at
//! every step, cancellation at every moment, unwinding repeated, fences, undo after success.
//!
//! They run over every [`JobKind`](super::JobKind), on the real catalog, against scripted agents.

mod agents;
mod back_up_database;
mod copy;
mod crash;
mod drill_backup;
mod failure;
mod fuse;
mod harness;
mod leases;
mod merge_rows;
mod prune_repository;
mod read_repository;
mod rebuild_host;
mod remains;
mod restore_database;
mod success;
pub mod volumes;

pub use copy::manifest as image_of;
pub use fuse::Fuse;
