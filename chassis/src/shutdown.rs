//! Orderly end of a process on SIGTERM or SIGINT.
