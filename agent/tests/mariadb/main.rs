//! MariaDB on real servers: found, watched, checked, copied.

#[path = "../support/eventually.rs"]
mod eventually;
#[path = "../support/observed.rs"]
mod observed;
#[path = "../support/server.rs"]
mod support;

mod checks;
mod images;
mod observation;
mod server;
