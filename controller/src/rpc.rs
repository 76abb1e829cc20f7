//! The gRPC services: convert, authorise, call, convert.

pub mod assembly;
mod convert;
pub mod enrolment;
pub mod gateway;
pub mod link;
pub mod operator;
mod role;
pub mod status;
mod stopping;
#[cfg(test)]
mod tests;
