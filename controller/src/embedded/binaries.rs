//! Which PostgreSQL of the machine runs the catalog.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

/// Older ones have no maintainer any more.
pub const MINIMUM_MAJOR: u32 = 14;

/// A directory with `postgres` and `initdb` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    pub directory: PathBuf,
    pub major: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoBinaries {
    #[error(
        "no PostgreSQL server found on this machine (looked in {looked}): install one (Debian: \
         apt-get install postgresql), set embedded.bin_dir, or give a catalog address (--catalog postgres://…)"
    )]
    None { looked: String },
    #[error("embedded.bin_dir {0:?} holds no working postgres and initdb")]
    Configured(PathBuf),
    #[error(
        "the catalog's data directory was made by PostgreSQL {required}, but this machine has only {found}: \
         install PostgreSQL {required} (Debian: apt-get install postgresql-{required}; \
         Fedora, RHEL: dnf install postgresql{required}-server)"
    )]
    OtherMajor { required: u32, found: String },
    #[error(
        "PostgreSQL {found} is too old for the catalog: install {MINIMUM_MAJOR} or newer (Debian: apt-get install postgresql)"
    )]
    TooOld { found: String },
}

impl Binaries {
    /// Chooses among what the machine has; `required` is the version of the data directory once there is one.
    ///
    /// # Errors
    /// When nothing fits; says what was found and what to install.
    pub fn find(configured: Option<&Path>, required: Option<u32>) -> Result<Self, NoBinaries> {
        match configured {
            Some(directory) => {
                let found =
                    probe(directory).ok_or_else(|| NoBinaries::Configured(directory.to_owned()))?;
                choose(&[found], required, "")
            }
            None => {
                let places = places();
                let found: Vec<_> = places.iter().filter_map(|place| probe(place)).collect();
                let looked: Vec<_> = places
                    .iter()
                    .map(|place| place.display().to_string())
                    .collect();
                choose(&found, required, &looked.join(", "))
            }
        }
    }

    #[must_use]
    pub fn postgres(&self) -> PathBuf {
        self.directory.join("postgres")
    }

    #[must_use]
    pub fn initdb(&self) -> PathBuf {
        self.directory.join("initdb")
    }
}

/// The newest, or the one that the data directory needs; the earlier in the list wins a tie.
fn choose(found: &[Binaries], required: Option<u32>, looked: &str) -> Result<Binaries, NoBinaries> {
    if found.is_empty() {
        return Err(NoBinaries::None {
            looked: looked.to_owned(),
        });
    }
    let majors = || {
        let majors: BTreeSet<_> = found.iter().map(|binaries| binaries.major).collect();
        let majors: Vec<_> = majors.iter().map(u32::to_string).collect();
        majors.join(", ")
    };
    match required {
        Some(required) => found
            .iter()
            .find(|binaries| binaries.major == required)
            .cloned()
            .ok_or_else(|| NoBinaries::OtherMajor {
                required,
                found: majors(),
            }),
        None => found
            .iter()
            .rev()
            .max_by_key(|binaries| binaries.major)
            .filter(|binaries| binaries.major >= MINIMUM_MAJOR)
            .cloned()
            .ok_or_else(|| NoBinaries::TooOld { found: majors() }),
    }
}

/// Where distributions put servers, then PATH.
fn places() -> Vec<PathBuf> {
    let mut places = subdirectories(Path::new("/usr/lib/postgresql"), "");
    places.extend(subdirectories(Path::new("/usr"), "pgsql-"));
    let mut places: Vec<_> = places.into_iter().map(|place| place.join("bin")).collect();
    if let Some(path) = std::env::var_os("PATH") {
        places.extend(std::env::split_paths(&path).filter(|place| place.is_absolute()));
    }
    places.retain(|place| place.is_dir());
    places
}

fn subdirectories(of: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(of) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// What the binaries say of themselves; none when there is no pair that runs.
fn probe(directory: &Path) -> Option<Binaries> {
    if !directory.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(directory.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    Some(Binaries {
        directory: directory.to_owned(),
        major: parse_version(&String::from_utf8_lossy(&output.stdout))?,
    })
}

/// The major of `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, of `17beta1` too.
fn parse_version(text: &str) -> Option<u32> {
    let version = text.strip_prefix("postgres (PostgreSQL) ")?;
    let digits = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(directory: &str, major: u32) -> Binaries {
        Binaries {
            directory: directory.into(),
            major,
        }
    }

    #[test]
    fn versions_are_read_as_the_server_prints_them() {
        assert_eq!(
            parse_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(parse_version("postgres (PostgreSQL) 17beta1\n"), Some(17));
        assert_eq!(parse_version("postgres (PostgreSQL) 18\n"), Some(18));
        assert_eq!(parse_version("mysqld  Ver 8.0"), None);
    }

    #[test]
    fn the_newest_is_chosen_for_a_new_catalog() {
        let found = [at("/a", 15), at("/b", 17), at("/c", 17)];
        assert_eq!(choose(&found, None, ""), Ok(at("/b", 17)));
    }

    #[test]
    fn the_data_directory_decides_once_it_exists() {
        let found = [at("/a", 15), at("/b", 17)];
        assert_eq!(choose(&found, Some(15), ""), Ok(at("/a", 15)));
        let error = choose(&found, Some(16), "").unwrap_err();
        assert_eq!(
            error,
            NoBinaries::OtherMajor {
                required: 16,
                found: "15, 17".to_owned()
            }
        );
        assert!(error.to_string().contains("apt-get install postgresql-16"));
    }

    #[test]
    fn too_old_and_none_at_all_are_told_apart() {
        assert!(matches!(
            choose(&[at("/a", 12)], None, ""),
            Err(NoBinaries::TooOld { .. })
        ));
        assert!(matches!(
            choose(&[], None, "/x"),
            Err(NoBinaries::None { .. })
        ));
    }

    #[test]
    fn this_machine_has_one() {
        let found = Binaries::find(None, None).unwrap();
        assert!(found.postgres().is_file() && found.initdb().is_file());
        assert_eq!(Binaries::find(Some(&found.directory), None), Ok(found));
    }
}
