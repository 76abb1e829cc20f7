//! End-to-end tests: one binary, a module for each part of the product.

mod thread;
mod traces;
