//! Identities end to end: a real catalog, real sockets, real handshakes.

mod enrolment;
mod house;
mod lifetime;
mod operators;
