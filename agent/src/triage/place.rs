//! Where a data directory lies: of a running server, of a container that does not run, in a volume.

use std::path::{Path, PathBuf};

use bollard::{models::ContainerInspectResponse, query_parameters::InspectContainerOptions};
use holdfast_proto::{
    fleet::Engine,
    task::{FailureKind, TaskFailure},
};

use super::{
    Found,
    directory::{Directory, Kind, Look, Ways},
    evidence::Subject,
};
use crate::{
    container::{ContainerEngine, client::Connected},
    engine::postgres::failure::failure,
    observe::{
        containers::{self, Seen},
        instances::{Instances, Located},
        listing::last_lines,
    },
    volume::{place::Place, users},
};

/// Of a container's log.
const LOG_LINES: u16 = 200;
/// Longer lines are cut; nothing that is known stands behind it.
const LINE_BYTES: usize = 1000;
/// Folders below the uppermost one of a volume that may hold a data directory: `pgdata`, `18/docker`.
const DEPTH: usize = 2;
/// At most so many folders of a volume are looked into.
const MOST_FOLDERS: usize = 200;
/// Names in a data directory of PostgreSQL; of MariaDB and MySQL. Two of them are enough: one may be what is lost.
const POSTGRES: [&str; 7] = [
    "PG_VERSION",
    "base",
    "global",
    "pg_wal",
    "pg_xact",
    "postgresql.conf",
    "pg_multixact",
];
const MARIADB: [&str; 7] = [
    "ibdata1",
    "ib_logfile0",
    "#innodb_redo",
    "aria_log_control",
    "mysql",
    "undo001",
    "performance_schema",
];

/// Of an instance, whether it is up or not.
///
/// # Errors
/// `Invalid` when there is no such instance, `Refused` when its files cannot be reached from this host.
pub async fn of_instance(
    name: &str,
    shown: &str,
    instances: &Instances,
    engine: &ContainerEngine,
) -> Result<Found, TaskFailure> {
    let located = instances.locate(name);
    if let Ok(located) = &located
        && located.container.is_none()
    {
        return outside_containers(located, shown);
    }
    let container = match &located {
        Ok(located) => located.container.as_ref().map(|own| own.id.clone()),
        Err(failure) if failure.kind == FailureKind::Invalid => None,
        // Named after its container, with a port behind it where several run in one.
        Err(_) => Some(name.split(':').next().unwrap_or(name).to_owned()),
    };
    let Some(container) = container else {
        return Err(located.err().unwrap_or_else(|| not_here(name)));
    };
    let connected = engine.connected().await?;
    let options = None::<InspectContainerOptions>;
    let inspected = match connected
        .docker
        .inspect_container(&container, options)
        .await
    {
        Ok(inspected) => inspected,
        Err(error) => match connected.explain("inspecting container", &container, error) {
            gone if gone.is_not_found() => return Err(not_here(name)),
            error => return Err(error.into()),
        },
    };
    in_container(inspected, shown, located.ok().as_ref(), engine).await
}

/// Every data directory in a volume.
///
/// # Errors
/// `Invalid` when there is no such volume, `Refused` when its files are not where the engine says.
pub async fn in_volume(
    volume: &str,
    shown: &str,
    engine: &ContainerEngine,
) -> Result<Vec<Found>, TaskFailure> {
    let connected = engine.connected().await?;
    let place = Place::usable(&connected, volume).await?;
    let users = users::of(&connected, &place).await?;
    let top = open(&place.path, Ways::default())?;
    let mut found = Vec::new();
    for (inside, server) in data_directories(&top) {
        let path = place.path.join(&inside);
        let mut one = Found {
            directory: open(&path, Ways::default())?,
            engine: server,
            subject: Subject {
                shown: shown.to_owned(),
                volume: Some(volume.to_owned()),
                container: None,
                path: path.display().to_string(),
            },
            config_file: None,
            log: Vec::new(),
            log_error: String::new(),
        };
        for user in &users {
            if let Some(seen) = inspect(&connected, &user.id).await
                && seen.means_to_run().is_some()
            {
                one.subject.container = Some(user.name.clone());
                one.config_file = config_file(&seen.command);
                (one.log, one.log_error) = log(engine, &user.id).await;
            }
        }
        found.push(one);
    }
    Ok(found)
}

fn outside_containers(located: &Located, shown: &str) -> Result<Found, TaskFailure> {
    let Some(pid) = located.server_pid else {
        let message = format!(
            "instance {} is not on this host: its files cannot be looked at",
            located.name
        );
        let advice = "look at it where it runs";
        return Err(failure(FailureKind::Refused, message, advice));
    };
    let ways = Ways::new(vec![(
        PathBuf::from("/"),
        PathBuf::from(format!("/proc/{pid}/root")),
    )]);
    let directory = open(Path::new(&format!("/proc/{pid}/cwd")), ways)?;
    Ok(Found {
        directory,
        engine: located.engine,
        subject: Subject {
            shown: shown.to_owned(),
            volume: None,
            container: None,
            path: located.data_directory.clone(),
        },
        // Packages keep the settings elsewhere and say so on the command line.
        config_file: config_file(&arguments(pid)),
        log: Vec::new(),
        log_error: String::new(),
    })
}

async fn in_container(
    inspected: ContainerInspectResponse,
    shown: &str,
    located: Option<&Located>,
    engine: &ContainerEngine,
) -> Result<Found, TaskFailure> {
    let id = inspected.id.clone().unwrap_or_default();
    let environment = inspected
        .config
        .as_ref()
        .and_then(|config| config.env.clone());
    let mounts = mounts(&inspected);
    let Some(seen) = containers::describe(inspected, "") else {
        return Err(not_here(shown));
    };
    let name = seen.container.name.clone();
    let server = located
        .map(|located| located.engine)
        .or_else(|| seen.means_to_run());
    let Some(server) = server else {
        let message = format!("container {name} is not made for a database server");
        return Err(failure(
            FailureKind::Invalid,
            message,
            "see what there is: ctl instance list",
        ));
    };
    let told = located.map(|located| located.data_directory.clone());
    let data = told.filter(|told| !told.is_empty()).unwrap_or_else(|| {
        data_directory(
            server,
            &seen.command,
            environment.as_deref().unwrap_or_default(),
        )
    });
    let mut ways: Vec<(PathBuf, PathBuf)> = mounts
        .iter()
        .map(|mount| (mount.inside.clone(), mount.here.clone()))
        .collect();
    if let Some(pid) = seen.init_pid {
        ways = vec![(
            PathBuf::from("/"),
            PathBuf::from(format!("/proc/{pid}/root")),
        )];
    }
    let ways = Ways::new(ways);
    let volume = holding(&mounts, Path::new(&data)).and_then(|mount| mount.volume.clone());
    let path = shown_path(&mounts, &data);
    let directory = ways
        .open(Path::new(&data))
        .and_then(|folder| Directory::new(&folder, ways.clone()))
        .map_err(|error| unreachable_files(&path, &error))?;
    let (log, log_error) = log(engine, &id).await;
    Ok(Found {
        directory,
        engine: server,
        subject: Subject {
            shown: shown.to_owned(),
            volume,
            container: Some(name),
            path,
        },
        config_file: config_file(&seen.command),
        log,
        log_error,
    })
}

/// A mount, and where its files lie on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mounted {
    inside: PathBuf,
    here: PathBuf,
    volume: Option<String>,
}

fn mounts(inspected: &ContainerInspectResponse) -> Vec<Mounted> {
    let mounts = inspected.mounts.iter().flatten().filter_map(|mount| {
        Some(Mounted {
            inside: mount.destination.clone()?.into(),
            here: mount
                .source
                .clone()
                .filter(|source| source.starts_with('/'))?
                .into(),
            volume: mount.name.clone(),
        })
    });
    let mut mounts: Vec<_> = mounts.collect();
    // What lies in no mount lies in the container's own layer.
    let layer = inspected
        .graph_driver
        .as_ref()
        .and_then(|driver| driver.data.get("UpperDir"));
    if let Some(layer) = layer {
        mounts.push(Mounted {
            inside: PathBuf::from("/"),
            here: PathBuf::from(layer),
            volume: None,
        });
    }
    mounts
}

/// The one with the longest path that the other lies in.
fn holding<'a>(mounts: &'a [Mounted], path: &Path) -> Option<&'a Mounted> {
    let holding = mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.inside));
    holding.max_by_key(|mount| mount.inside.components().count())
}

fn shown_path(mounts: &[Mounted], data: &str) -> String {
    let Some(mount) = holding(mounts, Path::new(data)) else {
        return data.to_owned();
    };
    let rest = Path::new(data)
        .strip_prefix(&mount.inside)
        .unwrap_or(Path::new(""));
    let path = mount.here.join(rest);
    path.display().to_string().trim_end_matches('/').to_owned()
}

/// As the command line says, or the environment, or as the images have it.
fn data_directory(engine: Engine, command: &[String], environment: &[String]) -> String {
    let variable = |name: &str| {
        environment
            .iter()
            .find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    match engine {
        Engine::Postgres => option(command, "-D", "data_directory")
            .or_else(|| variable("PGDATA"))
            .unwrap_or_else(|| "/var/lib/postgresql/data".to_owned()),
        Engine::Mariadb | Engine::Mysql => {
            let long = command
                .iter()
                .find_map(|word| word.strip_prefix("--datadir="));
            let told = long.map(|path| path.trim_end_matches('/').to_owned());
            told.unwrap_or_else(|| "/var/lib/mysql".to_owned())
        }
    }
}

fn config_file(command: &[String]) -> Option<String> {
    option(command, "", "config_file")
}

/// `-D DIR`, `-DDIR`, `-c name=value`, `--name=value`.
fn option(command: &[String], short: &str, name: &str) -> Option<String> {
    let mut words = command.iter();
    while let Some(word) = words.next() {
        if !short.is_empty()
            && let Some(rest) = word.strip_prefix(short)
        {
            return if rest.is_empty() {
                words.next().cloned()
            } else {
                Some(rest.to_owned())
            };
        }
        let word = word
            .trim_start_matches("--")
            .trim_start_matches("-c")
            .trim();
        if let Some((found, value)) = word.split_once('=')
            && found.replace('-', "_") == name
        {
            return Some(value.trim_matches(['\'', '"']).to_owned());
        }
    }
    None
}

fn arguments(pid: i32) -> Vec<String> {
    crate::engine::postgres::processes::arguments(Path::new(&format!("/proc/{pid}")))
}

async fn inspect(connected: &Connected, id: &str) -> Option<Seen> {
    let options = None::<InspectContainerOptions>;
    let inspected = connected.docker.inspect_container(id, options).await.ok()?;
    containers::describe(inspected, "")
}

async fn log(engine: &ContainerEngine, container: &str) -> (Vec<String>, String) {
    match last_lines(engine, container, LOG_LINES).await {
        Ok(lines) => {
            let cut = |line: String| line.chars().take(LINE_BYTES).collect();
            (lines.into_iter().map(cut).collect(), String::new())
        }
        Err(error) => (Vec::new(), error.to_string()),
    }
}

/// Relative paths and what each is, by the names in them.
fn data_directories(top: &Directory) -> Vec<(String, Engine)> {
    let mut found = Vec::new();
    let mut waiting = vec![(".".to_owned(), 0)];
    let mut looked = 0;
    while let Some((path, depth)) = waiting.pop() {
        looked += 1;
        let Look::Seen(folder) = top.folder(&path) else {
            continue;
        };
        let listed = folder.list();
        let listed = listed.seen().map(Vec::as_slice).unwrap_or_default();
        let marks = |names: &[&str]| {
            listed
                .iter()
                .filter(|(name, _)| names.contains(&name.as_str()))
                .count()
                > 1
        };
        if marks(&POSTGRES) {
            found.push((path, Engine::Postgres));
            continue;
        }
        if marks(&MARIADB) {
            found.push((path, Engine::Mariadb));
            continue;
        }
        if depth == DEPTH || looked > MOST_FOLDERS {
            continue;
        }
        let folders = listed
            .iter()
            .filter(|(_, entry)| entry.kind == Kind::Folder);
        waiting.extend(folders.map(|(name, _)| (format!("{path}/{name}"), depth + 1)));
    }
    for (path, _) in &mut found {
        *path = path
            .trim_start_matches('.')
            .trim_start_matches('/')
            .to_owned();
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

fn open(path: &Path, ways: Ways) -> Result<Directory, TaskFailure> {
    Directory::open(path, ways)
        .map_err(|error| unreachable_files(&path.display().to_string(), &error))
}

fn unreachable_files(path: &str, error: &std::io::Error) -> TaskFailure {
    let message = format!("the data directory {path} cannot be opened: {error}");
    let advice = "see whether it is there: a volume that is gone, or a disk that is not mounted, looks like this";
    failure(FailureKind::Refused, message, advice)
}

fn not_here(name: &str) -> TaskFailure {
    let message = format!("the container of instance {name} is gone");
    let advice = "its volume may be there still: ctl volume triage HOST/VOLUME";
    failure(FailureKind::Invalid, message, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_command_line_goes_before_the_environment_and_both_before_the_usual_place() {
        let pgdata = vec![
            "PATH=/bin".to_owned(),
            "PGDATA=/var/lib/postgresql/18/docker".to_owned(),
        ];
        let of = |line: &str, environment: &[String]| {
            data_directory(Engine::Postgres, &words(line), environment)
        };
        assert_eq!(
            of("docker-entrypoint.sh postgres", &[]),
            "/var/lib/postgresql/data"
        );
        assert_eq!(
            of("docker-entrypoint.sh postgres", &pgdata),
            "/var/lib/postgresql/18/docker"
        );
        assert_eq!(of("postgres -D /srv/data", &pgdata), "/srv/data");
        assert_eq!(
            of("postgres -c data_directory=/srv/data", &pgdata),
            "/srv/data"
        );
        assert_eq!(
            data_directory(Engine::Mariadb, &words("mariadbd --datadir=/srv/my/"), &[]),
            "/srv/my"
        );
        assert_eq!(
            data_directory(Engine::Mysql, &words("mysqld"), &[]),
            "/var/lib/mysql"
        );
    }

    #[test]
    fn settings_elsewhere_are_found_on_the_command_line() {
        for line in [
            "postgres -c config_file=/etc/pg.conf",
            "postgres --config-file=/etc/pg.conf",
            "postgres -cconfig_file='/etc/pg.conf'",
        ] {
            assert_eq!(
                config_file(&words(line)).as_deref(),
                Some("/etc/pg.conf"),
                "{line}"
            );
        }
        assert_eq!(config_file(&words("postgres -c work_mem=1MB")), None);
    }

    #[test]
    fn a_data_directory_is_found_though_half_of_it_is_lost() {
        let volume = tempfile::tempdir().unwrap();
        let at = |path: &str| std::fs::create_dir_all(volume.path().join(path)).unwrap();
        let found = || data_directories(&Directory::open(volume.path(), Ways::default()).unwrap());
        at("18/docker/base");
        assert_eq!(found(), []);
        at("18/docker/pg_wal");
        assert_eq!(found(), [("18/docker".to_owned(), Engine::Postgres)]);
        at("mysql");
        std::fs::write(volume.path().join("ibdata1"), "").unwrap();
        assert_eq!(found(), [(String::new(), Engine::Mariadb)]);
    }

    #[test]
    fn the_innermost_mount_holds_it() {
        let mount = |inside: &str, here: &str| Mounted {
            inside: inside.into(),
            here: here.into(),
            volume: None,
        };
        let mounts = [
            mount("/", "/layer"),
            mount("/var/lib/postgresql", "/vol/_data"),
            mount("/var", "/other"),
        ];
        assert_eq!(
            shown_path(&mounts, "/var/lib/postgresql/18/docker"),
            "/vol/_data/18/docker"
        );
        assert_eq!(shown_path(&mounts, "/var/lib/postgresql"), "/vol/_data");
        assert_eq!(shown_path(&mounts, "/srv/data"), "/layer/srv/data");
        assert_eq!(shown_path(&[], "/srv/data"), "/srv/data");
    }
}
