//! Settings: one TOML file, environment over it, refused whole when one is wrong.
