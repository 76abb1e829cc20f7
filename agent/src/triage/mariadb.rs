//! MariaDB and MySQL: their files read, and judged.

pub mod facts;
pub mod judge;
pub mod tablespace;

#[cfg(test)]
mod tests;
