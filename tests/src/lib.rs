//! Harness of the end-to-end tests: real Docker hosts on one machine.
