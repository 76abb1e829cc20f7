//! Which services are database servers, and where their data lie.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use super::file::{File, Mount as Written, Service, Text, line_of, resolve};

const POSTGRES: &str = "/var/lib/postgresql";
const MYSQL: &str = "/var/lib/mysql";
/// From this one on the image has its volume a folder higher, with the version in the path below it.
const MOVED: u32 = 18;

/// Images whose server keeps its data as the official ones do: by the last part of their name.
const IMAGES: [(&str, Engine); 9] = [
    ("postgres", Engine::Postgres),
    ("postgis", Engine::Postgres),
    ("pgvector", Engine::Postgres),
    ("timescaledb", Engine::Postgres),
    ("timescaledb-ha", Engine::Other),
    ("mariadb", Engine::Mysql),
    ("mysql", Engine::Mysql),
    ("mysql-server", Engine::Mysql),
    ("percona", Engine::Mysql),
];
/// Variables that only such servers have.
const TELLING: [&str; 8] = [
    "POSTGRES_PASSWORD",
    "POSTGRES_PASSWORD_FILE",
    "MARIADB_ROOT_PASSWORD",
    "MARIADB_ROOT_PASSWORD_FILE",
    "MYSQL_ROOT_PASSWORD",
    "MYSQL_ROOT_PASSWORD_FILE",
    "PGDATA",
    "MARIADB_RANDOM_ROOT_PASSWORD",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Postgres,
    /// MariaDB too.
    Mysql,
    /// A database, in a place of its own.
    Other,
}

/// A service that is a database server, as far as the file tells.
#[derive(Debug)]
pub struct Database {
    pub service: Text,
    /// As it stands there; none: it is built, or comes from another file.
    pub image: Option<Text>,
    /// Variables of the image resolved.
    pub resolved: Option<String>,
    pub mounts: Vec<Mount>,
    pub data: Result<Data, Untold>,
}

/// Where its server keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    pub directory: PathBuf,
    /// The image makes a volume of this folder when nobody mounts anything there.
    pub of_image: PathBuf,
    /// Where a volume belongs.
    pub mount_at: PathBuf,
    /// Of PostgreSQL, when the tag tells.
    pub major: Option<u32>,
}

/// Why nobody knows where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untold {
    /// Its tag names no major version, on which it depends.
    Version,
    /// A variable without a value.
    Variable(String),
    /// Its image is none of those that are known.
    Image,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub line: usize,
    pub target: PathBuf,
    pub source: Source,
    /// As it is written, when it is short.
    pub written: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// By its key under `volumes`.
    Volume(String),
    Anonymous,
    Folder(String),
    Memory,
}

/// What the data lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Under<'a> {
    Mount(&'a Mount),
    /// A volume without a name that the image asks for.
    OfImage,
    Container,
}

/// In the order of the file.
pub fn all(file: &File, environment: &BTreeMap<String, String>) -> Vec<Database> {
    let services = file.services.0.iter();
    services
        .filter_map(|(key, service)| database(key, service, environment))
        .collect()
}

fn database(
    key: &Text,
    service: &Service,
    environment: &BTreeMap<String, String>,
) -> Option<Database> {
    let resolved = service
        .image
        .as_ref()
        .map(|image| resolve(&image.text, environment));
    let engine = match &resolved {
        Some(Ok(image)) => engine_of(image),
        Some(Err(_)) => service
            .image
            .as_ref()
            .and_then(|image| engine_of(&image.text)),
        None => None,
    };
    let own = &service.environment.0;
    let tells = TELLING.iter().any(|name| own.contains_key(*name));
    let engine = match engine {
        Some(engine) => engine,
        None if tells && service.image.is_none() => Engine::Other,
        None => return None,
    };
    let data = match (engine, &resolved) {
        (_, Some(Err(variable))) => Err(Untold::Variable(variable.clone())),
        (Engine::Mysql, _) => Ok(data(MYSQL, MYSQL, None)),
        (Engine::Postgres, Some(Ok(image))) => postgres(image, own.get("PGDATA"), environment),
        (Engine::Postgres | Engine::Other, _) => Err(Untold::Image),
    };
    Some(Database {
        service: key.clone(),
        image: service.image.clone(),
        resolved: resolved.and_then(Result::ok),
        mounts: service
            .volumes
            .iter()
            .filter_map(|written| mount(&written.value, line_of(written), environment))
            .collect(),
        data,
    })
}

fn data(directory: &str, of_image: &str, major: Option<u32>) -> Data {
    Data {
        directory: directory.into(),
        of_image: of_image.into(),
        mount_at: of_image.into(),
        major,
    }
}

fn postgres(
    image: &str,
    pgdata: Option<&Option<String>>,
    environment: &BTreeMap<String, String>,
) -> Result<Data, Untold> {
    let major = major_of(image).ok_or(Untold::Version)?;
    let below = format!("{POSTGRES}/data");
    let mut found = if major >= MOVED {
        data(&format!("{POSTGRES}/{major}/docker"), POSTGRES, Some(major))
    } else {
        data(&below, &below, Some(major))
    };
    match pgdata {
        None => {}
        Some(None) => return Err(Untold::Variable("PGDATA".to_owned())),
        Some(Some(written)) => {
            let path = resolve(written, environment).map_err(Untold::Variable)?;
            found.directory = tidy(Path::new(&path));
            if !found.directory.starts_with(&found.of_image) {
                found.mount_at = found.directory.clone();
            }
        }
    }
    Ok(found)
}

fn engine_of(image: &str) -> Option<Engine> {
    let name = image.split('@').next().unwrap_or(image);
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.split(':').next().unwrap_or(name);
    let known = IMAGES.iter().find(|(known, _)| *known == name);
    known.map(|(_, engine)| *engine)
}

/// "postgres:17-alpine", "postgis/postgis:16-3.4", "timescale/timescaledb:2.17.0-pg16".
fn major_of(image: &str) -> Option<u32> {
    let image = image.split('@').next().unwrap_or(image);
    let (name, tag) = image.rsplit_once(':')?;
    let leading = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    match tag.rsplit_once("pg") {
        Some((_, major)) => leading(major),
        // Its own version comes first.
        None if name.ends_with("timescaledb") => None,
        None => leading(tag),
    }
}

/// None: it is none of the forms that compose knows.
fn mount(written: &Written, line: usize, environment: &BTreeMap<String, String>) -> Option<Mount> {
    let (source, target, text) = match written {
        Written::Short(text) => {
            let resolved = resolve(text, environment).unwrap_or_else(|_| text.clone());
            let (source, target) = match resolved.split_once(':') {
                None => (Source::Anonymous, resolved),
                Some((source, rest)) => {
                    let target = rest.split(':').next().unwrap_or(rest);
                    (source_of(source), target.to_owned())
                }
            };
            (source, target, text.clone())
        }
        Written::Long(long) => {
            let source = match long.kind.as_str() {
                "tmpfs" => Source::Memory,
                "volume" if long.source.is_empty() => Source::Anonymous,
                "volume" => Source::Volume(long.source.clone()),
                _ => Source::Folder(long.source.clone()),
            };
            (source, long.target.clone(), String::new())
        }
    };
    target.starts_with('/').then(|| Mount {
        line,
        target: tidy(Path::new(&target)),
        source,
        written: text,
    })
}

fn source_of(text: &str) -> Source {
    if text.starts_with(['/', '.', '~']) {
        Source::Folder(text.to_owned())
    } else {
        Source::Volume(text.to_owned())
    }
}

fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                tidy.pop();
            }
            Component::CurDir => {}
            part => tidy.push(part),
        }
    }
    tidy
}

impl Database {
    /// The deepest mount that reaches the data, and the image's own volume where that is deeper.
    pub fn under<'a>(&'a self, data: &Data) -> Under<'a> {
        let reaching = self.mounts.iter();
        let reaching = reaching.filter(|mount| data.directory.starts_with(&mount.target));
        let deepest = reaching.max_by_key(|mount| mount.target.components().count());
        let image_reaches = data.directory.starts_with(&data.of_image);
        match deepest {
            Some(mount) if !image_reaches || mount.target.starts_with(&data.of_image) => {
                Under::Mount(mount)
            }
            _ if image_reaches => Under::OfImage,
            _ => Under::Container,
        }
    }

    /// A mount that was meant for the data and does not reach them.
    pub fn beside(&self, data: &Data) -> Option<&Mount> {
        let near = |mount: &&Mount| {
            let is_kept = !matches!(mount.source, Source::Memory | Source::Anonymous);
            let above = data.of_image.starts_with(&mount.target);
            let below = mount.target.starts_with(&data.of_image);
            let is_for_all = mount.target.components().count() > 2;
            is_kept && is_for_all && (above || below)
        };
        self.mounts.iter().find(near)
    }
}
