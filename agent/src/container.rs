//! The container engine of the host: Docker, or Podman behind the same interface.

pub mod client;
pub mod exec;

pub use client::{ContainerEngine, EngineError};
