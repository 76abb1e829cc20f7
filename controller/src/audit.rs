//! The audit log: an append-only chain of hashes.
//!
//! Each entry's hash covers its content and the hash before it. So a changed entry, a removed one in
//! the middle and an inserted one are found by reading the chain. A chain that is cut at its end is
//! whole in itself: against that the newest hash is also kept in a small file outside of the
//! database, see [`HeadFile`].

mod chain;
mod head;
mod verify;

pub use self::{
    chain::{Entry, Hash, NewEntry, Outcome},
    head::{Head, HeadError, HeadFile},
    verify::{Break, Verdict, Verifier},
};
