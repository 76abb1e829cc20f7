//! Bytes between agents that do not reach each other.
