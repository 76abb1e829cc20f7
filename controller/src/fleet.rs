//! What the agents reported last, in memory.
