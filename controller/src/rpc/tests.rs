//! The services end to end: a real catalog, real sockets, real certificates; agents and operators played by the tests.

mod agents;
mod backups;
mod gateway;
mod house;
mod incidents;
mod operators;
mod relay;
mod repository;
mod roles;
mod scale;
