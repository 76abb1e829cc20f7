//! `ctl`: the operator's tool.

fn main() {}
