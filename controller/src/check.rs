//! Verdict on a user-count check: pure.
