//! The program is linked with packed relocations: a list of addresses, 1.8 MiB of 24 bytes each otherwise, is
//! read whole at every start and stays in the memory of an idle agent. Needs glibc 2.36.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
}
