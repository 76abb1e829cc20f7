//! `holdfast-controller`.

fn main() {}
