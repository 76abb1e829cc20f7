//! The process that answers the engine, on a socket that somebody else holds open for it.

use std::{
    convert::Infallible, io, os::fd::AsFd as _, os::unix::net::UnixListener as StdListener,
    sync::Arc, time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    gate::Gate,
    plugin::{ACTIVATION, Answer, CONTENT_TYPE, Read},
};

/// Where the guard tells how it is.
pub const STANDING: &str = "/holdfast/standing";
/// Connections at once; more wait in the socket's queue.
const CONNECTIONS: usize = 512;
/// The engine shows a body of up to 1 MiB, as Base64; an answer may be of any size, and is not looked at beyond this.
const LARGEST: usize = 4 << 20;

/// The listening socket that this process was started with as its standard input: by systemd, or by the supervisor.
///
/// # Errors
/// When standard input is none.
pub fn inherited() -> io::Result<StdListener> {
    let input = io::stdin();
    let is_listening = rustix::net::sockopt::socket_acceptconn(input.as_fd()).unwrap_or(false);
    if !is_listening {
        return Err(io::Error::other("standard input is no listening socket"));
    }
    Ok(StdListener::from(input.as_fd().try_clone_to_owned()?))
}

/// Answers until `shutdown`.
///
/// # Errors
/// When the socket cannot be used.
pub async fn run(
    listener: StdListener,
    gate: Arc<Gate>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return Ok(());
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&gate), permit));
            }
            Err(error) => {
                warn!(%error, "a connection of the engine was not accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, gate: Arc<Gate>, _permit: OwnedSemaphorePermit) {
    let service = service_fn(move |request| {
        let gate = Arc::clone(&gate);
        async move { Ok::<_, Infallible>(answer(&gate, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "a connection of the engine broke off");
    }
}

async fn answer(gate: &Gate, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    match (method, path.as_str()) {
        (Method::POST, "/Plugin.Activate") => reply(ACTIVATION.into()),
        (Method::POST, "/AuthZPlugin.AuthZReq") => said(before(gate, request).await),
        (Method::POST, "/AuthZPlugin.AuthZRes") => said(after(gate, request).await),
        (Method::GET, STANDING) => reply(serde_json::to_vec(&gate.standing()).unwrap_or_default()),
        _ => {
            let mut response = reply(Vec::new());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

/// What the engine is told: yes, no, or that something is wrong.
enum Said {
    Yes,
    No(String),
    Trouble(String),
}

async fn before(gate: &Gate, request: Request<Incoming>) -> Said {
    let read = match body(request).await {
        Ok(Some(bytes)) => Read::parse(&bytes),
        Ok(None) => Err("it is too large".to_owned()),
        Err(error) => Err(error),
    };
    match read {
        Ok(read) => match gate.before(&read).await {
            Ok(()) => Said::Yes,
            Err(refusal) => Said::No(refusal.sentence),
        },
        Err(error) => Said::Trouble(format!(
            "the guard cannot read what the engine asks ({error}); to be rid of it run: holdfast-agent guard recover"
        )),
    }
}

/// What is done is done: this only learns.
async fn after(gate: &Gate, request: Request<Incoming>) -> Said {
    if let Ok(Some(bytes)) = body(request).await
        && let Ok(read) = Read::parse(&bytes)
    {
        gate.after(&read);
    }
    Said::Yes
}

/// Read to its end in any case: the engine fails a call whose body is not taken. None: it is too large.
async fn body(request: Request<Incoming>) -> Result<Option<Vec<u8>>, String> {
    let mut body = request.into_body();
    let mut bytes = Vec::new();
    let mut all = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| error.to_string())?;
        if let Ok(data) = frame.into_data() {
            all = all.saturating_add(data.len());
            if all <= LARGEST {
                bytes.extend_from_slice(&data);
            }
        }
    }
    Ok((all <= LARGEST).then_some(bytes))
}

fn said(said: Said) -> Response<Full<Bytes>> {
    let (allow, message, error) = match &said {
        Said::Yes => (true, "", ""),
        Said::No(sentence) => (false, sentence.as_str(), ""),
        Said::Trouble(error) => (false, "", error.as_str()),
    };
    let answer = Answer {
        allow,
        message,
        error,
    };
    reply(serde_json::to_vec(&answer).unwrap_or_default())
}

fn reply(body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let kind = hyper::header::HeaderValue::from_static(CONTENT_TYPE);
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixStream as StdStream,
        path::{Path, PathBuf},
        time::Instant,
    };

    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use holdfast_chassis::clock::{Clock as _, SystemClock};

    use super::*;
    use crate::{
        container::ContainerEngine,
        guard::{
            facts::{Container, DataDirectory, Facts, Mounted, Place},
            journal,
            paths::Paths,
            probe,
            token::HEADER,
        },
    };

    struct Guarded {
        folder: tempfile::TempDir,
        shutdown: CancellationToken,
    }

    impl Guarded {
        /// Without an engine that answers: memory has to do.
        fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let paths = Paths::of(folder.path());
            paths.prepare().unwrap();
            facts().store(&paths.facts()).unwrap();
            let listener = StdListener::bind(folder.path().join("socket")).unwrap();
            let engine = ContainerEngine::new(vec![folder.path().join("no engine")]);
            let gate = Gate::new(paths, engine, "secret".to_owned(), Arc::new(SystemClock));
            let shutdown = CancellationToken::new();
            tokio::spawn(run(listener, Arc::new(gate), shutdown.clone()));
            Self { folder, shutdown }
        }

        fn socket(&self) -> PathBuf {
            self.folder.path().join("socket")
        }

        async fn ask(&self, calls: Vec<serde_json::Value>) -> Vec<(serde_json::Value, Duration)> {
            let socket = self.socket();
            let ask = move || {
                let mut stream = StdStream::connect(socket).unwrap();
                let say = |call: &serde_json::Value| say(&mut stream, call);
                calls.iter().map(say).collect()
            };
            tokio::task::spawn_blocking(ask).await.unwrap()
        }

        async fn allows(&self, call: serde_json::Value) -> bool {
            self.ask(vec![call]).await[0].0["Allow"] == true
        }
    }

    fn say(stream: &mut StdStream, call: &serde_json::Value) -> (serde_json::Value, Duration) {
        let begun = Instant::now();
        let body = call.to_string();
        let length = body.len();
        let head = format!(
            "POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&answer).to_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let (_, length) = head.split_once("content-length: ").unwrap();
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if body.len() >= length {
                    break;
                }
            }
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "it hung up");
            answer.extend_from_slice(&piece[..read]);
        }
        let body = String::from_utf8(answer).unwrap();
        let (_, body) = body.split_once("\r\n\r\n").unwrap();
        (serde_json::from_str(body).unwrap(), begun.elapsed())
    }

    fn facts() -> Facts {
        let path = Path::new("/nowhere/volumes/shop_db/_data");
        Facts {
            containers: vec![Container {
                id: "a1".to_owned(),
                names: vec!["shop-db".to_owned()],
                alive: true,
                mounts: vec![Mounted {
                    volume: Some("shop_db".to_owned()),
                    path: Some(path.to_owned()),
                    destination: "/data".into(),
                    read_only: false,
                }],
                service: None,
            }],
            data: vec![DataDirectory {
                place: Place::Volume {
                    name: "shop_db".to_owned(),
                    anonymous: false,
                },
                roots: vec![path.to_owned()],
                inside: vec![PathBuf::new()],
                server: "PostgreSQL 17".to_owned(),
                instance: Some("shop-db".to_owned()),
                databases: vec!["shop".to_owned()],
                servers: vec!["a1".to_owned()],
                on_host: false,
                protection: None,
            }],
            ..Facts::none("web-1", SystemClock.now())
        }
    }

    fn call(method: &str, uri: &str, body: &str) -> serde_json::Value {
        serde_json::json!({"RequestMethod": method, "RequestUri": uri,
            "RequestBody": BASE64_STANDARD.encode(body),
            "RequestHeaders": {"Content-Type": "application/json"}})
    }

    fn removal() -> serde_json::Value {
        call("DELETE", "/v1.41/volumes/shop_db", "")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_refuses_with_the_sentence_keeps_it_and_knows_the_agent() {
        let guarded = Guarded::start();
        assert!(guarded.allows(call("GET", "/_ping", "")).await);
        let answer = guarded.ask(vec![removal()]).await;
        let message = answer[0].0["Msg"].as_str().unwrap();
        assert!(
            message.starts_with("volume shop_db holds database shop, "),
            "{message}"
        );
        let kept = journal::read(&Paths::of(guarded.folder.path()).refusals()).unwrap();
        assert_eq!(kept[0].sentence, message);
        assert_eq!(kept[0].call, "DELETE volumes/shop_db");
        let mount = r#"{"HostConfig":{"Binds":["shop_db:/x"]}}"#;
        assert!(
            !guarded
                .allows(call("POST", "/containers/create", mount))
                .await
        );
        assert!(!guarded.allows(call("POST", "/containers/create", "")).await);
        let mut ours = removal();
        ours["RequestHeaders"][HEADER] = "secret".into();
        assert!(guarded.allows(ours.clone()).await);
        ours["RequestHeaders"][HEADER] = "guessed".into();
        assert!(!guarded.allows(ours).await);
        let socket = guarded.socket();
        let standing =
            tokio::task::spawn_blocking(move || probe::standing(&socket, probe::PATIENCE));
        let standing = standing.await.unwrap().unwrap();
        assert_eq!((standing.refused, standing.data.len()), (4, 1));
        guarded.shutdown.cancel();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn facts_that_are_new_count_and_facts_that_are_broken_do_not() {
        let guarded = Guarded::start();
        let path = Paths::of(guarded.folder.path()).facts();
        assert!(!guarded.allows(removal()).await);
        std::fs::write(&path, "{").unwrap();
        assert!(!guarded.allows(removal()).await);
        std::fs::remove_file(&path).unwrap();
        assert!(!guarded.allows(removal()).await);
        Facts::none("web-1", SystemClock.now())
            .store(&path)
            .unwrap();
        assert!(guarded.allows(removal()).await);
    }

    /// Prints; the time of a machine that is busy is no test.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn how_long_an_answer_takes() {
        let guarded = Guarded::start();
        let body = r#"{"Image":"nginx","HostConfig":{"Binds":["/srv/www:/www"],"Mounts":[]}}"#;
        let calls = (0..2_000).map(|number| match number % 10 {
            0 => call("POST", "/v1.41/containers/create?name=web", body),
            1 => call("DELETE", "/v1.41/containers/web?v=1", ""),
            _ => call("GET", "/v1.41/containers/json?all=1", ""),
        });
        let mut took: Vec<_> = guarded.ask(calls.collect()).await;
        assert!(took.iter().all(|(answer, _)| answer["Allow"] == true));
        took.sort_by_key(|(_, took)| *took);
        let at = |share: usize| took[took.len() * share / 1000].1;
        println!(
            "2000 answers: p50 {:?}, p99 {:?}, longest {:?}",
            at(500),
            at(990),
            at(999)
        );
    }
}
