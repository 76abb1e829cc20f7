//! The agent's key and certificate on disk, and their renewal.
