//! PostgreSQL: its files read, and judged.

pub mod catalog;
pub mod control;
pub mod facts;
pub mod filenode_map;
pub mod heap;
pub mod judge;
pub mod relations;
pub mod rows;
pub mod wal;

#[cfg(test)]
mod tests;
