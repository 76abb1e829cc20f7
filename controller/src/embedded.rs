//! The private PostgreSQL of the catalog.
