//! Detectors: pure functions from what is and was to findings.
