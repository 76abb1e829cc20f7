//! The authority: its key, certificates, tokens, revocation.
//!
//! The [`Registrar`] decides who gets which certificate and who is still let in. Every refusal
//! has its own words and leaves a line in the audit log.

mod admission;
mod authority_files;
mod bootstrap;
mod enrol;
mod error;
mod gate;
mod invite;
mod peer_refused;
mod registrar;
mod remove;
mod renew;
mod repeats;
mod throttle;
mod token;

#[cfg(test)]
mod tests;

pub use admission::{NotAdmitted, Standing};
pub use enrol::Enrolled;
pub use error::IdentityError;
pub use gate::Gated;
pub use invite::Invitation;
pub use registrar::{Registrar, Settings};
pub use remove::{OperatorAccount, Removal};
pub use token::TokenRefusal;
