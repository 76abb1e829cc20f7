//! Whom the server runs as: PostgreSQL refuses root.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// A user of this machine, and whether it is another than the one we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    name: String,
    uid: u32,
    gid: u32,
    another: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    #[error("cannot ask for the users of this machine (getent passwd {name})")]
    Lookup {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "there is no user {0:?} on this machine for the private PostgreSQL to run as: create it, or set embedded.user to another"
    )]
    Unknown(String),
    #[error(
        "the private PostgreSQL cannot run as root, and neither user holdfast nor postgres exists here: \
         create one (useradd --system --no-create-home holdfast), or set embedded.user"
    )]
    NoneOfDefaults,
    #[error("embedded.user is {0:?}, which is root: PostgreSQL refuses to run as root")]
    Root(String),
    #[error(
        "embedded.user is {wanted:?}, but the controller runs as {current:?} and only root can change to another user: \
         start it as root or as {wanted:?}, or remove embedded.user"
    )]
    NotRoot { wanted: String, current: String },
    #[error(
        "user {user:?}, whom the private PostgreSQL runs as, cannot pass through {path:?}: \
         allow it (chmod o+x {path:?}) or choose another state_dir"
    )]
    Unreachable {
        user: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Owner {
    /// The configured user, else (as root) `holdfast` or `postgres`, else the one we are.
    ///
    /// # Errors
    /// When no such user exists or we cannot become it.
    pub fn find(configured: Option<&str>) -> Result<Self, OwnerError> {
        let current = rustix::process::geteuid().as_raw();
        if current != 0 {
            return Self::without_root(configured, current);
        }
        let found = match configured {
            Some(name) => lookup(name)?.ok_or_else(|| OwnerError::Unknown(name.to_owned()))?,
            None => match lookup("holdfast")? {
                Some(found) => found,
                None => lookup("postgres")?.ok_or(OwnerError::NoneOfDefaults)?,
            },
        };
        if found.uid == 0 {
            return Err(OwnerError::Root(found.name));
        }
        Ok(found)
    }

    fn without_root(configured: Option<&str>, current: u32) -> Result<Self, OwnerError> {
        let name =
            lookup(&current.to_string())?.map_or_else(|| current.to_string(), |user| user.name);
        match configured {
            Some(wanted) if wanted != name => Err(OwnerError::NotRoot {
                wanted: wanted.to_owned(),
                current: name,
            }),
            _ => Ok(Self {
                name,
                uid: current,
                gid: rustix::process::getegid().as_raw(),
                another: false,
            }),
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    #[must_use]
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// Whether files have to be handed over and programs started as this user.
    #[must_use]
    pub fn is_another(&self) -> bool {
        self.another
    }

    /// A program that runs as this user (without supplementary groups) and with nothing of our environment.
    #[must_use]
    pub fn command(&self, program: &Path, directory: &Path) -> Command {
        use std::os::unix::process::CommandExt;

        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir(directory);
        if self.another {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Whether this user can enter the directory; tried, not computed from modes.
    ///
    /// # Errors
    /// Names the first directory of the path that it cannot pass.
    pub fn can_reach(&self, directory: &Path) -> Result<(), OwnerError> {
        let mut path: Vec<&Path> = directory.ancestors().collect();
        path.reverse();
        for step in path {
            let entered = self
                .command(Path::new("/bin/true"), step)
                .status()
                .map_err(|source| OwnerError::Unreachable {
                    user: self.name.clone(),
                    path: step.to_owned(),
                    source,
                });
            entered?;
        }
        Ok(())
    }
}

/// By name or number, through the machine's own name service.
fn lookup(name: &str) -> Result<Option<Owner>, OwnerError> {
    let output = Command::new("getent")
        .args(["passwd", name])
        .output()
        .map_err(|source| OwnerError::Lookup {
            name: name.to_owned(),
            source,
        })?;
    Ok(parse_passwd(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_passwd(text: &str) -> Option<Owner> {
    let mut fields = text.lines().next()?.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Owner {
        name,
        uid,
        gid,
        another: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_user_table_is_read() {
        let owner =
            parse_passwd("postgres:x:101:104:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n")
                .unwrap();
        assert_eq!(
            (owner.name(), owner.uid(), owner.gid()),
            ("postgres", 101, 104)
        );
        assert_eq!(parse_passwd(""), None);
        assert_eq!(parse_passwd("broken:x:abc:104"), None);
    }

    #[test]
    fn a_user_that_is_not_there_is_named() {
        if rustix::process::geteuid().is_root() {
            let error = Owner::find(Some("nobody-of-that-name")).unwrap_err();
            assert!(matches!(&error, OwnerError::Unknown(name) if name == "nobody-of-that-name"));
            assert!(matches!(
                Owner::find(Some("root")),
                Err(OwnerError::Root(_))
            ));
        } else {
            let error = Owner::find(Some("nobody-of-that-name")).unwrap_err();
            assert!(matches!(error, OwnerError::NotRoot { .. }));
        }
    }
}
