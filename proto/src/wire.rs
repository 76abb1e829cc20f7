//! Generated types and services. Nobody works with them beyond the edge of a process.
#![allow(clippy::all, missing_docs)]

include!("gen/holdfast.v1.rs");
