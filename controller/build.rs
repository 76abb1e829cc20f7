//! A new migration is a change of the binary, though no Rust file says so.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
