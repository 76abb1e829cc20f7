//! The compose file of incident 4.

use std::path::Path;

use crate::{
    compose::{Report, Surroundings, check},
    view::compose::Patch,
};

pub(crate) fn report() -> Report {
    let text = "services:\n  db:\n    image: postgres:15\n    volumes: [data:/var/lib/postgresql/data]\nvolumes:\n  data:\n";
    let around = Surroundings {
        directory: "shop".to_owned(),
        ..Surroundings::default()
    };
    check(Path::new("compose.yml"), text, &around).expect("a compose file")
}

pub(crate) fn patch() -> Patch {
    Patch {
        patch: report().patch,
    }
}
