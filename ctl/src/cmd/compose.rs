//! `ctl compose check`: what in a compose file would lose a database one day.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use crate::{
    compose::{self, Severity, Surroundings},
    exit::Exit,
    failure::Failure,
    session::Session,
    view::compose::Patch,
};

#[derive(Debug, Subcommand)]
pub enum Compose {
    /// Look at a compose file as an incident would: names, volumes, places of data. Asks no server, changes nothing.
    Check(Check),
}

#[derive(Debug, Args)]
pub struct Check {
    /// The compose file; a `.env` beside it counts.
    file: PathBuf,
    /// Print nothing but the patch, for `patch -p0`.
    #[arg(long)]
    patch: bool,
}

impl Compose {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Check(check) => check.run(session),
        }
    }
}

impl Check {
    fn run(self, session: &Session) -> Result<Exit, Failure> {
        let unreadable = |error: std::io::Error| Failure::Usage {
            what: format!("cannot read {}: {error}", self.file.display()),
            advice: "name a compose file: ctl compose check compose.yml".to_owned(),
        };
        let text = std::fs::read_to_string(&self.file).map_err(unreadable)?;
        let directory = std::fs::canonicalize(&self.file).map_err(unreadable)?;
        let directory = directory.parent().unwrap_or(Path::new("/"));
        let around = surroundings(directory)?;
        let report = compose::check(&self.file, &text, &around);
        let report = report.map_err(|error| Failure::Usage {
            what: format!("{} is no compose file: {error}", self.file.display()),
            advice: "docker compose config says more".to_owned(),
        })?;
        let exit = exit(report.worst());
        if self.patch {
            session.show(&Patch {
                patch: report.patch,
            })?;
        } else {
            session.show(&report)?;
        }
        Ok(exit)
    }
}

/// As compose sees them: what it is started with comes before what the file says.
fn surroundings(directory: &Path) -> Result<Surroundings, Failure> {
    let file = directory.join(".env");
    let mut variables = BTreeMap::new();
    if file.exists() {
        let broken = |error: dotenvy::Error| Failure::Usage {
            what: format!("cannot read {}: {error}", file.display()),
            advice: "each line of it is NAME=value".to_owned(),
        };
        for line in dotenvy::from_path_iter(&file).map_err(broken)? {
            let (name, value) = line.map_err(broken)?;
            variables.insert(name, value);
        }
    }
    let project_is_fixed = variables.contains_key("COMPOSE_PROJECT_NAME");
    let own = std::env::vars_os();
    variables.extend(own.filter_map(|(name, value)| {
        let both = (name.into_string(), value.into_string());
        both.0.ok().zip(both.1.ok())
    }));
    let name = directory.file_name().unwrap_or_default();
    Ok(Surroundings {
        directory: name.to_string_lossy().into_owned(),
        variables,
        project_is_fixed,
    })
}

/// Advice alone is no reason to stop a deployment.
fn exit(worst: Option<Severity>) -> Exit {
    match worst {
        None | Some(Severity::Advice) => Exit::Ok,
        Some(Severity::Unknown) => Exit::CouldNotCheck,
        Some(Severity::Warning | Severity::Error) => Exit::NotProven,
    }
}
