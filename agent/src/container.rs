//! The container engine of the host: Docker, or Podman behind the same interface.

pub mod client;
pub mod exec;
pub mod held;
pub mod recipe;
pub mod sandbox;

pub use client::{ContainerEngine, EngineError};
