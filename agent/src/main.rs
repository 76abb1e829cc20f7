//! `holdfast-agent`.

fn main() {}
