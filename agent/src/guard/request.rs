//! A call of the engine's API as far as the guard cares: what it would make, start or remove.

use std::path::PathBuf;

use super::{
    create::{self, Create},
    json::{Json, Twice},
    target::Target,
};

/// Managed plugins of this name would be taken for the guard.
pub const PLUGIN: &str = "holdfast";
/// From here on a start takes no mounts any more.
const START_WITHOUT_BODY: (u32, u32) = (1, 24);
/// From here on pruning takes named volumes only when it is told to.
const PRUNE_ANONYMOUS: (u32, u32) = (1, 42);

/// One call, as the engine hands it over.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub method: &'a str,
    pub uri: &'a str,
    /// Empty: there is none, or the engine does not show it.
    pub body: &'a [u8],
    pub is_form: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Create(Create),
    /// Or restart: by name, id, or how an id begins.
    Start {
        container: String,
    },
    /// With its anonymous volumes.
    RemoveContainer {
        container: String,
    },
    RemoveVolume {
        volume: String,
    },
    PruneVolumes {
        anonymous_only: bool,
    },
    CreateVolume {
        volume: String,
        /// The folder that it would stand for.
        device: Option<PathBuf>,
    },
    /// A managed plugin that takes the guard's name.
    Impostor,
    /// It cannot be told what it would do.
    Unclear {
        what: &'static str,
        why: String,
    },
    Other,
}

impl Request {
    #[must_use]
    pub fn parse(call: Call<'_>) -> Self {
        let target = Target::parse(call.uri);
        let parts = target.parts();
        match (call.method, parts.as_slice()) {
            ("POST", ["containers", "create"]) => clear("the create of a container", || {
                create::parse(&target, &read(call.body)?).map_err(Into::into)
            }),
            ("POST", ["containers", name @ .., "start" | "restart"]) => start(&target, name),
            ("DELETE", ["containers", name @ ..]) if target.says_yes("v") => {
                Self::RemoveContainer {
                    container: name.join("/"),
                }
            }
            ("POST", ["volumes", "prune"]) => Self::PruneVolumes {
                anonymous_only: prunes_anonymous_only(&target, call.is_form),
            },
            ("POST", ["volumes", "create"]) => {
                clear("the create of a volume", || volume(&read(call.body)?))
            }
            ("DELETE", ["volumes", name @ ..]) => Self::RemoveVolume {
                volume: name.join("/"),
            },
            ("POST", ["plugins", "pull" | "create"]) if takes_our_name(&target) => Self::Impostor,
            _ => Self::Other,
        }
    }
}

/// Why a body says nothing that one can rely on.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(
        "the engine does not show its body: it is empty, larger than 1 MiB, or not announced as JSON"
    )]
    Absent,
    #[error("its body is no JSON ({0})")]
    Json(#[from] serde_json::Error),
    #[error("in its body {0}: readers differ in which one they take")]
    Twice(#[from] Twice),
    #[error("its body is no object")]
    Kind,
}

fn clear(what: &'static str, parse: impl FnOnce() -> Result<Request, Unreadable>) -> Request {
    parse().unwrap_or_else(|error| Request::Unclear {
        what,
        why: error.to_string(),
    })
}

fn read(body: &[u8]) -> Result<Json, Unreadable> {
    if body.is_empty() {
        return Err(Unreadable::Absent);
    }
    match serde_json::from_slice(body)? {
        object @ Json::Object(_) => Ok(object),
        _ => Err(Unreadable::Kind),
    }
}

fn start(target: &Target, name: &[&str]) -> Request {
    if target
        .version
        .is_some_and(|version| version < START_WITHOUT_BODY)
    {
        return Request::Unclear {
            what: "a start by this old version of the API",
            why: "it may bring mounts that its create did not have; use version 1.24 or later"
                .to_owned(),
        };
    }
    Request::Start {
        container: name.join("/"),
    }
}

/// Also of a filter in a form, which the engine does not show.
fn prunes_anonymous_only(target: &Target, is_form: bool) -> bool {
    if is_form
        || target
            .version
            .is_none_or(|version| version < PRUNE_ANONYMOUS)
    {
        return false;
    }
    let filters = target.query.iter().filter(|(key, _)| key == "filters");
    // Whatever names "all" may mean all.
    !filters
        .into_iter()
        .any(|(_, value)| value.contains("all") || value.contains('\\'))
}

fn volume(body: &Json) -> Result<Request, Unreadable> {
    let name = body.field("Name")?.and_then(Json::text);
    let device = match body.field("DriverOpts")? {
        Some(options) => create::device(options)?,
        None => None,
    };
    Ok(Request::CreateVolume {
        volume: name.unwrap_or_default().to_owned(),
        device,
    })
}

fn takes_our_name(target: &Target) -> bool {
    let names = target.query.iter();
    let mut named = names.filter(|(key, _)| key == "name" || key == "remote");
    named.any(|(_, value)| {
        let last = value.rsplit('/').next().unwrap_or(value);
        last.split([':', '@']).next() == Some(PLUGIN)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(method: &str, uri: &str, body: &str) -> Request {
        Request::parse(Call {
            method,
            uri,
            body: body.as_bytes(),
            is_form: false,
        })
    }

    #[test]
    fn what_can_destroy_is_told_from_everything_else() {
        let start = Request::Start {
            container: "shop-db".to_owned(),
        };
        assert_eq!(parse("POST", "/v1.41/containers/shop-db/start", ""), start);
        assert_eq!(parse("POST", "/containers/shop-db/restart?t=1", ""), start);
        let removal = Request::RemoveContainer {
            container: "shop-db".to_owned(),
        };
        assert_eq!(
            parse("DELETE", "/v1.41/containers/shop-db?v=1&force=1", ""),
            removal
        );
        assert_eq!(
            parse("DELETE", "/v1.41/containers/shop-db", ""),
            Request::Other
        );
        let volume = Request::RemoveVolume {
            volume: "shop_db".to_owned(),
        };
        assert_eq!(
            parse("DELETE", "/v1.41/volumes/%73hop_db?force=1", ""),
            volume
        );
        for (method, uri) in [
            ("GET", "/v1.41/containers/json"),
            ("GET", "/_ping"),
            ("POST", "/v1.41/containers/shop-db/stop"),
            ("POST", "/v1.41/containers/prune"),
            ("POST", "/v1.41/plugins/pull?name=vieux/sshfs"),
        ] {
            assert_eq!(parse(method, uri, ""), Request::Other, "{uri}");
        }
    }

    #[test]
    fn a_body_that_cannot_be_seen_is_unclear() {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "{} {}",
            r#"{"HostConfig":{"Binds":[],"binds":[]}}"#,
        ] {
            let request = parse("POST", "/v1.41/containers/create", body);
            assert!(
                matches!(request, Request::Unclear { .. }),
                "{body}: {request:?}"
            );
        }
        let volume = parse("POST", "/volumes/create", "");
        assert!(matches!(volume, Request::Unclear { .. }));
        let old = parse("POST", "/v1.23/containers/x/start", "");
        assert!(matches!(old, Request::Unclear { .. }));
    }

    #[test]
    fn a_prune_takes_named_volumes_unless_it_surely_does_not() {
        let takes_anonymous_only = |uri: &str, is_form: bool| {
            let call = Call {
                method: "POST",
                uri,
                body: b"",
                is_form,
            };
            Request::parse(call)
                == Request::PruneVolumes {
                    anonymous_only: true,
                }
        };
        assert!(takes_anonymous_only("/v1.42/volumes/prune", false));
        assert!(takes_anonymous_only(
            "/v1.43/volumes/prune?filters=%7B%7D",
            false
        ));
        assert!(!takes_anonymous_only("/v1.41/volumes/prune", false));
        assert!(!takes_anonymous_only("/volumes/prune", false));
        assert!(!takes_anonymous_only("/v1.42/volumes/prune", true));
        for filters in [
            "%7B%22all%22%3A%5B%22true%22%5D%7D",
            "%7B%22%5Cu0061ll%22%3A%5B%221%22%5D%7D",
        ] {
            let uri = format!("/v1.42/volumes/prune?filters={filters}");
            assert!(!takes_anonymous_only(&uri, false), "{uri}");
        }
    }

    #[test]
    fn a_volume_that_stands_for_a_folder_tells_which() {
        let body = r#"{"name":"x","DRIVEROPTS":{"type":"none","o":"bind","device":"/srv/pg"}}"#;
        let expected = Request::CreateVolume {
            volume: "x".to_owned(),
            device: Some("/srv/pg".into()),
        };
        assert_eq!(parse("POST", "/volumes/create", body), expected);
    }

    #[test]
    fn a_plugin_cannot_take_our_name() {
        for uri in [
            "/plugins/pull?remote=vieux/sshfs&name=holdfast",
            "/v1.41/plugins/pull?remote=evil/holdfast:latest",
            "/v1.41/plugins/create?name=holdfast:latest",
        ] {
            assert_eq!(parse("POST", uri, ""), Request::Impostor, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn no_body_breaks_it(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let call = Call { method: "POST", uri: "/containers/create", body: &body, is_form: false };
            let known = matches!(Request::parse(call), Request::Create(_) | Request::Unclear { .. });
            prop_assert!(known);
        }
    }
}
