//! MariaDB and MySQL: how they are reached, found, watched, checked, copied and kept.

pub mod access;
pub mod by_hand;
pub mod check;
pub mod check_constraints;
pub mod databases;
pub mod describe;
pub mod document;
pub mod examine;
pub mod failure;
pub mod grants;
pub mod health;
pub mod inventory;
pub mod membership;
pub mod merge;
pub mod plan;
pub mod privileges;
pub mod probe;
pub mod processes;
pub mod publication;
pub mod quote;
pub mod receive;
pub mod rows;
pub mod send;
pub mod session;
pub mod snapshot;
pub mod structure;
