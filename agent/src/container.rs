//! The container engine behind its API (Docker, Podman).
