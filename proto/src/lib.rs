//! The contract between the processes of Holdfast.
//!
//! [`wire`] is what travels: generated from `holdfast/v1/*.proto` and checked in.
//! The other modules are the domain types that the rest of the code works with; each converts
//! from the wire by `TryFrom` (bad input is a [`WireError`]) and to it by `From`.

pub mod check;
mod convert;
pub mod drill;
pub mod fleet;
pub mod guard;
pub mod image;
pub mod link;
pub mod names;
pub mod task;
pub mod time;
pub mod wire;

pub use convert::{Unspecified, WireError};
