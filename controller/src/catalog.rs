//! The catalog: PostgreSQL behind sqlx, one file a table.
