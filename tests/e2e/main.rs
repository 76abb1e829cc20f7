//! End-to-end tests: one binary, a module for each part of the product.

mod backup;
mod copy;
mod demo;
mod drill;
mod faults;
mod fleet;
mod full_disk;
mod guard;
mod identity;
#[path = "../incidents/main.rs"]
mod incidents;
mod kills;
mod mariadb;
mod merge;
mod rebuild;
mod restore;
mod thread;
mod traces;
mod volume;
mod volume_policy;
