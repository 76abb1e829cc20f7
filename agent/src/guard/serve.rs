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
