//! The gRPC services: convert, authorise, call, convert.

pub mod enrolment;
