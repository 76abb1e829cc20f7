//! MariaDB and MySQL: how they are reached, found, watched, checked and copied.

pub mod access;
pub mod check;
pub mod failure;
pub mod health;
pub mod privileges;
pub mod probe;
pub mod processes;
pub mod quote;
pub mod session;
