//! The contract between the processes of Holdfast.
//!
//! [`wire`] is what travels: generated from `holdfast/v1/*.proto` and checked in.
//! The other modules are the domain types that the rest of the code works with; each converts
//! from the wire by `TryFrom` (bad input is a [`wire_error::WireError`]) and to it by `From`.

pub mod wire;
