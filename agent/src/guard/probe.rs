//! Asking a guard how it is, with nothing but a socket: what asks must work when everything else is broken.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use holdfast_proto::guard::GuardProcess;

use super::serve::STANDING;

/// Whoever does not answer within this is hung. A machine that is very busy answers later than usual.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// # Errors
/// When nobody listens, or nobody answers in time, or somebody else does.
pub fn standing(socket: &Path, patience: Duration) -> io::Result<GuardProcess> {
    let answer = get(socket, STANDING, patience)?;
    serde_json::from_slice(&answer).map_err(io::Error::other)
}

/// The body of an answer of any server on a socket.
///
/// # Errors
/// As [`standing`].
pub fn get(socket: &Path, path: &str, patience: Duration) -> io::Result<Vec<u8>> {
    exchange(socket, &format!("GET {path} HTTP/1.1"), patience)
}

/// As an engine begins with a plugin.
///
/// # Errors
/// As [`standing`].
pub fn activate(socket: &Path, patience: Duration) -> io::Result<()> {
    let answer = exchange(socket, "POST /Plugin.Activate HTTP/1.1", patience)?;
    match String::from_utf8_lossy(&answer).contains("authz") {
        true => Ok(()),
        false => Err(io::Error::other("it is no authorization plugin")),
    }
}

fn exchange(socket: &Path, line: &str, patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let request =
        format!("{line}\r\nHost: guard\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let head = head.ok_or_else(|| io::Error::other("the answer has no end of its head"))?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        let line = String::from_utf8_lossy(&answer);
        let line = line.lines().next().unwrap_or_default().to_owned();
        return Err(io::Error::other(format!("it answers {line}")));
    }
    Ok(answer.split_off(head + 4))
}
