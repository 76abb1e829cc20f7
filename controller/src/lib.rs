//! The controller: catalog, jobs, and the services that agents and operators talk to.

pub mod audit;
pub mod backup_diff;
pub mod backup_name;
pub mod catalog;
pub mod check;
pub mod config;
pub mod data_store;
pub mod deployment;
pub mod detect;
pub mod dispatch;
pub mod embedded;
pub mod exit;
pub mod fleet;
pub mod identity;
pub mod job;
pub mod objective;
pub mod policy;
pub mod reconcile;
pub mod relay;
pub mod repository;
pub mod retention;
pub mod rpc;
pub mod schedule;
pub mod serve;
pub mod standing;
pub mod state_dir;
