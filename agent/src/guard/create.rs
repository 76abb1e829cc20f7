//! The create of a container: what it would mount, and in whose place it would stand.

use std::path::{Path, PathBuf};

use super::{
    facts::Service,
    json::{Json, Twice},
    request::Request,
    target::Target,
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Create {
    /// Unset: the engine makes one up.
    pub name: Option<String>,
    pub mounts: Vec<Asked>,
    pub volumes_from: Vec<MountsOf>,
    /// It is removed when it ends. Its client waits for that, also when it is never started.
    pub auto_remove: bool,
    pub service: Option<Service>,
    /// Image, command or environment are those of a database server.
    pub is_server: bool,
}

/// A mount that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub source: Source,
    pub destination: PathBuf,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `subpath`: relative, in the volume.
    Volume {
        name: String,
        subpath: Option<PathBuf>,
    },
    Folder(PathBuf),
}

/// All mounts of another container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountsOf {
    pub container: String,
    pub read_only: bool,
}

/// Engines before 25 read mounts beside `HostConfig` too.
pub(super) fn parse(target: &Target, body: &Json) -> Result<Request, Twice> {
    let mut create = Create {
        name: target.value("name").map(str::to_owned),
        service: service(body.field("Labels")?),
        is_server: is_server(body)?,
        ..Create::default()
    };
    for config in [body.field("HostConfig")?, Some(body)]
        .into_iter()
        .flatten()
    {
        host_config(config, &mut create)?;
    }
    Ok(Request::Create(create))
}

/// The folder that a volume with these options stands for.
pub(super) fn device(options: &Json) -> Result<Option<PathBuf>, Twice> {
    let device = options.field("device")?.and_then(Json::text);
    Ok(device.map(PathBuf::from).filter(|path| path.is_absolute()))
}

fn host_config(config: &Json, create: &mut Create) -> Result<(), Twice> {
    create.auto_remove |= config.field("AutoRemove")?.is_some_and(Json::is_true);
    let binds = config.field("Binds")?.map(Json::list).unwrap_or_default();
    create.mounts.extend(binds.iter().filter_map(bind));
    for mount in config.field("Mounts")?.map(Json::list).unwrap_or_default() {
        create.mounts.extend(asked(mount)?);
    }
    let from = config.field("VolumesFrom")?;
    let from = from.map(Json::list).unwrap_or_default();
    create
        .volumes_from
        .extend(from.iter().filter_map(volumes_from));
    Ok(())
}

/// `source:destination[:mode]`; a destination alone is an anonymous volume.
fn bind(text: &Json) -> Option<Asked> {
    let mut parts = text.text()?.splitn(3, ':');
    let (source, destination) = (parts.next()?, parts.next()?);
    let mode = parts.next().unwrap_or_default();
    let source = if source.starts_with('/') {
        Source::Folder(source.into())
    } else {
        Source::Volume {
            name: source.to_owned(),
            subpath: None,
        }
    };
    Some(Asked {
        source,
        destination: destination.into(),
        read_only: mode.split(',').any(|word| word == "ro"),
    })
}

fn asked(mount: &Json) -> Result<Option<Asked>, Twice> {
    let text = |name| Ok::<_, Twice>(mount.field(name)?.and_then(Json::text).unwrap_or_default());
    let options = mount.field("VolumeOptions")?;
    let option = |name| options.map_or(Ok(None), |options| options.field(name));
    let subpath = option("Subpath")?.and_then(Json::text);
    let driver = option("DriverConfig")?.map_or(Ok(None), |driver| driver.field("Options"))?;
    let device = driver.map_or(Ok(None), device)?;
    let source = text("Source")?;
    let source = match (source, device) {
        // A volume that is there already keeps what it stands for; one that is made now stands for this.
        (_, Some(device)) if source.is_empty() => Source::Folder(device),
        ("", None) => return Ok(None),
        (path, _) if path.starts_with('/') => Source::Folder(path.into()),
        (_, _) if text("Type")?.eq_ignore_ascii_case("tmpfs") => return Ok(None),
        (name, device) => match (device, subpath) {
            (Some(device), _) => Source::Folder(device),
            (None, subpath) => Source::Volume {
                name: name.to_owned(),
                subpath: subpath.filter(|path| !path.is_empty()).map(PathBuf::from),
            },
        },
    };
    Ok(Some(Asked {
        source,
        destination: text("Target")?.into(),
        read_only: mount.field("ReadOnly")?.is_some_and(Json::is_true),
    }))
}

fn volumes_from(text: &Json) -> Option<MountsOf> {
    let text = text.text()?;
    let (container, mode) = text.split_once(':').unwrap_or((text, ""));
    Some(MountsOf {
        container: container.to_owned(),
        read_only: mode.split(',').any(|word| word == "ro"),
    })
}

/// Names of labels are what they are: no other case.
fn service(labels: Option<&Json>) -> Option<Service> {
    let Some(Json::Object(labels)) = labels else {
        return None;
    };
    Service::of(|name| {
        let mut found = labels.iter().rev().filter(|(key, _)| key == name);
        found.next().and_then(|(_, value)| value.text())
    })
}

impl Service {
    /// As compose has labelled it.
    pub fn of<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let of = |what: &str| label(&format!("com.docker.compose.{what}"));
        Some(Self {
            project: of("project")?.to_owned(),
            name: of("service")?.to_owned(),
            number: of("container-number").unwrap_or_default().to_owned(),
            one_off: of("oneoff").is_some_and(|word| word.eq_ignore_ascii_case("true")),
        })
    }
}

fn is_server(body: &Json) -> Result<bool, Twice> {
    const IMAGES: [&str; 9] = [
        "postgres",
        "postgis",
        "timescale",
        "pgvector",
        "mariadb",
        "mysql",
        "percona",
        "citus",
        "spilo",
    ];
    const PROGRAMS: [&str; 5] = ["postgres", "postmaster", "mariadbd", "mysqld", "patroni"];
    let image = body
        .field("Image")?
        .and_then(Json::text)
        .unwrap_or_default();
    let words = [body.field("Entrypoint")?, body.field("Cmd")?];
    let words = words.into_iter().flatten().flat_map(|words| match words {
        Json::Text(_) => std::slice::from_ref(words),
        list => list.list(),
    });
    let mut programs = words
        .filter_map(Json::text)
        .filter_map(|word| Path::new(word).file_name());
    let environment = body.field("Env")?.map(Json::list).unwrap_or_default();
    let mut variables = environment.iter().filter_map(Json::text);
    Ok(IMAGES.iter().any(|name| image.contains(name))
        || programs.any(|program| PROGRAMS.iter().any(|name| program == *name))
        || variables.any(|variable| variable.starts_with("PGDATA=")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(body: &str) -> Create {
        let body: Json = serde_json::from_str(body).unwrap();
        let target = Target::parse("/containers/create?name=copy");
        match parse(&target, &body).unwrap() {
            Request::Create(create) => create,
            other => panic!("{other:?}"),
        }
    }

    fn volume(name: &str) -> Source {
        Source::Volume {
            name: name.to_owned(),
            subpath: None,
        }
    }

    #[test]
    fn every_way_to_mount_is_seen_in_any_case() {
        let created = create(
            r#"{"hostconfig":{"bindS":["shop_db:/a","/srv/pg:/b:z,ro","/c"],"mounts":[
                {"type":"volume","source":"shop_db","target":"/d","volumeoptions":{"subpath":"pg"}},
                {"Type":"bind","Source":"/srv/pg/","Target":"/e","ReadOnly":true},
                {"Type":"volume","Target":"/f","VolumeOptions":{"DriverConfig":{"Options":{"device":"/srv/pg"}}}},
                {"Type":"volume","Target":"/anonymous"},{"Type":"tmpfs","Target":"/t"}],
                "VolumesFrom":["shop-db","other:ro"],"AutoRemove":true}}"#,
        );
        let seen: Vec<_> = created
            .mounts
            .iter()
            .map(|m| (m.source.clone(), m.read_only))
            .collect();
        let folder = |path: &str| Source::Folder(path.into());
        let subpath = Source::Volume {
            name: "shop_db".to_owned(),
            subpath: Some("pg".into()),
        };
        let expected = [
            (volume("shop_db"), false),
            (folder("/srv/pg"), true),
            (subpath, false),
            (folder("/srv/pg/"), true),
            (folder("/srv/pg"), false),
        ];
        assert_eq!(seen, expected);
        let from: Vec<_> = created
            .volumes_from
            .iter()
            .map(|f| (&*f.container, f.read_only))
            .collect();
        assert_eq!(from, [("shop-db", false), ("other", true)]);
        assert!(created.auto_remove);
        assert_eq!(created.name.as_deref(), Some("copy"));
    }

    #[test]
    fn mounts_beside_the_host_s_part_count_too() {
        let created = create(r#"{"Binds":["shop_db:/a"],"Image":"alpine"}"#);
        assert_eq!(created.mounts[0].source, volume("shop_db"));
        assert!(!created.is_server);
    }

    #[test]
    fn a_service_of_compose_is_known_and_a_single_run_of_it_is_none() {
        let labels = |more: &str| {
            let body = format!(
                r#"{{"Labels":{{"com.docker.compose.project":"shop","com.docker.compose.service":"db",
                "com.docker.compose.container-number":"1"{more}}}}}"#
            );
            create(&body).service.unwrap()
        };
        assert!(!labels("").one_off);
        assert_eq!(labels("").number, "1");
        assert!(labels(r#","com.docker.compose.oneoff":"True""#).one_off);
        assert_eq!(create("{}").service, None);
    }

    #[test]
    fn a_server_is_known_by_image_command_or_environment() {
        for (body, server) in [
            (r#"{"Image":"postgres:17"}"#, true),
            (
                r#"{"Image":"x","Cmd":["/usr/lib/postgresql/17/bin/postgres","-D","/d"]}"#,
                true,
            ),
            (r#"{"Image":"x","Entrypoint":"mariadbd"}"#, true),
            (r#"{"Image":"x","Env":["PGDATA=/d"]}"#, true),
            (
                r#"{"Image":"shop","Env":["POSTGRES_PASSWORD=x"],"Cmd":["serve"]}"#,
                false,
            ),
        ] {
            assert_eq!(create(body).is_server, server, "{body}");
        }
    }
}
