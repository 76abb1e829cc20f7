//! The gRPC services: convert, authorise, call, convert.
