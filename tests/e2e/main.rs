//! End-to-end tests: one binary, a module for each part of the product.

mod copy;
mod faults;
mod identity;
mod thread;
mod traces;
