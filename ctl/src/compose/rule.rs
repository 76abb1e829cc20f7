//! What is looked for: one rule a file, each pure.

mod data_place;
mod image;
mod project_name;
mod untold;
mod volume;

use super::{Compose, Problem};

pub const ALL: [fn(&Compose<'_>) -> Vec<Problem>; 5] = [
    project_name::look,
    data_place::look,
    volume::look,
    image::look,
    untold::look,
];
