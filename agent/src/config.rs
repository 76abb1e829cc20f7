//! The agent's settings: one TOML file, environment over it.
